"""One release, opened and ready: from checked queries to recommendations."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
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
from recsys.changes import Spool
from recsys.embedding.encoder import Encoder
from recsys.errors import (
    ArtifactInvalid,
    ImageRejected,
    ProductUnknown,
    QueryRejected,
    RecsysError,
)
from recsys.index.build import open_index
from recsys.serving.explaining import explanations
from recsys.serving.ranking import (
    SCORE_DIGITS,
    Found,
    Ranked,
    candidates,
    closest,
    rank,
    told_one,
)
from recsys.serving.remembered import Remembered
from recsys.serving.requests import ANYTHING, Quality, Query, Selection
from recsys.serving.shelf import ChangedShelf, ReleaseShelf, Shelf
from recsys.serving.tail import Tail, read_tail

# A few more than are needed, for the duplicates among them, and how far to look if they do
# not suffice.
_SPARE: Final = 8
_WIDEN: Final = 4
# What masks of conditions may take of a worker's memory.
_MASK_BYTES: Final = 32 << 20
_FEWEST_MASKS: Final = 4
_MOST_MASKS: Final = 512

# Answers for products of the catalog: some half a kilobyte each at ten results, so that of an
# answer with more than _MOST_RESULTS none is kept.
_MOST_NEIGHBOURS: Final = 16_384
_MOST_RESULTS: Final = 32

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """The recommendations for one query, closest first.

    Each result holds ``product_id``, ``score`` (cosine, -1 to 1, higher is closer),
    ``name``, ``attributes`` and ``part`` (release or tail); ``rank_score``, what it was
    ranked by, where that is not the score; and ``explanation`` where the query asks for it
    (`recsys.serving.explaining`). ``underfilled`` when there are fewer than were
    asked for: no more products may be shown, or there are no more. ``unknown_products`` are
    the ids that were to choose among and are not there.
    """

    results: tuple[dict[str, Any], ...]
    underfilled: bool
    unknown_products: tuple[str, ...] = ()


class ServingRelease:
    """A verified release, its parts mapped into memory, its model warm.

    Alone, or with the changes that were made since. Safe to use from several threads.
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
        self._whole = ReleaseShelf(products, vectors, index)
        self._encoder = encoder
        self._image_limits = image_limits
        self._put(self._whole, Tail(release.changes_through))

    def _put(self, shelf: Shelf, tail: Tail) -> None:
        self._shelf = shelf
        self._tail = tail
        self._products = shelf.products
        masks = max(_FEWEST_MASKS, min(_MOST_MASKS, _MASK_BYTES // max(1, len(shelf.products))))
        self._satisfying = lru_cache(masks)(shelf.products.satisfying)
        self._neighbours = Remembered[Ranked](_MOST_NEIGHBOURS)

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
                # A map is looked into more slowly than an array over it.
                np.asarray(np.load(folder / VECTORS_FILE, mmap_mode="r", allow_pickle=False)),
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

    @property
    def changes(self) -> int:
        """The number of the last change that answers take account of, 0 for none."""
        return self._tail.through

    @property
    def products(self) -> int:
        """How many products can be shown."""
        return len(self._products)

    def with_changes(self, spool: Spool) -> ServingRelease:
        """The same release with the changes that it has not folded in; this one stays as it is.

        Pictures that this one embedded are not embedded again.
        """
        folded = self.release.changes_through
        return self.with_tail(read_tail(spool, folded, self._embedded, self._tail.by_picture))

    def with_tail(self, tail: Tail) -> ServingRelease:
        """As `with_changes`, which are given; whatever tail this one had is not kept."""
        changed = copy(self)
        changed._put(ChangedShelf(self._whole, tail) if tail.gone else self._whole, tail)
        return changed

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        """Answer queries together; those that choose among the same products share a search.

        A product asked about is never in its own results.

        Raises
        ------
        ProductUnknown
            A query names a product that is neither in the release nor new, or was delisted.
        QueryRejected
            Bytes that are not an acceptable image, or a condition or boost on a field or
            value that the release does not have.
        """
        rows = [self._row(query) for query in queries]
        known = [self._known(query, row) for query, row in zip(queries, rows, strict=True)]
        new = [place for place, ranked in enumerate(known) if ranked is None]
        found = iter(self._find([queries[place] for place in new], [rows[place] for place in new]))
        return [
            self._describe(*((ranked, ()) if ranked else next(found)), query, row)
            for query, row, ranked in zip(queries, rows, known, strict=True)
        ]

    def _known(self, query: Query, row: int | None) -> Ranked | None:
        """What was found for the same product before, on the same shelf."""
        key = _repeated(query, row)
        return None if key is None else self._neighbours.get(key)

    def _find(
        self, queries: Sequence[Query], rows: Sequence[int | None]
    ) -> list[tuple[Ranked, tuple[str, ...]]]:
        """The products for each query, and the ids that were to choose among and are not here."""
        vectors = self._query_vectors(queries, rows)
        found: dict[int, tuple[Ranked, tuple[str, ...]]] = {}
        for selection, places in _by_selection(queries).items():
            allowed, unknown = self._allowed(selection, queries[places[0]])
            for place, ranked in self._chosen(queries, vectors, rows, places, allowed).items():
                found[place] = ranked, unknown
                key = _repeated(queries[place], rows[place])
                if key is not None:
                    self._neighbours.put(key, ranked)
        return [found[place] for place in range(len(queries))]

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
            vectors[place] = (
                self._query_vector(query)
                if row is None
                else self._shelf.vectors_of(np.array([row]))[0]
            )
        return vectors

    def _query_vector(self, query: Query) -> Vectors:
        try:
            return self._embedded(query.image or b"")
        except ImageRejected as error:
            raise QueryRejected(_labelled(query, str(error))) from error

    def _embedded(self, picture: bytes) -> Vectors:
        """[dimension] float32 of a picture's file; raises `ImageRejected`."""
        release = self.release
        pixels = images.load(picture, release.image_width, release.image_height, self._image_limits)
        vectors = self._encoder.embed(pixels[None])
        return vectors.reshape(-1)

    def _allowed(
        self, selection: Selection, query: Query
    ) -> tuple[npt.NDArray[np.bool_] | None, tuple[str, ...]]:
        """[n] the rows that may be shown, None for all; and ids to choose among of no product."""
        if selection == ANYTHING:
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
    ) -> dict[int, Ranked]:
        """The products for each query at these places; looks further where groups hide some."""
        chosen: dict[int, Ranked] = {}
        waiting = list(places)
        fetch = max(
            _first_fetch(queries[place], self._groups(queries[place]) is not None)
            for place in places
        )
        while waiting:
            found = self._shelf.search(
                vectors[waiting], fetch, allowed, [rows[place] for place in waiting]
            )
            for place, neighbours in zip(waiting, found, strict=True):
                ranked = self._ranked(queries[place], neighbours, fetch)
                if ranked is not None:
                    chosen[place] = ranked
            waiting = [place for place in waiting if place not in chosen]
            fetch *= _WIDEN
        return chosen

    def _ranked(
        self, query: Query, neighbours: Sequence[tuple[int, float]], fetch: int
    ) -> Ranked | None:
        """The best of a query's ``fetch`` nearest; None when too few were looked at."""
        k, quality, groups = query.k, query.quality, self._groups(query)
        if not quality.reorders:
            return closest(neighbours, k, quality, groups, complete=len(neighbours) < fetch)
        enough = candidates(_found(neighbours, fetch), k, quality, groups)
        if enough is None:
            return None
        try:
            boosts = partial(self._boosts, query)
            return rank(enough, k, quality, groups, boosts, self._shelf.vectors_of)
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

    def _describe(
        self, ranked: Ranked, unknown: tuple[str, ...], query: Query, row: int | None
    ) -> Answer:
        rows, scores = ranked.rows.tolist(), ranked.scores.tolist()
        rank_scores = ranked.rank_scores.tolist()
        results = tuple(map(self._result, rows, scores, rank_scores))
        if query.explain:
            boosts = self._boosts(query, ranked.rows)
            why = explanations(self._products, ranked, boosts, row)
            for result, explanation in zip(results, why, strict=True):
                result["explanation"] = explanation
        return Answer(results, underfilled=len(results) < query.k, unknown_products=unknown)

    def _result(self, row: int, score: float, rank_score: float) -> dict[str, Any]:
        part = self._shelf.part(row)
        result = {**self._products.describe(row), "score": told_one(score), "part": part}
        if rank_score != score:
            result["rank_score"] = round(rank_score, SCORE_DIGITS)
        return result

    def _check(self) -> None:
        release = self.release
        shape = (release.products, release.dimension)
        require(len(self._products) == release.products, "the product table has another length")
        vectors = self._whole.vectors
        require(
            vectors.shape == shape and vectors.dtype == np.float32,
            f"vectors are {vectors.dtype} {vectors.shape}, expected float32 {shape}",
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
        self._whole.search(self._encoder.embed(blank), 1, None, [None])
        first = self._products.describe(0)["product_id"]
        (answer,) = self.answer([Query(1, first)])
        require(
            all(result["product_id"] != first for result in answer.results),
            "a product is among its own recommendations",
        )


def _repeated(query: Query, row: int | None) -> tuple[int, int, Quality] | None:
    """All that decides the products for a query, where the same may well be asked again."""
    if row is None or query.k > _MOST_RESULTS or query.selection != ANYTHING:
        return None
    return row, query.k, query.quality


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
