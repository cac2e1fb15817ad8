"""The catalog's vectors, and the nearest of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.errors import BadInput

K: Final = 10
_RANKED: Final = 2 * K
# Scores held at a time: 40 MB of them, whatever the catalog's size.
_BLOCK_SCORES: Final = 10_000_000

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

    def nearest(self, queries: Vectors, rows: Rows) -> tuple[Rows, Vectors]:
        """The ten nearest products of each query, nearest first, and their cosines.

        ``queries`` is [q, dimension] float32, unit norm; ``rows`` [q] the product that each
        stands for, whose group is left out. Both results are [q, 10] (narrower in a smaller
        gallery); a row of -1 fills what the query's own group leaves empty.
        """
        block = max(1, _BLOCK_SCORES // len(self.vectors))
        found = [
            self._nearest(queries[start : start + block], rows[start : start + block])
            for start in range(0, len(rows), block)
        ]
        return np.concatenate([top for top, _ in found]), np.concatenate([by for _, by in found])

    def label_codes(self, rows: Rows) -> Rows:
        """[q] the labels of some products, as numbers."""
        return self._label_codes[rows]

    def precision(self, neighbours: Rows, rows: Rows) -> float:
        """Mean share of [q, 10] neighbours with the label of the [q] products asked for."""
        same = self._label_codes[neighbours] == self._label_codes[rows][:, None]
        return float((same & (neighbours >= 0)).mean())

    def _nearest(self, queries: Vectors, rows: Rows) -> tuple[Rows, Vectors]:
        scores = queries @ np.asarray(self.vectors).T
        scores[self._group_codes[rows][:, None] == self._group_codes[None, :]] = -np.inf
        k, ranked = min(K, scores.shape[1]), min(_RANKED, scores.shape[1])
        top = np.argpartition(scores, -ranked, axis=1)[:, -ranked:]
        allowed = np.isfinite(np.take_along_axis(scores, top, axis=1))
        # A matrix product's last digits hang on the number of threads, and with them which of
        # two alike products comes first: the few that count are multiplied again, exactly.
        near = np.asarray(self.vectors)[top].astype(np.float64)
        by = np.where(allowed, np.einsum("qd,qkd->qk", queries.astype(np.float64), near), -np.inf)
        order = np.lexsort((top, -by), axis=1)[:, :k]
        top, by = np.take_along_axis(top, order, axis=1), np.take_along_axis(by, order, axis=1)
        return np.where(np.isfinite(by), top, -1).astype(np.int64), by.astype(np.float32)

    @cached_property
    def _label_codes(self) -> Rows:
        return _codes(self.labels)

    @cached_property
    def _group_codes(self) -> Rows:
        return _codes(self.groups)


def overlap(before: Rows, after: Rows) -> float:
    """Mean share of [q, 10] neighbours that are among the [q, 10] neighbours after."""
    stayed = (before[:, :, None] == after[:, None, :]).any(axis=2)
    return float(stayed.mean())


def _codes(texts: Sequence[str]) -> Rows:
    return np.unique(np.asarray(texts, dtype=str), return_inverse=True)[1].astype(np.int64)
