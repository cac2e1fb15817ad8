"""The one search: what a shopper gets, and what the recall gate measures.

Whatever the index finds is scored again on the vectors themselves, so that a score is the
exact cosine under every index, and identical products always tie and stand in row order.
A filter is applied inside the search. A query that the index answers with too few
neighbours while there are more is answered exactly instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import faiss
import numpy as np
import numpy.typing as npt

from recsys.artifacts.base import require
from recsys.errors import QueryRejected
from recsys.index.threads import one_thread

# (row, score) of one query's neighbours: score is the cosine, highest first, ties by row.
Neighbours = list[tuple[int, float]]

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

# The stubs that FAISS brings lag behind its Python layer.
_faiss: Any = faiss

# Up to so many allowed rows, reading just those is exact and no slower than any index.
_EXACT_UP_TO_ROWS: Final = 20_000
_BLOCK_ROWS: Final = 65_536
# Candidates beyond k, so that ties at the k-th place are seen; four times as many where
# the index knows the vectors only roughly.
_MARGIN: Final = 8
_LOSSY_FACTOR: Final = 4
_WIDEN: Final = 4
# Fewer queries than this are not worth waking threads: on busy cores one query over 40,000
# vectors then waits 16 ms for them and takes 0.7 ms alone.
_SHARED_FROM: Final = 16
# Two float32 sums of the same products in another order differ by less.
_ROUNDING: Final = 1e-5
_LOSSY: Final = (faiss.IndexScalarQuantizer, faiss.IndexIVFScalarQuantizer, faiss.IndexIVFPQ)


def search(
    index: Any,
    vectors: Vectors,
    queries: Vectors,
    k: int,
    *,
    allowed: npt.NDArray[np.bool_] | None = None,
    exclude: Sequence[int | None] | None = None,
) -> list[Neighbours]:
    """The ``k`` nearest rows of each query.

    Parameters
    ----------
    index
        As `build` or `open_index` gives it. Safe to search from several threads.
    vectors
        [n, dimension] float32, unit norm: what the index was built of; a map is fine.
    queries
        [q, dimension] float32, unit norm.
    k
        How many neighbours, at least 1; may exceed n.
    allowed
        [n] the rows that may be found; all by default.
    exclude
        [q] for each query a row that it must not find (its own), or None.

    Returns
    -------
        For each query its (row, score) pairs, score descending, ties by row. Fewer than
        ``k`` only when no more rows may be found.

    Raises
    ------
    QueryRejected
        ``k`` is below 1.
    ArtifactInvalid
        A query is not finite, or index, vectors, queries, filter and exclusions do not fit
        together.
    """
    queries = np.ascontiguousarray(queries, np.float32)
    _check(index, vectors, queries, k, allowed, exclude)
    own: list[int | None] = list(exclude) if exclude is not None else [None] * len(queries)
    rows = None if allowed is None or allowed.all() else np.flatnonzero(allowed)
    if rows is not None and len(rows) <= _EXACT_UP_TO_ROWS:
        return _exact(vectors, queries, k, rows, own)
    return _by_index(index, vectors, queries, k, rows, own)


def _check(
    index: Any,
    vectors: Vectors,
    queries: Vectors,
    k: int,
    allowed: npt.NDArray[np.bool_] | None,
    exclude: Sequence[int | None] | None,
) -> None:
    shape = (index.ntotal, index.d)
    require(vectors.shape == shape, f"an index over {shape} searched with {vectors.shape} vectors")
    require(
        queries.ndim == 2 and queries.shape[1] == index.d,
        f"queries have shape {queries.shape}, the index takes [queries, {index.d}]",
    )
    require(
        allowed is None or (allowed.shape == shape[:1] and allowed.dtype == np.bool_),
        f"a filter must be bool [{shape[0]}]",
    )
    require(
        exclude is None or len(exclude) == len(queries),
        f"{len(exclude or ())} exclusions for {len(queries)} queries",
    )
    if k < 1:
        raise QueryRejected(f"k is {k}; ask for at least 1 neighbour")
    require(
        bool(np.isfinite(queries).all()),
        "a query vector is not finite and so has no neighbours; the model that made it is unfit",
    )


def _by_index(
    index: Any, vectors: Vectors, queries: Vectors, k: int, rows: Rows | None, own: list[int | None]
) -> list[Neighbours]:
    count = index.ntotal if rows is None else len(rows)
    selector = None if rows is None else _selector(index.ntotal, rows)
    found: dict[int, Neighbours] = {}
    waiting = list(range(len(queries)))
    fetch = (k + 1) * (_LOSSY_FACTOR if isinstance(index, _LOSSY) else 1) + _MARGIN
    while waiting:
        fetch = min(fetch, count)
        with one_thread(len(waiting) < _SHARED_FROM):
            scores, ids = index.search(
                queries[waiting], fetch, params=_parameters(index, fetch, count, selector)
            )
        for place, (place_scores, place_ids) in zip(
            waiting, zip(scores, ids, strict=True), strict=True
        ):
            if fetch < count and _ends_in_a_tie(place_scores, place_ids, k):
                continue
            found[place] = _ranked(
                vectors, queries[place], place_ids[place_ids >= 0], k, own[place]
            )
        waiting = [place for place in waiting if place not in found]
        fetch *= _WIDEN
    return [
        _filled(vectors, queries, place, found[place], k, rows, own)
        for place in range(len(queries))
    ]


def _selector(total: int, rows: Rows) -> Any:
    allowed = np.zeros(total, bool)
    allowed[rows] = True
    return _faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))


def _parameters(index: Any, fetch: int, count: int, selector: Any) -> Any:
    """Search harder under a filter, as if as many allowed rows were met as without one."""
    harder = index.ntotal / count
    if isinstance(index, faiss.IndexIVF):
        nprobe = min(index.nlist, math.ceil(index.nprobe * harder))
        return _faiss.SearchParametersIVF(sel=selector, nprobe=nprobe)
    if isinstance(index, faiss.IndexHNSW):
        width = max(index.hnsw.efSearch, 2 * fetch)
        return _faiss.SearchParametersHNSW(
            sel=selector, efSearch=min(index.ntotal, math.ceil(width * harder))
        )
    return _faiss.SearchParameters(sel=selector)


def _ends_in_a_tie(scores: Vectors, ids: Rows, k: int) -> bool:
    """Whether rows that were cut off may tie with the last place that is asked for.

    The place after the k-th decides, since an excluded row may stand among the first k.
    """
    return bool(ids[-1] >= 0 and scores[-1] >= scores[min(k, len(scores) - 1)] - _ROUNDING)


def _filled(
    vectors: Vectors,
    queries: Vectors,
    place: int,
    found: Neighbours,
    k: int,
    rows: Rows | None,
    own: list[int | None],
) -> Neighbours:
    """What was found, or the exact answer when the index stopped short of what there is."""
    possible = len(vectors) if rows is None else len(rows)
    excluded = own[place]
    if excluded is not None and (rows is None or excluded in rows):
        possible -= 1
    if len(found) >= min(k, possible):
        return found
    return _exact(vectors, queries[place : place + 1], k, rows, own[place : place + 1])[0]


def _exact(
    vectors: Vectors, queries: Vectors, k: int, rows: Rows | None, own: list[int | None]
) -> list[Neighbours]:
    """Every allowed row is scored; exact whatever the index."""
    count = len(vectors) if rows is None else len(rows)
    scores = np.empty((len(queries), count), np.float32)
    for start in range(0, count, _BLOCK_ROWS):
        part = slice(start, start + _BLOCK_ROWS)
        block = vectors[part] if rows is None else vectors[rows[part]]
        scores[:, part] = queries @ block.T
    answers = []
    for query, query_scores, excluded in zip(queries, scores, own, strict=True):
        near = _at_least_kth(query_scores, k + 1)
        answers.append(_ranked(vectors, query, near if rows is None else rows[near], k, excluded))
    return answers


def _at_least_kth(scores: Vectors, k: int) -> Rows:
    """Positions of the k highest scores and of all that tie with the last of them."""
    if k >= len(scores):
        return np.arange(len(scores))
    kth = np.partition(scores, len(scores) - k)[len(scores) - k]
    return np.flatnonzero(scores >= kth - _ROUNDING)


def _ranked(
    vectors: Vectors, query: Vectors, rows: Rows, k: int, excluded: int | None
) -> Neighbours:
    """The k best of the candidate rows by exact score."""
    rows = np.sort(rows if excluded is None else rows[rows != excluded])
    # Row by row and not a matrix product, whose rounding depends on a row's place in it:
    # identical products must tie.
    scores = (vectors[rows] * query).sum(axis=1, dtype=np.float32)
    order = np.lexsort((rows, -scores))[:k]
    return list(zip(rows[order].tolist(), scores[order].tolist(), strict=True))
