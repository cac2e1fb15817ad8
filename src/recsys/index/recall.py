"""How much of the truth an index finds, through the very search that serving uses."""

from __future__ import annotations

import time
from collections.abc import Sequence
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
# A filter that leaves fewer products than this tells little about ten neighbours.
_FEWEST: Final = 5
# Of each selectivity, so that no single draw decides.
_FILTERS: Final = 8

# Share of the products that a filter allows, by name; of the last only the fewest.
SELECTIVITIES: Final = {
    "10_percent": 0.1,
    "1_percent": 0.01,
    "0_1_percent": 0.001,
    "5_items": 0.0,
}

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FilteredRecall:
    """The same under filters that allow ``allowed`` drawn products each."""

    selectivity: str
    allowed: int
    recall_at_k: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class RecallReport:
    """What was measured over ``queries`` products, each asked for its ``k`` neighbours.

    ``recall_at_k`` and ``self_found_share`` (products that are their own nearest, or tie
    with it) are in [0, 1], higher is better; ``p50_ms`` and ``p99_ms`` are milliseconds of
    one query at a time, and depend on the machine. ``filtered`` is in the order of
    `SELECTIVITIES`.
    """

    recall_at_k: float
    queries: int
    k: int
    self_found_share: float
    p50_ms: float
    p99_ms: float
    filtered: tuple[FilteredRecall, ...]


def measure_recall(
    index: Any, vectors: Vectors, *, queries: int, k: int, seed: int
) -> RecallReport:
    """Ask for the neighbours of drawn rows, and compare with exact search.

    A row is not its own neighbour, as in serving. A neighbour counts as right when its
    exact score reaches that of the k-th true one (less 1e-6), so that products that tie
    may stand for one another. Then the same rows ask again among drawn products only, at
    every one of `SELECTIVITIES`, and one that a filter does not allow is never right.

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
        Of the draws: the same seed and n give the same rows and filters.

    Raises
    ------
    ArtifactInvalid
        Fewer than two vectors, or others than the index was built of.
    """
    require(len(vectors) > 1, f"recall needs at least two products, found {len(vectors)}")
    rng = np.random.default_rng(seed)
    rows = drawn_rows(len(vectors), queries, rng)
    everything = _Asked()
    everything.ask(index, vectors, rows, k, None)
    filtered = tuple(
        _filtered(index, vectors, rows, k, name, share, rng)
        for name, share in SELECTIVITIES.items()
    )
    selves = sum(
        _selves(index, vectors, rows[start : start + _BLOCK])
        for start in range(0, len(rows), _BLOCK)
    )
    p50, p99 = everything.milliseconds()
    return RecallReport(
        recall_at_k=everything.recall,
        queries=len(rows),
        k=k,
        self_found_share=selves / len(rows),
        p50_ms=p50,
        p99_ms=p99,
        filtered=filtered,
    )


@dataclass(frozen=True)
class Truth:
    """Of one query row: the exact score of its last true neighbour, how many it has up to k."""

    row: int
    lowest: float
    possible: int


def recall_of(index: Any, vectors: Vectors, known: Sequence[Truth], k: int) -> float:
    """Share of the ``k`` true neighbours that an unfiltered search of all rows finds."""
    rows = [truth.row for truth in known]
    found = search(index, vectors, np.asarray(vectors[rows]), k, exclude=rows)
    right = sum(_right(answer, truth, None) for answer, truth in zip(found, known, strict=True))
    return right / sum(truth.possible for truth in known)


def drawn_rows(total: int, count: int, rng: np.random.Generator) -> Rows:
    """``count`` of ``total`` rows in row order, or all."""
    return np.sort(rng.choice(total, size=min(count, total), replace=False))


class _Asked:
    """Counts what was asked, one query at a time, and what came back."""

    def __init__(self) -> None:
        self._right = 0
        self._possible = 0
        self._seconds: list[float] = []

    def ask(self, index: Any, vectors: Vectors, rows: Rows, k: int, allowed: Rows | None) -> None:
        """Rows as queries, among the ``allowed`` rows (sorted) or all."""
        mask = None
        if allowed is not None:
            mask = np.zeros(len(vectors), bool)
            mask[allowed] = True
        for truth in truths(vectors, rows, k, allowed):
            query = np.asarray(vectors[truth.row : truth.row + 1])
            start = time.perf_counter()
            (found,) = search(index, vectors, query, k, allowed=mask, exclude=[truth.row])
            self._seconds.append(time.perf_counter() - start)
            self._right += _right(found, truth, mask)
            self._possible += truth.possible

    @property
    def recall(self) -> float:
        """Share of the neighbours that there are."""
        return self._right / self._possible

    def milliseconds(self) -> tuple[float, float]:
        """The 50th and the 99th percentile of a query."""
        p50, p99 = np.percentile(self._seconds, [50, 99]) * 1000
        return float(p50), float(p99)


def _filtered(
    index: Any,
    vectors: Vectors,
    rows: Rows,
    k: int,
    name: str,
    share: float,
    rng: np.random.Generator,
) -> FilteredRecall:
    count = max(_FEWEST, round(share * len(vectors)))
    asked = _Asked()
    for part in np.array_split(rng.permutation(rows), _FILTERS):
        asked.ask(index, vectors, part, k, drawn_rows(len(vectors), count, rng))
    p50, p99 = asked.milliseconds()
    return FilteredRecall(name, min(count, len(vectors)), asked.recall, p50, p99)


def truths(vectors: Vectors, rows: Rows, k: int, allowed: Rows | None = None) -> list[Truth]:
    """By exact search among the ``allowed`` rows (sorted) or all, the row itself left out."""
    among = np.ascontiguousarray(vectors if allowed is None else vectors[allowed])
    found: list[Truth] = []
    for start in range(0, len(rows), _BLOCK):
        asked = rows[start : start + _BLOCK]
        scores, ids = faiss.knn(
            np.ascontiguousarray(vectors[asked]),
            among,
            min(k + 1, len(among)),
            metric=faiss.METRIC_INNER_PRODUCT,
        )
        for row, row_scores, row_ids in zip(
            asked.tolist(), scores, ids if allowed is None else allowed[ids], strict=True
        ):
            # Where so many tie with the row that it is not in its own list, the last one goes.
            others = row_scores[row_ids != row][:k]
            found.append(Truth(row, float(others[-1]) if len(others) else np.inf, len(others)))
    return found


def _right(found: Neighbours, truth: Truth, allowed: npt.NDArray[np.bool_] | None) -> int:
    distinct = {
        other: score
        for other, score in found
        if other != truth.row and (allowed is None or allowed[other])
    }
    return sum(score >= truth.lowest - _TIE for score in distinct.values())


def _selves(index: Any, vectors: Vectors, rows: Rows) -> int:
    queries = np.asarray(vectors[rows])
    nearest = search(index, vectors, queries, 1)
    norms = (queries * queries).sum(axis=1)
    return sum(
        bool(found) and (found[0][0] == row or found[0][1] >= norm - _TIE)
        for found, row, norm in zip(nearest, rows.tolist(), norms, strict=True)
    )
