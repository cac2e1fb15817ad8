"""One release, opened and ready: from checked queries to recommendations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
from recsys.serving.requests import Query

# A float32 cosine is good to about seven digits.
_SCORE_DIGITS: Final = 6

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """The recommendations for one query, closest first.

    Each result holds ``product_id``, ``score`` (cosine, -1 to 1, higher is closer),
    ``name`` and ``attributes``. ``underfilled`` when there are fewer than were asked for:
    no more products satisfy the conditions, or the release is that small.
    """

    results: tuple[dict[str, Any], ...]
    underfilled: bool


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
                    nprobe=release.nprobe,
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
        """Answer queries together; those with equal conditions share one search.

        A product asked about is never in its own results.

        Raises
        ------
        ProductUnknown
            A query names a product that the release does not hold.
        QueryRejected
            Bytes that are not an acceptable image, or a condition on a field or value that
            the release does not have.
        """
        rows = [self._row(query) for query in queries]
        vectors = self._query_vectors(queries, rows)
        answers: dict[int, Answer] = {}
        for where, places in _by_conditions(queries).items():
            allowed = self._allowed(where, queries[places[0]]) if where else None
            found = search(
                self._index,
                self._vectors,
                vectors[places],
                max(queries[place].k for place in places),
                allowed=allowed,
                exclude=[rows[place] for place in places],
            )
            for place, neighbours in zip(places, found, strict=True):
                answers[place] = self._describe(neighbours, queries[place].k)
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
        self, where: tuple[tuple[str, tuple[str, ...]], ...], query: Query
    ) -> npt.NDArray[np.bool_]:
        try:
            return self._products.mask(dict(where))
        except QueryRejected as error:
            raise QueryRejected(_labelled(query, str(error))) from error

    def _describe(self, neighbours: Sequence[tuple[int, float]], k: int) -> Answer:
        results = tuple(
            {
                **self._products.describe(row),
                "score": round(min(1.0, max(-1.0, float(score))), _SCORE_DIGITS),
            }
            for row, score in neighbours[:k]
        )
        return Answer(results, underfilled=len(results) < k)

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


def _by_conditions(
    queries: Sequence[Query],
) -> dict[tuple[tuple[str, tuple[str, ...]], ...], list[int]]:
    places: dict[tuple[tuple[str, tuple[str, ...]], ...], list[int]] = {}
    for place, query in enumerate(queries):
        places.setdefault(query.where, []).append(place)
    return places


def _labelled(query: Query, message: str) -> str:
    return f"{query.label}: {message}" if query.label else message
