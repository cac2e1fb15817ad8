"""One release, opened and ready: from checked queries to recommendations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recsys import images
from recsys.artifacts.base import require
from recsys.artifacts.products import ProductTable
from recsys.artifacts.release import (
    INDEX_FILE,
    MODEL_FILE,
    VECTORS_FILE,
    Release,
    verify_release,
)
from recsys.embedding.encoder import Encoder
from recsys.errors import (
    ArtifactInvalid,
    ImageRejected,
    ProductUnknown,
    QueryRejected,
    RecsysError,
)
from recsys.index.build import open_index
from recsys.index.search import search
from recsys.serving.ranking import SCORE_DIGITS, Found, Ranked, candidates, rank, told
from recsys.serving.requests import Query, Selection

# A few more than are needed, for the duplicates among them, and how far to look if they do
# not suffice.
_SPARE: Final = 8
_WIDEN: Final = 4
# What masks of conditions may take of a worker's memory.
_MASK_BYTES: Final = 32 << 20
_FEWEST_MASKS: Final = 4
_MOST_MASKS: Final = 512

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """The recommendations for one query, closest first.

    Each result holds ``product_id``, ``score`` (cosine, -1 to 1, higher is closer),
    ``name`` and ``attributes``; and ``rank_score``, what it was ranked by, where that is
    not the score. ``underfilled`` when there are fewer than were asked for: no more
    products may be shown, or the release is that small. ``unknown_products`` are the ids
    that were to choose among and are not in the release.
    """

    results: tuple[dict[str, Any], ...]
    underfilled: bool
    unknown_products: tuple[str, ...] = ()


class ServingRelease:
    """A verified release, its parts mapped into memory, its model warm.

    Safe to use from several threads.
    """

    def __init__(
        self,
        release: Release,
        products: ProductTable,
        vectors: Vectors,
        index: Any,
        encoder: Encoder,
        image_limits: images.ImageLimits,
    ) -> None:
        """Use `open`, which checks that the parts belong together."""
        self.release = release
        self._products = products
        self._vectors = vectors
        self._index = index
        self._encoder = encoder
        self._image_limits = image_limits
        masks = max(_FEWEST_MASKS, min(_MOST_MASKS, _MASK_BYTES // len(products)))
        self._satisfying = lru_cache(masks)(products.satisfying)

    @classmethod
    def open(cls, folder: Path, image_limits: images.ImageLimits) -> ServingRelease:
        """Re-hash a release folder, map it and ask it one query of each kind.

        Raises
        ------
        ArtifactInvalid
            A file is missing or damaged, or the parts do not fit together; says which.
        """
        release = verify_release(folder)
        try:
            opened = cls(
                release,
                ProductTable.load(folder),
                np.load(folder / VECTORS_FILE, mmap_mode="r", allow_pickle=False),
                open_index(
                    folder / INDEX_FILE,
                    rows=release.products,
                    dimension=release.dimension,
                    breadth=release.breadth,
                ),
                Encoder(folder / MODEL_FILE),
                image_limits,
            )
            opened._check()
            opened._warm()
        except (RecsysError, OSError, ValueError, KeyError, RuntimeError) as error:
            raise ArtifactInvalid(f"release {folder.name} cannot be opened: {error}") from error
        return opened

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        """Answer queries together; those that choose among the same products share a search.

        A product asked about is never in its own results.

        Raises
        ------
        ProductUnknown
            A query names a product that the release does not hold.
        QueryRejected
            Bytes that are not an acceptable image, or a condition or boost on a field or
            value that the release does not have.
        """
        rows = [self._row(query) for query in queries]
        vectors = self._query_vectors(queries, rows)
        answers: dict[int, Answer] = {}
        for selection, places in _by_selection(queries).items():
            allowed, unknown = self._allowed(selection, queries[places[0]])
            for place, chosen in self._chosen(queries, vectors, rows, places, allowed).items():
                ranked = self._ranked(chosen, queries[place])
                answers[place] = self._describe(ranked, queries[place].k, unknown)
        return [answers[place] for place in range(len(queries))]

    def _row(self, query: Query) -> int | None:
        if query.product_id is None:
            return None
        try:
            return self._products.row(query.product_id)
        except ProductUnknown as error:
            raise ProductUnknown(_labelled(query, str(error))) from error

    def _query_vectors(self, queries: Sequence[Query], rows: Sequence[int | None]) -> Vectors:
        """[n_queries, dimension] float32, unit norm: looked up, or embedded just now."""
        vectors = np.empty((len(queries), self.release.dimension), np.float32)
        for place, (query, row) in enumerate(zip(queries, rows, strict=True)):
            # One image at a time: the encoder pads a few to a batch made for whole catalogs.
            vectors[place] = (
                self._encoder.embed(self._pixels(query)[None])[0]
                if row is None
                else self._vectors[row]
            )
        return vectors

    def _pixels(self, query: Query) -> npt.NDArray[np.uint8]:
        """[height, width, 3] uint8 of a query's image."""
        try:
            return images.load(
                query.image or b"",
                self.release.image_width,
                self.release.image_height,
                self._image_limits,
            )
        except ImageRejected as error:
            raise QueryRejected(_labelled(query, str(error))) from error

    def _allowed(
        self, selection: Selection, query: Query
    ) -> tuple[npt.NDArray[np.bool_] | None, tuple[str, ...]]:
        """[n] the rows that may be shown, None for all; and ids to choose among of no product."""
        if selection == Selection():
            return None, ()
        try:
            masks = [self._satisfying(*condition) for condition in selection.where]
        except QueryRejected as error:
            raise QueryRejected(_labelled(query, str(error))) from error
        allowed = reduce(np.logical_and, masks, np.ones(len(self._products), bool))
        unknown: tuple[str, ...] = ()
        if selection.only is not None:
            rows, unknown = self._products.rows(selection.only)
            listed = np.zeros(len(allowed), bool)
            listed[rows] = True
            allowed &= listed
        allowed[self._products.rows(selection.exclude)[0]] = False
        return allowed, unknown

    def _chosen(
        self,
        queries: Sequence[Query],
        vectors: Vectors,
        rows: Sequence[int | None],
        places: Sequence[int],
        allowed: npt.NDArray[np.bool_] | None,
    ) -> dict[int, Found]:
        """The candidates of each query at these places; looks further where groups hide some."""
        chosen: dict[int, Found] = {}
        waiting = list(places)
        fetch = max(
            _first_fetch(queries[place], self._groups(queries[place]) is not None)
            for place in places
        )
        while waiting:
            found = search(
                self._index,
                self._vectors,
                vectors[waiting],
                fetch,
                allowed=allowed,
                exclude=[rows[place] for place in waiting],
            )
            for place, neighbours in zip(waiting, found, strict=True):
                query = queries[place]
                enough = candidates(
                    _found(neighbours, fetch),
                    query.k,
                    query.quality,
                    self._groups(query),
                )
                if enough is not None:
                    chosen[place] = enough
            waiting = [place for place in waiting if place not in chosen]
            fetch *= _WIDEN
        return chosen

    def _ranked(self, chosen: Found, query: Query) -> Ranked:
        try:
            return rank(
                chosen,
                query.k,
                query.quality,
                self._groups(query),
                partial(self._boosts, query),
                self._vectors,
            )
        except QueryRejected as error:
            raise QueryRejected(_labelled(query, str(error))) from error

    def _groups(self, query: Query) -> npt.NDArray[np.int32] | None:
        return self._products.groups if query.quality.collapse else None

    def _boosts(self, query: Query, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """[n] what a query adds to the score of each of these rows."""
        added = np.zeros(len(rows))
        for field, value, weight in query.quality.boost:
            if query.quality.boost_is_default and not self._products.has(field, value):
                continue
            _, codes = self._products.coded(field, "boost")
            added[codes[rows] == self._products.code(field, value, "boost")] += weight
        return added

    def _describe(self, ranked: Ranked, k: int, unknown: tuple[str, ...]) -> Answer:
        results = tuple(
            self._result(*result)
            for result in zip(
                ranked.rows.tolist(),
                told(ranked.scores).tolist(),
                np.where(ranked.rank_scores == ranked.scores, np.nan, ranked.rank_scores).tolist(),
                strict=True,
            )
        )
        return Answer(results, underfilled=len(results) < k, unknown_products=unknown)

    def _result(self, row: int, score: float, rank_score: float) -> dict[str, Any]:
        result = {**self._products.describe(row), "score": score}
        if not math.isnan(rank_score):
            result["rank_score"] = round(rank_score, SCORE_DIGITS)
        return result

    def _check(self) -> None:
        release = self.release
        shape = (release.products, release.dimension)
        require(len(self._products) == release.products, "the product table has another length")
        require(
            self._vectors.shape == shape and self._vectors.dtype == np.float32,
            f"vectors are {self._vectors.dtype} {self._vectors.shape}, expected float32 {shape}",
        )
        require(
            self._encoder.dimension == release.dimension,
            f"the model embeds into {self._encoder.dimension} dimensions, not {release.dimension}",
        )
        size = (release.image_width, release.image_height)
        require(
            tuple(self._encoder.image_size) == size,
            f"the model takes {self._encoder.image_size} images, not {size} (width, height)",
        )

    def _warm(self) -> None:
        blank = np.zeros((1, self.release.image_height, self.release.image_width, 3), np.uint8)
        search(self._index, self._vectors, self._encoder.embed(blank), 1)
        first = self._products.describe(0)["product_id"]
        (answer,) = self.answer([Query(1, first)])
        require(
            all(result["product_id"] != first for result in answer.results),
            "a product is among its own recommendations",
        )


def _by_selection(queries: Sequence[Query]) -> dict[Selection, list[int]]:
    places: dict[Selection, list[int]] = {}
    for place, query in enumerate(queries):
        places.setdefault(query.selection, []).append(place)
    return places


def _first_fetch(query: Query, collapses: bool) -> int:
    """So many neighbours mostly suffice."""
    per_result = query.quality.candidates_per_result if query.quality.reorders else 1
    return query.k * per_result + (_SPARE if collapses else 0)


def _found(neighbours: Sequence[tuple[int, float]], fetch: int) -> Found:
    table = np.array(neighbours, np.float64).reshape(-1, 2)
    return Found(table[:, 0].astype(np.int64), table[:, 1], complete=len(table) < fetch)


def _labelled(query: Query, message: str) -> str:
    return f"{query.label}: {message}" if query.label else message
