"""The cheapest of some indexes that finds enough, and how widely it must search for that.

Cheap is what reads few bytes: a search of this size waits for memory. Bytes are counted and
not timed, so that the same vectors give the same choice on a busy machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import faiss
import numpy as np
import numpy.typing as npt

from recsys.index.build import build, set_breadth
from recsys.index.recall import Truth, drawn_rows, recall_of, truths
from recsys.index.threads import one_thread

# The stubs that FAISS brings lag behind its Python layer.
_faiss: Any = faiss

EXACT: Final = "Flat"
_QUERIES: Final = 500
_NUMBER_BYTES: Final = 4
_ROW_NUMBER_BYTES: Final = 8
_LINK_BYTES: Final = 4
# Narrower ones are widened by the search itself, to the candidates that it asks for.
_WIDTHS: Final = (24, 32, 48, 64, 96, 128, 192, 256, 384, 512)

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Candidate:
    """One index and one way to search it.

    ``breadth`` is the lists visited, or the candidates kept along a graph. ``recall_at_k`` is
    over drawn queries; ``compared`` vectors and ``read_bytes`` are those of one query on
    average; ``index_bytes`` is the index's size.
    """

    factory: str
    breadth: int
    recall_at_k: float
    compared: float
    read_bytes: float
    index_bytes: int


@dataclass(frozen=True)
class Choice:
    """The index that was chosen, built, and all that were tried, in order."""

    index: Any
    chosen: Candidate
    candidates: tuple[Candidate, ...]


def choose(
    vectors: Vectors, factories: Sequence[str], *, recall_target: float, k: int, seed: int
) -> Choice:
    """Build each index, and search ever more widely until it finds enough.

    Parameters
    ----------
    vectors
        [n, dimension] float32, unit norm, at least two rows.
    factories
        ``Flat``, which is taken when no other finds enough, and factories of graphs and of
        inverted lists.
    recall_target
        Share of the ``k`` true neighbours to find, in [0, 1].
    seed
        Of queries and indexes. The same input gives the same choice.
    """
    rows = drawn_rows(len(vectors), _QUERIES, np.random.default_rng(seed))
    known = truths(vectors, rows, k)
    best, index = _exact(vectors), None
    tried = [best]
    for factory in factories:
        if factory == EXACT:
            continue
        built = build(vectors, factory, 1, seed)
        for candidate in _searches(built, vectors, factory, known, k):
            tried.append(candidate)
            if candidate.recall_at_k >= recall_target:
                if candidate.read_bytes < best.read_bytes:
                    best, index = candidate, built
                break
            if candidate.read_bytes >= best.read_bytes:
                break
    if index is None:
        return Choice(build(vectors, EXACT, 1, seed), best, tuple(tried))
    set_breadth(index, best.breadth)
    return Choice(index, best, tuple(tried))


def _exact(vectors: Vectors) -> Candidate:
    rows, dimension = vectors.shape
    size = rows * dimension * _NUMBER_BYTES
    return Candidate(EXACT, 1, 1.0, float(rows), float(size), size)


def _searches(
    index: Any, vectors: Vectors, factory: str, known: Sequence[Truth], k: int
) -> Iterator[Candidate]:
    queries = np.ascontiguousarray(vectors[[truth.row for truth in known]])
    graph = isinstance(index, faiss.IndexHNSW)
    steps, measured = (_WIDTHS, _along_graph) if graph else (_steps(index.nlist), _in_lists)
    for breadth in steps:
        set_breadth(index, breadth)
        recall = recall_of(index, vectors, known, k)
        compared, read, size = measured(index, queries, k)
        yield Candidate(factory, breadth, recall, compared, read, size)


def _in_lists(index: Any, queries: Vectors, _k: int) -> tuple[float, float, int]:
    """Vectors compared and bytes read by one query on average; bytes of the index."""
    _, visited = faiss.downcast_index(index.quantizer).search(queries, index.nprobe)
    sizes = np.array([index.invlists.list_size(each) for each in range(index.nlist)])
    scanned = float(sizes[visited].sum(axis=1).mean())
    centroids, each = index.nlist * index.d * _NUMBER_BYTES, index.code_size + _ROW_NUMBER_BYTES
    return index.nlist + scanned, centroids + scanned * each, centroids + index.ntotal * each


def _along_graph(index: Any, queries: Vectors, k: int) -> tuple[float, float, int]:
    """As `_in_lists`; FAISS counts for the whole process, so nothing else may search meanwhile."""
    counted = _faiss.cvar.hnsw_stats
    counted.reset()
    with one_thread(True):
        index.search(queries, k)
    compared, walked = counted.ndis / len(queries), counted.nhops / len(queries)
    vector = faiss.downcast_index(index.storage).sa_code_size()
    links = index.hnsw.nb_neighbors(0) * _LINK_BYTES
    return compared, compared * vector + walked * links, index.ntotal * (vector + links)


def _steps(most: int) -> Iterator[int]:
    """1, 2, 3, 4, 6, 8, 12, 16 … most."""
    step = 1
    while step < most:
        yield step
        if step > 1 and step * 3 // 2 < most:
            yield step * 3 // 2
        step *= 2
    yield most
