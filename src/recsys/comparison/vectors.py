"""Two versions of the same products' vectors, and of their neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.artifacts.base import require

_BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class VectorDifference:
    """How far two sets of vectors are apart.

    ``largest`` is the largest absolute difference of a component; ``least_cosine`` that of
    the two vectors of one row, higher is closer; ``differing`` of ``rows`` are not equal to
    the bit.
    """

    rows: int
    differing: int
    largest: float
    least_cosine: float

    def __str__(self) -> str:
        return (
            f"{self.differing} of {self.rows} vectors differ, components by up to"
            f" {self.largest:.3g}, cosine at least {self.least_cosine:.6f}"
        )


def compare_vectors(
    old: npt.NDArray[np.float32], new: npt.NDArray[np.float32]
) -> VectorDifference | None:
    """What differs between two [n, dimension] float32 of unit norm, row by row, or None.

    Maps are read block by block.

    Raises
    ------
    ArtifactInvalid
        The shapes differ: such vectors cannot be compared.
    """
    require(old.shape == new.shape, f"vectors of shape {old.shape} against {new.shape}")
    differing, largest, least = 0, 0.0, 1.0
    for start in range(0, len(old), _BLOCK_ROWS):
        left = np.asarray(old[start : start + _BLOCK_ROWS], np.float64)
        right = np.asarray(new[start : start + _BLOCK_ROWS], np.float64)
        differs = (left != right).any(axis=1)
        if differs.any():
            differing += int(differs.sum())
            largest = max(largest, float(np.abs(left - right).max()))
            least = min(least, float((left * right).sum(axis=1)[differs].min()))
    return VectorDifference(len(old), differing, largest, least) if differing else None


def agreement(old: Sequence[Sequence[str]], new: Sequence[Sequence[str]]) -> float:
    """Share, in [0, 1], of the old neighbours that are among the new ones; 1 is the same sets.

    Each has the neighbours of one query an item, in the same order of queries.
    """
    require(len(old) == len(new), f"neighbours of {len(old)} queries against {len(new)}")
    asked = sum(len(neighbours) for neighbours in old)
    shared = sum(len(set(before) & set(after)) for before, after in zip(old, new, strict=True))
    return shared / asked if asked else 1.0
