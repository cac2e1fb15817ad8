"""Whether two ways to the vectors of the same pictures come to the same."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recsys.errors import BadInput

Vectors = npt.NDArray[np.float32]


def largest_difference(one: Vectors, other: Vectors) -> float:
    """Largest absolute difference of any component; infinite where one is not a number.

    Raises
    ------
    BadInput
        The shapes differ, or nothing is there to compare.
    """
    if one.shape != other.shape or one.size == 0:
        raise BadInput(f"parity: vectors {list(one.shape)} and {list(other.shape)}")
    difference = np.abs(np.asarray(one, np.float64) - other)
    return float(np.where(np.isnan(difference), np.inf, difference).max())
