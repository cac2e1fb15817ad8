"""Group products that show the same picture, to the pixel or nearly so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.artifacts.catalog import ID_COLUMN, LABEL_COLUMN
from recsys.errors import BadInput

_Rows = npt.NDArray[np.int64]
_Vectors = npt.NDArray[np.float32]

_HASH = re.compile(r"[0-9a-f]{16}")
# Hash pairs compared at once: 8 bytes a pair for their difference, 1 for its bits.
_BLOCK_PAIRS = 4_000_000
# Pairs of close hashes that are confirmed at once, 16 bytes each: more than most catalogs have.
_HELD_PAIRS = 1_000_000
# Product ids hold no space, so that a list of them is one text.
_BETWEEN = " "

# Column → dtype of `DuplicateGroups.table`.
GROUP_COLUMNS: dict[str, str] = {
    "kind": "str",
    "group": "str",
    "size": "int64",
    "images": "int64",
    "labels": "int64",
    "conflicting": "bool",
    "products": "str",
}


# A thumbnail's rows and columns.
_THUMBNAIL = (20, 15)
_BATCH_IMAGES = 256


@dataclass(frozen=True)
class DuplicateGroups:
    """Which products show one picture.

    Attributes
    ----------
    group
        [n_products] text, the index of the products given: the smallest id (as text) among
        the products that show this picture exactly or nearly, one's own where there are
        none.
    table
        One row a group of two products or more, sorted by kind and group: ``kind`` (exact:
        the same pixels; near: several distinct images, so that an exact group may lie
        within a near one), ``group`` (its smallest id), ``size`` (products), ``images``
        (distinct ones), ``labels`` (how many article types), ``conflicting`` (more than
        one) and ``products`` (their ids, in order, with spaces between).
    """

    group: pd.Series
    table: pd.DataFrame

    def figures(self) -> pd.DataFrame:
        """One row of counts for a gate; 0 where there are no groups."""
        row: dict[str, int] = {}
        for kind in ("exact", "near"):
            groups = self.table[self.table["kind"] == kind]
            row[f"{kind}_groups"] = len(groups)
            row[f"{kind}_products"] = int(groups["size"].sum())
            row[f"{kind}_conflicting_groups"] = int(groups["conflicting"].sum())
            row[f"largest_{kind}_group"] = int(groups["size"].max()) if len(groups) else 0
        return pd.DataFrame([row])


def find_duplicates(
    products: pd.DataFrame,
    phashes: Sequence[str] | None = None,
    vectors_of: Callable[[_Rows], _Vectors] | None = None,
    *,
    max_hash_distance: int,
    min_cosine: float,
) -> DuplicateGroups:
    """Group products by their pictures.

    Two pictures are near duplicates if their perceptual hashes differ in few bits and,
    where there are vectors, those point the same way too; groups are the connected
    components. Row order does not matter. Time grows with the square of the distinct
    hashes (40,000: some seconds), memory does not.

    Parameters
    ----------
    products
        One row a product: ``id`` (unique), ``sha256_pixels`` and ``articleType``.
    phashes
        [n_products] the 64-bit perceptual hash of each product's picture as 16 lower-case
        hex digits, or None to group exact duplicates only.
    vectors_of
        Rows of ``products``, [m] ascending, to [m, dim] float32, unit norm: `thumbnails` or a
        model's embedding; or None. A pair is near only if it passes both tests. Asked for
        pictures with a close hash only, for each once, and in one call as a rule.
    max_hash_distance
        Most bits, of 64, in which the hashes of near duplicates differ.
    min_cosine
        Least cosine similarity of the vectors of near duplicates; higher is closer.

    Raises
    ------
    BadInput
        An id stands twice, a hash is none, lengths do not fit, or a threshold is out of
        range.
    """
    _check(products, phashes, max_hash_distance, min_cosine)
    table = pd.DataFrame(
        {
            "id": products[ID_COLUMN].astype(str).to_list(),
            "pixels": products["sha256_pixels"].astype(str).to_list(),
            "label": products[LABEL_COLUMN].astype(str).to_list(),
        }
    )
    image, _ = pd.factorize(table["pixels"])
    first = np.unique(image, return_index=True)[1]  # a row that shows each image
    component = np.arange(len(first))
    if phashes is not None:
        hashes = _as_bits(phashes)[first]
        confirmed = None if vectors_of is None else _Confirmed(vectors_of, first, min_cosine)
        component = _near_components(hashes, confirmed, max_hash_distance)
    table["exact"] = table.groupby(image)["id"].transform("min")
    table["near"] = table.groupby(component[image])["id"].transform("min")
    return DuplicateGroups(
        group=pd.Series(table["near"].to_list(), products.index, str, name="duplicate_group"),
        table=pd.concat([_describe(table, "exact"), _describe(table, "near")], ignore_index=True),
    )


def thumbnails(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Small pictures as vectors, to confirm with what the hashes suggest.

    A hash knows no colours, and studio pictures on white have much the same one; an
    embedding changes with the model, and with it the groups. These do neither.

    Parameters
    ----------
    pixels
        uint8 [n, height, width, 3], at least 20 x 15; a memory map is read in batches.

    Returns
    -------
        float32 [n, 900], unit norm (0 for a white picture): the means of 20 x 15 fields of
        each channel's distance from white, so that an empty background counts for nothing.
    """
    height, width = pixels.shape[1:3]
    rows, columns = _THUMBNAIL
    if height < rows or width < columns:
        raise BadInput(
            f"duplicates: images of {width} x {height} pixels; a thumbnail needs"
            f" {columns} x {rows} at least"
        )
    tops = np.arange(rows) * height // rows
    lefts = np.arange(columns) * width // columns
    areas = np.outer(np.diff(tops, append=height), np.diff(lefts, append=width))[..., np.newaxis]
    vectors = np.empty((len(pixels), rows * columns * 3), np.float32)
    for start in range(0, len(pixels), _BATCH_IMAGES):
        ink = 255 - np.asarray(pixels[start : start + _BATCH_IMAGES])
        tall = np.add.reduceat(ink, tops, axis=1, dtype=np.uint32)
        fields = np.add.reduceat(tall, lefts, axis=2) / areas
        flat = fields.reshape(len(ink), -1)
        norms = np.linalg.norm(flat, axis=1, keepdims=True)
        vectors[start : start + len(ink)] = flat / np.maximum(norms, 1e-9)
    return vectors


def _check(
    products: pd.DataFrame,
    phashes: Sequence[str] | None,
    max_hash_distance: int,
    min_cosine: float,
) -> None:
    if products[ID_COLUMN].duplicated().any():
        raise BadInput("duplicates: a product id stands twice; give one row a product")
    if not 0 <= max_hash_distance < 32:
        raise BadInput(
            f"duplicates: hashes that differ in {max_hash_distance} bits; allowed: 0 to 31"
            " (unrelated pictures differ in 32)"
        )
    if not -1 <= min_cosine <= 1:
        raise BadInput(f"duplicates: a least cosine of {min_cosine}; allowed: -1 to 1")
    if phashes is not None and len(phashes) != len(products):
        raise BadInput(f"duplicates: {len(phashes)} hashes for {len(products)} products")


def _as_bits(phashes: Sequence[str]) -> npt.NDArray[np.uint64]:
    wrong = [text for text in phashes if _HASH.fullmatch(text) is None]
    if wrong:
        raise BadInput(
            f"duplicates: {len(wrong)} perceptual hashes are none, such as {wrong[0][:40]!r};"
            " expected 16 lower-case hex digits"
        )
    return np.array([int(text, 16) for text in phashes], np.uint64)


class _Confirmed:
    """Which pairs of pictures are alike by their vectors, each made when it is first needed.

    ``first`` [n_images] is a row that shows each picture.
    """

    def __init__(
        self, vectors_of: Callable[[_Rows], _Vectors], first: _Rows, min_cosine: float
    ) -> None:
        self._vectors_of, self._first, self._min_cosine = vectors_of, first, min_cosine
        self._places = np.full(len(first), -1)
        self._made: list[_Vectors] = []

    def alike(self, left: _Rows, right: _Rows) -> npt.NDArray[np.bool_]:
        """[pairs] whether the cosine of the two pictures' vectors suffices."""
        vectors = self._vectors(left, right)
        return _alike(self._places[left], self._places[right], vectors, self._min_cosine)

    def _vectors(self, left: _Rows, right: _Rows) -> _Vectors:
        """[made, dim]; those of these pictures are among them, at their ``_places``."""
        missing = self._places < 0
        needed = np.zeros_like(missing)
        needed[left] = needed[right] = True
        pictures = np.flatnonzero(needed & missing)
        if len(pictures):
            pictures = pictures[np.argsort(self._first[pictures])]
            found = self._vectors_of(self._first[pictures])
            if len(found) != len(pictures):
                raise BadInput(f"duplicates: {len(found)} vectors for {len(pictures)} products")
            self._places[pictures] = np.count_nonzero(~missing) + np.arange(len(pictures))
            self._made = [np.concatenate([*self._made, found])]
        return self._made[0]


def _near_components(
    hashes: npt.NDArray[np.uint64], confirmed: _Confirmed | None, max_hash_distance: int
) -> _Rows:
    """[n_images] the first image of each one's connected component.

    Pairs are united as they come: a catalog of look-alikes has too many to hold.
    """
    roots = np.arange(len(hashes))
    for left, right in _gathered(_close_hashes(hashes, max_hash_distance)):
        apart = roots[left] != roots[right]
        left, right = left[apart], right[apart]
        if confirmed is not None and len(left):
            alike = confirmed.alike(left, right)
            left, right = left[alike], right[alike]
        roots = _united(roots, roots[left], roots[right])
    return roots


def _gathered(blocks: Iterator[tuple[_Rows, _Rows]]) -> Iterator[tuple[_Rows, _Rows]]:
    """The same pairs, in few and large blocks."""
    held: list[tuple[_Rows, _Rows]] = []
    pairs = 0
    for block in blocks:
        held.append(block)
        pairs += len(block[0])
        if pairs >= _HELD_PAIRS:
            yield _joined(held)
            held, pairs = [], 0
    if held:
        yield _joined(held)


def _joined(blocks: Sequence[tuple[_Rows, _Rows]]) -> tuple[_Rows, _Rows]:
    lefts, rights = zip(*blocks, strict=True)
    return np.concatenate(lefts), np.concatenate(rights)


def _close_hashes(
    hashes: npt.NDArray[np.uint64], most: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Pairs (left < right) whose hashes differ in at most so many bits, block by block."""
    start = 0
    while start < len(hashes):
        rows = max(1, _BLOCK_PAIRS // (len(hashes) - start))
        block = hashes[start : start + rows, np.newaxis]
        left, right = np.nonzero(np.bitwise_count(block ^ hashes[start:]) <= most)
        upper = left < right
        yield left[upper] + start, right[upper] + start
        start += rows


def _alike(
    left: npt.NDArray[np.int64],
    right: npt.NDArray[np.int64],
    vectors: npt.NDArray[np.float32],
    min_cosine: float,
) -> npt.NDArray[np.bool_]:
    """[pairs] whether the cosine of the vectors suffices."""
    alike = np.zeros(len(left), bool)
    step = max(1, _BLOCK_PAIRS // max(1, vectors.shape[1]))
    for start in range(0, len(left), step):
        part = slice(start, start + step)
        cosines = np.einsum("ij,ij->i", vectors[left[part]], vectors[right[part]])
        alike[part] = cosines >= min_cosine
    return alike


def _united(
    roots: npt.NDArray[np.int64], left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """``roots`` after uniting the trees of each pair of roots; the smaller root stays.

    Union-find in rounds over all pairs at once: the larger root of a pair is hung below
    the smaller one, paths are halved, and pairs still apart go round again.
    """
    parent = np.arange(len(roots))
    while len(left):
        np.minimum.at(parent, np.maximum(left, right), np.minimum(left, right))
        while not np.array_equal(parent, shorter := parent[parent]):
            parent = shorter
        left, right = parent[left], parent[right]
        apart = left != right
        left, right = left[apart], right[apart]
    return parent[roots]


def _describe(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The rows of `DuplicateGroups.table` of one kind."""
    shared = table[table[kind].duplicated(keep=False)].sort_values("id")
    groups = shared.groupby(kind)
    described = pd.DataFrame(
        {
            "kind": kind,
            "size": groups.size(),
            "images": groups["pixels"].nunique(),
            "labels": groups["label"].nunique(),
            "products": groups["id"].agg(_BETWEEN.join),
        }
    )
    if kind == "near":
        described = described[described["images"] > 1]
    described = described.rename_axis("group").reset_index()
    described["conflicting"] = described["labels"] > 1
    return described[list(GROUP_COLUMNS)].astype(GROUP_COLUMNS)
