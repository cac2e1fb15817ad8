"""Drawn unit vectors, and the few-line search that ours is checked against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from recsys.index import Neighbours


def units(rows: int, dimension: int = 16, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def with_duplicates(rows: int, dimension: int = 16) -> np.ndarray:
    """A tenth as many distinct vectors as rows, each about ten times."""
    picks = np.random.default_rng(1).integers(0, rows // 10, rows)
    return units(rows // 10, dimension)[picks]


def clustered(rows: int, dimension: int, kinds: int) -> np.ndarray:
    """Vectors that crowd around as many centres as there are kinds, as embeddings do."""
    rng = np.random.default_rng(2)
    centres = units(kinds, dimension, seed=6)[rng.integers(0, kinds, rows)]
    vectors = centres + 0.5 * units(rows, dimension, seed=7)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def brute_force(
    vectors: np.ndarray,
    query: np.ndarray,
    k: int,
    allowed: np.ndarray | None = None,
    excluded: int | None = None,
) -> Neighbours:
    """Summed in float64: what float32 makes of it may differ in the seventh digit."""
    scores = (vectors.astype(np.float64) * query).sum(axis=1)
    rows = [
        row for row in range(len(vectors)) if row != excluded and (allowed is None or allowed[row])
    ]
    rows.sort(key=lambda row: (-scores[row], row))
    return [(row, pytest.approx(scores[row], abs=1e-6)) for row in rows[:k]]


def rows_of(found: Sequence[tuple[int, float]]) -> list[int]:
    return [row for row, _ in found]
