"""What can be shown, and the search over it: a release, or a release with a tail.

A shelf numbers its products in the order of their ids. One with a tail is a release that was
made anew with the changes in it, but for how it finds neighbours: the index gives those of
the release that still stand, the tail is scored exactly, and the best of both stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from recsys.artifacts.products import ProductTable
from recsys.index.search import Neighbours, exact_scores, search
from recsys.serving.tail import Tail

RELEASE: Final = "release"
TAIL: Final = "tail"
# So few products that are gone are sooner passed over than kept from the search by a mask.
_FEW_GONE: Final = 64
# The same picture embedded in two environments differs by less, another picture by more.
_SAME_VECTOR: Final = 2e-6

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Shelf(Protocol):
    """Products with their vectors; rows are those of ``products``."""

    @property
    def products(self) -> ProductTable:
        """[m] what can be shown."""

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None, exclude: Sequence[int | None]
    ) -> list[Neighbours]:
        """As `recsys.index.search.search`."""

    def vectors_of(self, rows: Rows) -> Vectors:
        """[rows, dimension] float32."""

    def part(self, row: int) -> str:
        """Where a product comes from: `RELEASE` or `TAIL`."""


class ReleaseShelf:
    """The products of a release, as they were when it was made."""

    def __init__(self, products: ProductTable, vectors: Vectors, index: Any) -> None:
        self.products = products
        self.vectors = vectors
        self._index = index

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None, exclude: Sequence[int | None]
    ) -> list[Neighbours]:
        """See `Shelf`."""
        return search(self._index, self.vectors, queries, k, allowed=allowed, exclude=exclude)

    def vectors_of(self, rows: Rows) -> Vectors:
        """See `Shelf`."""
        return np.asarray(self.vectors[rows])

    def part(self, row: int) -> str:
        """See `Shelf`."""
        return RELEASE


class ChangedShelf:
    """The products of a release less those that are gone, and those of the tail."""

    def __init__(self, release: ReleaseShelf, tail: Tail) -> None:
        table = release.products
        self._release = release
        self._tail = tail.vectors.reshape(-1, release.vectors.shape[1])
        self._first = len(table)  # rows from here on are the tail's, before they are in order
        kept = np.ones(len(table), bool)
        kept[table.rows(sorted(tail.gone))[0]] = False
        others = tail.table(tuple(table.vocabulary))
        groups = _groups(release, tail, self._tail)
        self.products, self._origin = table.with_others(kept, others, groups)
        self._place = np.full(self._first + len(self._tail), -1, np.int64)
        self._place[self._origin] = np.arange(len(self._origin))
        self._kept = kept
        self._gone = self._first - int(np.count_nonzero(kept))
        self._of_release = self._origin < self._first

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None, exclude: Sequence[int | None]
    ) -> list[Neighbours]:
        """See `Shelf`."""
        own = [None if row is None else int(self._origin[row]) for row in exclude]
        few_gone = allowed is None and self._gone <= _FEW_GONE
        in_release = self._release.search(
            queries,
            k + self._gone if few_gone else k,
            None if few_gone else self._in_release(allowed),
            [row if row is not None and row < self._first else None for row in own],
        )
        places = self._place[self._first :]
        shown = places if allowed is None else places[allowed[places]]
        return [
            self._best(near, query, shown, k, row)
            for near, query, row in zip(in_release, queries, exclude, strict=True)
        ]

    def vectors_of(self, rows: Rows) -> Vectors:
        """See `Shelf`."""
        origin = self._origin[rows]
        vectors = np.empty((len(rows), self._tail.shape[1]), np.float32)
        of_release = origin < self._first
        vectors[of_release] = self._release.vectors[origin[of_release]]
        vectors[~of_release] = self._tail[origin[~of_release] - self._first]
        return vectors

    def part(self, row: int) -> str:
        """See `Shelf`."""
        return RELEASE if self._of_release[row] else TAIL

    def _in_release(self, allowed: Mask | None) -> Mask:
        """[m] bool of this shelf as [n] bool of the release's rows."""
        if allowed is None:
            return self._kept
        mask = np.zeros(self._first, bool)
        mask[self._origin[self._of_release]] = allowed[self._of_release]
        return mask

    def _best(
        self,
        near: Neighbours,
        query: Vectors,
        rows: Rows,
        k: int,
        own: int | None,
    ) -> Neighbours:
        """The release's neighbours (its rows) and the tail's, k at most, ties by row."""
        table = np.array(near, np.float64).reshape(-1, 2)
        near_rows = self._place[table[:, 0].astype(np.int64)]
        stands = near_rows >= 0
        if own is not None:
            rows = rows[rows != own]
        scores = exact_scores(self._tail, query, self._origin[rows] - self._first)
        all_rows = np.concatenate([near_rows[stands], rows])
        all_scores = np.concatenate([table[stands, 1], scores])
        order = np.lexsort((all_rows, -all_scores))[:k]
        return list(zip(all_rows[order].tolist(), all_scores[order].tolist(), strict=True))


def _groups(release: ReleaseShelf, tail: Tail, vectors: Vectors) -> npt.NDArray[np.int32] | None:
    """[n + t] who shows the same picture, None where nobody does.

    A product of the tail is in the group of whoever has its very vector: itself before the
    change, the nearest of the release, or one before it in the tail. Near duplicates are
    found by the night.
    """
    table, first = release.products, len(release.products)
    groups = np.arange(first + len(vectors), dtype=np.int32)
    if table.groups is not None:
        groups[:first] = table.groups
        groups[first:] += int(table.groups.max(initial=0)) + 1
    for place, change in enumerate(tail.upserts):
        itself = table.rows([change.product])[0].tolist()
        nearest = release.search(vectors[place : place + 1], 1, None, [None])[0]
        for row in (*itself, *(row for row, _ in nearest)):
            if _same(release.vectors[row], vectors[place]):
                groups[first + place] = groups[row]
                break
        else:
            like = np.flatnonzero(np.abs(vectors[:place] - vectors[place]).max(1) < _SAME_VECTOR)
            if len(like):
                groups[first + place] = groups[first + like[0]]
    joined = len(np.unique(groups)) < len(groups)
    return groups if joined else None


def _same(one: Vectors, other: Vectors) -> bool:
    return bool(np.abs(one - other).max() < _SAME_VECTOR)
