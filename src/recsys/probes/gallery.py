"""The catalog's vectors, and the nearest of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from recsys.errors import BadInput
from recsys.evaluation.nearest import Groups, nearest_products

Rows = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Gallery:
    """What is looked through: [n, dimension] float32 unit vectors, [n] labels, [n] groups.

    Products of one group share one picture: none is a neighbour of another.

    Raises
    ------
    BadInput
        Lengths that differ, or no product.
    """

    vectors: Vectors
    labels: Sequence[str]
    groups: Sequence[str]

    def __post_init__(self) -> None:
        sizes = {len(self.vectors), len(self.labels), len(self.groups)}
        if len(sizes) != 1 or sizes == {0}:
            raise BadInput(
                f"probes: {len(self.vectors)} vectors, {len(self.labels)} labels,"
                f" {len(self.groups)} groups; as many of each are needed"
            )

    def nearest(self, queries: Vectors, rows: Rows) -> tuple[Rows, npt.NDArray[np.float64]]:
        """The ten nearest products of each query, nearest first, and their cosines.

        As `nearest_products`, narrower in a gallery of fewer than ten; ``rows`` [q] is the
        product that each query stands for.
        """
        found, by = nearest_products(np.asarray(self.vectors), queries, rows, self._groups)
        return found[:, : len(self.vectors)], by[:, : len(self.vectors)]

    def label_codes(self, rows: Rows) -> Rows:
        """[q] the labels of some products, as numbers."""
        return self._label_codes[rows]

    def precision(self, neighbours: Rows, rows: Rows) -> float:
        """Mean share of [q, 10] neighbours with the label of the [q] products asked for."""
        same = self._label_codes[neighbours] == self._label_codes[rows][:, None]
        return float((same & (neighbours >= 0)).mean())

    @cached_property
    def _label_codes(self) -> Rows:
        return np.unique(np.asarray(self.labels, dtype=str), return_inverse=True)[1]

    @cached_property
    def _groups(self) -> Groups:
        return Groups.of(self.groups)


def overlap(before: Rows, after: Rows) -> float:
    """Mean share of [q, 10] neighbours that are among the [q, 10] neighbours after."""
    stayed = (before[:, :, None] == after[:, None, :]).any(axis=2)
    return float(stayed.mean())
