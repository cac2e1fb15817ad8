"""The one search: what a shopper gets, and what the recall gate measures.

Whatever the index finds is scored again on the vectors themselves, so that a score is the
exact cosine under every index, and identical products always tie and stand in row order.
A filter is applied inside the search, in the way that `recsys.index.ways` chooses. A query
that the index answers with too few neighbours while there are more is answered exactly
instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, Final

import faiss
import numpy as np
import numpy.typing as npt

from recsys.errors import ArtifactInvalid, QueryRejected
from recsys.index.threads import one_thread
from recsys.index.ways import Way, way_of

# (row, score) of one query's neighbours: score is the cosine, highest first, ties by row.
Neighbours = list[tuple[int, float]]

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# The stubs that FAISS brings lag behind its Python layer.
_faiss: Any = faiss

_BLOCK_ROWS: Final = 65_536
# Candidates beyond k, so that ties at the k-th place are seen; four times as many where
# the index knows the vectors only roughly.
_MARGIN: Final = 8
_LOSSY_FACTOR: Final = 4
_WIDEN: Final = 4
# Over-fetched candidates for each allowed one that is wanted, so that a drawn filter seldom
# leaves too few; a filter that shuns the query's surroundings is answered exactly after
# so many rounds of widening.
_OVER_FETCH: Final = 1.5
_OVER_FETCH_ROUNDS: Final = 3
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
    allowed: Mask | None = None,
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
    vectors = np.asarray(vectors)  # a map is sliced and gathered from more slowly
    _check(index, vectors, queries, k, allowed, exclude)
    own: list[int | None] = list(exclude) if exclude is not None else [None] * len(queries)
    if len(queries) == 1 and allowed is None:
        found = _at_first_look(index, vectors, queries, k, own[0])
        if found is not None:
            return [found]
    among = _Among(len(vectors), allowed)
    way = way_of(among.total, among.count)
    if way is Way.SUBSET:
        return _exact(vectors, queries, k, among, own)
    return _by_index(index, vectors, queries, k, among, own, way)


def exact_scores(vectors: Vectors, query: Vectors, rows: Rows) -> Vectors:
    """[r] float32: the cosines of a query [dimension] with these [r] int64 rows of the vectors.

    ``vectors`` and ``query`` are C-contiguous, as FAISS reads them. Row by row and not a matrix
    product, whose rounding depends on a row's place in it: identical products must tie.
    """
    scores = np.empty(len(rows), np.float32)
    if len(rows):
        _faiss.fvec_inner_products_by_idx(
            _faiss.swig_ptr(scores),
            _faiss.swig_ptr(query),
            _faiss.swig_ptr(vectors),
            _faiss.swig_ptr(rows),
            vectors.shape[1],
            1,
            len(rows),
        )
    return scores


@dataclass(frozen=True)
class _Among:
    """The rows that may be found: those of ``allowed`` [total] bool, or all."""

    total: int
    allowed: Mask | None

    @cached_property
    def count(self) -> int:
        return self.total if self.allowed is None else int(np.count_nonzero(self.allowed))

    @cached_property
    def rows(self) -> Rows | None:
        """Their numbers, ascending; None for all."""
        return None if self.count == self.total else np.flatnonzero(self._mask)

    def less(self, excluded: int | None) -> int:
        """How many, when one row must not be found."""
        return self.count - (excluded is not None and self.holds(excluded))

    def holds(self, row: int) -> bool:
        return self.allowed is None or bool(self.allowed[row])

    def selector(self) -> Any:
        """For FAISS."""
        return _faiss.IDSelectorBitmap(np.packbits(self._mask, bitorder="little"))

    def only(self, ids: Rows) -> Mask:
        """Which of these rows are rows (-1 is none) and may be found."""
        return (ids >= 0) & self._mask[ids]

    @property
    def _mask(self) -> Mask:
        return np.ones(self.total, bool) if self.allowed is None else self.allowed


def _check(
    index: Any,
    vectors: Vectors,
    queries: Vectors,
    k: int,
    allowed: Mask | None,
    exclude: Sequence[int | None] | None,
) -> None:
    # Messages are made only when they are needed: they cost as much as a small search.
    rows, dimension = shape = (index.ntotal, index.d)
    if vectors.shape != shape:
        raise ArtifactInvalid(f"an index over {shape} searched with {vectors.shape} vectors")
    if queries.ndim != 2 or queries.shape[1] != dimension:
        raise ArtifactInvalid(
            f"queries have shape {queries.shape}, the index takes [queries, {dimension}]"
        )
    if allowed is not None and (allowed.shape != (rows,) or allowed.dtype != np.bool_):
        raise ArtifactInvalid(f"a filter must be bool [{rows}]")
    if exclude is not None and len(exclude) != len(queries):
        raise ArtifactInvalid(f"{len(exclude)} exclusions for {len(queries)} queries")
    if k < 1:
        raise QueryRejected(f"k is {k}; ask for at least 1 neighbour")
    # A number that is not finite makes the sum of squares so.
    if not math.isfinite(np.vdot(queries, queries)):
        raise ArtifactInvalid(
            "a query vector is not finite and so has no neighbours; the model that made it is unfit"
        )


def _at_first_look(
    index: Any, vectors: Vectors, queries: Vectors, k: int, excluded: int | None
) -> Neighbours | None:
    """The answer to one query of all rows, unless the first candidates do not settle it.

    What a shopper's request mostly is: the general way takes as long again as the index.
    """
    rows = len(vectors)
    fetch = min(_first_fetch(index, k, None), rows)
    if fetch <= k:
        return None
    scores, ids = np.empty(fetch, np.float32), np.empty(fetch, np.int64)
    with one_thread(True):
        # What `index.search` wraps: its own checks take a tenth of a search, and are done.
        index.search_c(
            1,
            _faiss.swig_ptr(queries),
            fetch,
            _faiss.swig_ptr(scores),
            _faiss.swig_ptr(ids),
            None,
        )
        if ids[-1] < 0 or (fetch < rows and scores[-1] >= scores[k] - _ROUNDING):
            return None
        return _ranked(vectors, queries[0], ids, k, excluded)


def _by_index(
    index: Any,
    vectors: Vectors,
    queries: Vectors,
    k: int,
    among: _Among,
    own: list[int | None],
    way: Way,
) -> list[Neighbours]:
    selector = among.selector() if way is Way.SELECTOR else None
    most = among.count if way is Way.SELECTOR else among.total
    # Search harder under a filter, as if as many allowed rows were met as without one.
    harder = among.total / max(1, among.count)
    fetch = _first_fetch(index, k, harder if way is Way.OVER_FETCH else None)
    found: dict[int, Neighbours] = {}
    waiting = list(range(len(queries))) if among.count else []
    rounds = 0
    while waiting and not (way is Way.OVER_FETCH and rounds == _OVER_FETCH_ROUNDS):
        fetch = min(fetch, most)
        asked = queries if len(waiting) == len(queries) else queries[waiting]
        with one_thread(len(waiting) < _SHARED_FROM):
            scores, ids = index.search(
                asked, fetch, params=_parameters(index, fetch, harder, selector)
            )
        for place, place_scores, place_ids in zip(waiting, scores, ids, strict=True):
            kept = among.only(place_ids) if way is Way.OVER_FETCH else place_ids >= 0
            if fetch < most and _more_may_come(place_scores, place_ids, kept, k):
                continue
            found[place] = _ranked(vectors, queries[place], place_ids[kept], k, own[place])
        waiting = [place for place in waiting if place not in found]
        fetch *= _WIDEN
        rounds += 1
        if way is Way.OVER_FETCH:
            harder *= _WIDEN
    return [
        _filled(vectors, queries, place, found.get(place, []), k, among, own)
        for place in range(len(queries))
    ]


def _first_fetch(index: Any, k: int, times: float | None) -> int:
    """Candidates asked for at first; ``times`` as many where others than allowed come too."""
    wanted = k + 1 if times is None else math.ceil(_OVER_FETCH * times * (k + 1))
    return wanted * (_LOSSY_FACTOR if isinstance(index, _LOSSY) else 1) + _MARGIN


def _parameters(index: Any, fetch: int, harder: float, selector: Any) -> Any:
    if selector is None and harder == 1.0:
        return None  # the index's own breadth, which FAISS raises to ``fetch``
    made = _shared_parameters if selector is None else partial(_made, sel=selector)
    if isinstance(index, faiss.IndexIVF):
        return made("IVF", nprobe=min(index.nlist, math.ceil(index.nprobe * harder)))
    if isinstance(index, faiss.IndexHNSW):
        width = math.ceil(max(index.hnsw.efSearch, fetch) * harder)
        return made("HNSW", efSearch=min(index.ntotal, width))
    return made("")


def _made(kind: str, **fields: Any) -> Any:
    return getattr(_faiss, f"SearchParameters{kind}")(**fields)


# Searches that only over-fetch share theirs: making them takes as long as a tenth of a search.
_shared_parameters = lru_cache(maxsize=64)(_made)


def _more_may_come(scores: Vectors, ids: Rows, kept: Mask, k: int) -> bool:
    """Whether rows that were cut off may belong to the answer, or tie with its last place.

    The place after the k-th decides, since an excluded row may stand among the first k.
    """
    if ids[-1] < 0:  # the index has no more to give
        return False
    among = scores[kept]
    return len(among) <= k or bool(scores[-1] >= among[k] - _ROUNDING)


def _filled(
    vectors: Vectors,
    queries: Vectors,
    place: int,
    found: Neighbours,
    k: int,
    among: _Among,
    own: list[int | None],
) -> Neighbours:
    """What was found, or the exact answer when the index stopped short of what there is."""
    if len(found) >= min(k, among.less(own[place])):
        return found
    return _exact(vectors, queries[place : place + 1], k, among, own[place : place + 1])[0]


def _exact(
    vectors: Vectors, queries: Vectors, k: int, among: _Among, own: list[int | None]
) -> list[Neighbours]:
    """Every allowed row is scored; exact whatever the index."""
    rows = among.rows
    scores = np.empty((len(queries), among.count), np.float32)
    for start in range(0, among.count, _BLOCK_ROWS):
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
    scores = exact_scores(vectors, query, rows)
    best = np.lexsort((rows, -scores))[: k + 1]
    ranked = zip(rows[best].tolist(), scores[best].tolist(), strict=True)
    return [(row, score) for row, score in ranked if row != excluded][:k]
