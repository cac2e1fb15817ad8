"""How much of the truth an index finds, through the very search that serving uses."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import faiss
import numpy as np
import numpy.typing as npt

from recsys.artifacts.base import require
from recsys.index.search import Neighbours, search

# Neighbours this close to the k-th best are as good as it: products that share a photo.
_TIE: Final = 1e-6
_BLOCK: Final = 1_024

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RecallReport:
    """What was measured over ``queries`` products, each asked for its ``k`` neighbours.

    ``recall_at_k`` and ``self_found_share`` (products that are their own nearest, or tie
    with it) are in [0, 1], higher is better; ``p50_ms`` and ``p99_ms`` are milliseconds of
    one query at a time, and depend on the machine.
    """

    recall_at_k: float
    queries: int
    k: int
    self_found_share: float
    p50_ms: float
    p99_ms: float


def measure_recall(
    index: Any, vectors: Vectors, *, queries: int, k: int, seed: int
) -> RecallReport:
    """Ask for the neighbours of drawn rows, and compare with exact search.

    A row is not its own neighbour, as in serving. A neighbour counts as right when its
    exact score reaches that of the k-th true one (less 1e-6), so that products that tie
    may stand for one another.

    Parameters
    ----------
    index
        As `open_index` gives it.
    vectors
        [n, dimension] float32, unit norm, at least two rows; what the index was built of.
    queries
        How many rows to ask, at most n of them.
    k
        Neighbours asked for; where fewer exist, those are all.
    seed
        Of the draw: the same seed and n give the same rows.

    Raises
    ------
    ArtifactInvalid
        Fewer than two vectors, or others than the index was built of.
    """
    require(len(vectors) > 1, f"recall needs at least two products, found {len(vectors)}")
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(vectors), size=min(queries, len(vectors)), replace=False))
    possible = min(k, len(vectors) - 1)
    kth = _kth_scores(vectors, rows, possible)
    right, selves, seconds = 0, 0, []
    for row, lowest in zip(rows.tolist(), kth, strict=True):
        query = np.asarray(vectors[row : row + 1])
        start = time.perf_counter()
        (found,) = search(index, vectors, query, k, exclude=[row])
        seconds.append(time.perf_counter() - start)
        right += _right(found, row, float(lowest))
    for start_row in range(0, len(rows), _BLOCK):
        selves += _selves(index, vectors, rows[start_row : start_row + _BLOCK])
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return RecallReport(
        recall_at_k=right / (possible * len(rows)),
        queries=len(rows),
        k=k,
        self_found_share=selves / len(rows),
        p50_ms=float(p50),
        p99_ms=float(p99),
    )


def _kth_scores(vectors: Vectors, rows: npt.NDArray[np.int64], k: int) -> npt.NDArray[np.float64]:
    """[q] exact score of each row's k-th true neighbour, the row itself left out."""
    kth = np.empty(len(rows), np.float64)
    for start in range(0, len(rows), _BLOCK):
        asked = rows[start : start + _BLOCK]
        scores, ids = faiss.knn(
            np.ascontiguousarray(vectors[asked]),
            np.ascontiguousarray(vectors),
            k + 1,
            metric=faiss.METRIC_INNER_PRODUCT,
        )
        # Where so many tie with the row that it is not in its own list, the last one goes.
        own = ids == asked[:, None]
        own[~own.any(axis=1), -1] = True
        kth[start : start + _BLOCK] = scores[~own].reshape(len(asked), k)[:, -1]
    return kth


def _right(found: Neighbours, row: int, lowest: float) -> int:
    distinct = {other: score for other, score in found if other != row}
    return sum(score >= lowest - _TIE for score in distinct.values())


def _selves(index: Any, vectors: Vectors, rows: npt.NDArray[np.int64]) -> int:
    queries = np.asarray(vectors[rows])
    nearest = search(index, vectors, queries, 1)
    norms = (queries * queries).sum(axis=1)
    return sum(
        bool(found) and (found[0][0] == row or found[0][1] >= norm - _TIE)
        for found, row, norm in zip(nearest, rows.tolist(), norms, strict=True)
    )
