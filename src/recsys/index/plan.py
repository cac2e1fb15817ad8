"""Which FAISS indexes fit a catalog of a given size."""

from __future__ import annotations

import math
import re
from typing import Final

from recsys.errors import SettingsInvalid

AUTO: Final = "auto"
# Exact search of 10,000 × 192 takes a millisecond on one core; above, an index pays.
EXACT_UP_TO: Final = 10_000
# One thread links a graph, so that it is the same every time: one or two minutes for so many.
_GRAPH_UP_TO: Final = 100_000
# With half as many, some products among many alike cannot be reached at any breadth.
_GRAPH_LINKS: Final = 32
# Twice as many links on the ground as above it, four bytes each.
_GRAPH_BYTES: Final = 2 * _GRAPH_LINKS * 4
# Half-precision numbers find as much and are read sooner; scores are made of the vectors.
_HALF_BYTES: Final = 2
# FAISS keeps a row number beside each vector in a list.
_ROW_NUMBER_BYTES: Final = 8
# FAISS wants 39 training vectors for each centroid it learns (Clustering.h).
_TRAINING_VECTORS: Final = 39
_PQ_CENTROIDS: Final = 256

_ALLOWED: Final = (
    "auto, Flat, SQ8, SQfp16, HNSW<links>, HNSW<links>_SQfp16, IVF<lists>,Flat,"
    " IVF<lists>,SQ8, IVF<lists>,SQfp16 or IVF<lists>,PQ<bytes>"
)
_PLAIN = re.compile(r"Flat|SQ8|SQfp16")
_HNSW = re.compile(r"HNSW(?P<links>\d{1,4})(,Flat|_SQfp16)?")
_IVF = re.compile(r"IVF(?P<lists>\d{1,7}),(Flat|SQ8|SQfp16|PQ(?P<bytes>\d{1,4}))")


def plan(rows: int, dimension: int, factory: str, max_bytes: int) -> tuple[str, ...]:
    """The FAISS factory strings to choose among for [rows, dimension] vectors.

    ``auto`` is exact search (``Flat``) up to `EXACT_UP_TO` vectors. Beyond, exact search is
    the measure for a graph (HNSW), where one thread can link it in a minute or two, and for
    inverted lists, twice the square root of the rows of them, rounded to a power of two,
    and half as many. The lists hold the vectors themselves where they fit into
    ``max_bytes``, else a byte for each number (SQ8), else product codes of a byte for four
    numbers (PQ). Anything else is checked and given back alone.

    Raises
    ------
    SettingsInvalid
        A factory that we do not know, or that this catalog is too small for; says what is
        allowed.
    """
    if rows < 1 or dimension < 1:
        raise SettingsInvalid(f"an index needs vectors, found {rows} × {dimension}")
    if factory == AUTO:
        return _by_size(rows, dimension, max_bytes)
    if match := _HNSW.fullmatch(factory):
        _within(factory, "links", int(match["links"]), 4, 128)
    elif match := _IVF.fullmatch(factory):
        _within(factory, "lists", int(match["lists"]), 1, rows // _TRAINING_VECTORS)
        if match["bytes"]:
            _check_codes(factory, int(match["bytes"]), rows, dimension)
    elif not _PLAIN.fullmatch(factory):
        raise SettingsInvalid(
            f"RECSYS_INDEX_FACTORY: unknown index {factory[:80]!r}; allowed: {_ALLOWED}"
        )
    return (factory,)


def _by_size(rows: int, dimension: int, max_bytes: int) -> tuple[str, ...]:
    if rows <= EXACT_UP_TO:
        return ("Flat",)
    lists = 1 << round(math.log2(2 * math.sqrt(rows)))
    codes = _codes(rows, dimension, max_bytes)
    graph_bytes = rows * (_HALF_BYTES * dimension + _GRAPH_BYTES)
    fits = rows <= _GRAPH_UP_TO and graph_bytes <= max_bytes
    graph = (f"HNSW{_GRAPH_LINKS}_SQfp16",) if fits else ()
    return ("Flat", *graph, f"IVF{lists // 2},{codes}", f"IVF{lists},{codes}")


def _codes(rows: int, dimension: int, max_bytes: int) -> str:
    """What the lists hold of each vector."""
    each = max_bytes / rows - _ROW_NUMBER_BYTES
    if each >= 4 * dimension:
        return "Flat"
    if each >= dimension:
        return "SQ8"
    code = max(size for size in range(1, dimension // 4 + 1) if dimension % size == 0)
    return f"PQ{code}"


def _within(factory: str, what: str, found: int, lowest: int, highest: int) -> None:
    if not lowest <= found <= highest:
        raise SettingsInvalid(
            f"RECSYS_INDEX_FACTORY: {factory!r} has {found} {what}; this catalog allows"
            f" {lowest} to {highest}, or use 'auto'"
        )


def _check_codes(factory: str, code_bytes: int, rows: int, dimension: int) -> None:
    _within(factory, "bytes a vector", code_bytes, 1, dimension)
    if dimension % code_bytes:
        raise SettingsInvalid(
            f"RECSYS_INDEX_FACTORY: {factory!r} cannot split {dimension} dimensions into"
            f" {code_bytes} equal parts; use a divisor of {dimension}"
        )
    if rows < _TRAINING_VECTORS * _PQ_CENTROIDS:
        raise SettingsInvalid(
            f"RECSYS_INDEX_FACTORY: {factory!r} needs {_TRAINING_VECTORS * _PQ_CENTROIDS:,}"
            f" products to learn its codes, this catalog has {rows:,}; use 'auto'"
        )
