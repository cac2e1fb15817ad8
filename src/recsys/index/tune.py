"""The cheapest of some indexes that finds enough, with the lists that a search visits.

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

from recsys.index.build import build
from recsys.index.recall import Truth, drawn_rows, recall_of, truths

EXACT: Final = "Flat"
_QUERIES: Final = 500
_NUMBER_BYTES: Final = 4
_ROW_NUMBER_BYTES: Final = 8

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Candidate:
    """One index and one way to search it.

    ``recall_at_k`` is over drawn queries; ``compared`` vectors and ``read_bytes`` are those
    of one query on average; ``index_bytes`` is the index's size.
    """

    factory: str
    nprobe: int
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
    """Build each index of inverted lists, and visit more of them until it finds enough.

    Parameters
    ----------
    vectors
        [n, dimension] float32, unit norm, at least two rows.
    factories
        ``Flat``, which is taken when no other finds enough, and factories of inverted lists.
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
    index.nprobe = best.nprobe
    return Choice(index, best, tuple(tried))


def _exact(vectors: Vectors) -> Candidate:
    rows, dimension = vectors.shape
    size = rows * dimension * _NUMBER_BYTES
    return Candidate(EXACT, 1, 1.0, float(rows), float(size), size)


def _searches(
    index: Any, vectors: Vectors, factory: str, known: Sequence[Truth], k: int
) -> Iterator[Candidate]:
    """More and more lists: 1, 2, 3, 4, 6, 8, 12, 16 … all."""
    sizes = np.array([index.invlists.list_size(each) for each in range(index.nlist)])
    queries = np.ascontiguousarray(vectors[[truth.row for truth in known]])
    centroid_bytes = index.nlist * index.d * _NUMBER_BYTES
    for nprobe in _steps(index.nlist):
        index.nprobe = nprobe
        _, visited = faiss.downcast_index(index.quantizer).search(queries, nprobe)
        scanned = float(sizes[visited].sum(axis=1).mean())
        yield Candidate(
            factory=factory,
            nprobe=nprobe,
            recall_at_k=recall_of(index, vectors, known, k),
            compared=index.nlist + scanned,
            read_bytes=centroid_bytes + scanned * (index.code_size + _ROW_NUMBER_BYTES),
            index_bytes=centroid_bytes + index.ntotal * (index.code_size + _ROW_NUMBER_BYTES),
        )


def _steps(most: int) -> Iterator[int]:
    step = 1
    while step < most:
        yield step
        if step > 1 and step * 3 // 2 < most:
            yield step * 3 // 2
        step *= 2
    yield most
