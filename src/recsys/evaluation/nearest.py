"""The ten nearest products of a query, exactly, and the same ones on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

K: Final = 10
# So many of the nearest are ranked exactly, to be sure of the first ten.
_RANKED: Final = 2 * K
# Scores held at a time: 16 MB of them, whatever the catalog's size.
_BLOCK_SCORES: Final = 4_000_000

Rows = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Groups:
    """Products that show one picture and do not count as each other's neighbours.

    ``codes`` [n] is each row's group, ``sizes`` [g]; a group's rows stand together in
    ``order`` [n], from ``starts`` [g] on.
    """

    codes: Rows
    sizes: Rows
    starts: Rows
    order: Rows

    @classmethod
    def of(cls, names: Sequence[str]) -> Self:
        """Those of [n] names, one a product."""
        codes = np.unique(np.asarray(names, dtype=str), return_inverse=True)[1].astype(np.int64)
        sizes = np.bincount(codes)
        return cls(codes, sizes, np.cumsum(sizes) - sizes, np.argsort(codes, kind="stable"))

    def members(self, rows: Rows) -> tuple[Rows, Rows]:
        """Position in ``rows`` and row of every product of those rows' groups."""
        groups = self.codes[rows]
        sizes = self.sizes[groups]
        position = np.repeat(np.arange(len(rows)), sizes)
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return position, self.order[self.starts[groups][position] + within]


def nearest_products(
    vectors: Vectors, queries: Vectors, rows: Rows, groups: Groups
) -> tuple[Rows, npt.NDArray[np.float64]]:
    """The nearest rows of each query, by falling score, equal scores by row.

    Parameters
    ----------
    vectors, queries
        [n, dimension] and [q, dimension] float32, finite, unit norm.
    rows
        [q] the row that each query stands for; its whole group is left out.

    Returns
    -------
    neighbours, scores
        [q, 10]; -1 and -inf beyond the last candidate.
    """
    nearest = np.full((len(rows), K), -1, np.int64)
    by = np.full((len(rows), K), -np.inf)
    k, ranked = min(K, len(vectors)), min(_RANKED, len(vectors))
    block = max(1, _BLOCK_SCORES // len(vectors))
    for start in range(0, len(rows), block):
        asked, own = queries[start : start + block], rows[start : start + block]
        scores = asked @ vectors.T
        scores[groups.members(own)] = -np.inf
        top = np.sort(np.argpartition(scores, -ranked, axis=1)[:, -ranked:], axis=1)
        allowed = ~np.isneginf(np.take_along_axis(scores, top, axis=1))
        exact = np.where(allowed, _exact_scores(vectors, asked, top), -np.inf)
        order = np.argsort(-exact, axis=1, kind="stable")[:, :k]
        found, score = np.take_along_axis(top, order, axis=1), np.take_along_axis(exact, order, 1)
        nearest[start : start + len(own), :k] = np.where(np.isneginf(score), -1, found)
        by[start : start + len(own), :k] = score
    return nearest, by


def _exact_scores(vectors: Vectors, queries: Vectors, top: Rows) -> npt.NDArray[np.float64]:
    """[q, k] scores in double precision and one order of addition.

    The last digits of a matrix product depend on the number of threads. By them alike
    vectors, of which a catalog has many, would change places from machine to machine.
    """
    near = vectors[top].astype(np.float64)
    return np.asarray(np.einsum("qd,qkd->qk", queries.astype(np.float64), near))
