"""Filtered search, whichever way it takes: right, allowed, and full while there are matches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.unit_vectors import brute_force, clustered, rows_of, units
from recsys.index import Way, build, search, way_of

WAYS = [Way.SUBSET, Way.OVER_FETCH, Way.SELECTOR]
FACTORIES = ["Flat", "SQ8", "IVF8,Flat", "IVF8,SQ8", "HNSW16", "HNSW16_SQfp16"]


@pytest.mark.parametrize(
    ("total", "allowed", "way"),
    [
        (40_000, 40_000, Way.UNFILTERED),
        (40_000, 39_999, Way.OVER_FETCH),
        (40_000, 20_000, Way.OVER_FETCH),
        (40_000, 19_999, Way.SUBSET),
        (40_000, 4_000, Way.SUBSET),
        (40_000, 0, Way.SUBSET),
        (500, 499, Way.SUBSET),
        (1_000_000, 500_000, Way.OVER_FETCH),
        (1_000_000, 499_999, Way.SELECTOR),
        (1_000_000, 20_001, Way.SELECTOR),
        (1_000_000, 20_000, Way.SUBSET),
    ],
)
def test_the_way_goes_by_how_many_a_filter_leaves(total: int, allowed: int, way: Way) -> None:
    assert way_of(total, allowed) is way


@contextmanager
def taking(way: Way) -> Iterator[None]:
    """Every filtered search takes this way, whatever the filter leaves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            search.__globals__,
            "way_of",
            lambda total, allowed: Way.UNFILTERED if allowed == total else way,
        )
        yield


@given(
    way=st.sampled_from(WAYS),
    rows=st.integers(20, 300),
    seed=st.integers(0, 2**16),
    factory=st.sampled_from(FACTORIES),
    share=st.sampled_from([0.0, 0.02, 0.1, 0.5, 0.9, 1.0]),
    near=st.booleans(),
    k=st.integers(1, 20),
)
@settings(max_examples=80, deadline=None, derandomize=True, database=None)
def test_every_way_gives_the_exact_answer(
    way: Way, rows: int, seed: int, factory: str, share: float, near: bool, k: int
) -> None:
    vectors, asked = units(rows, 8, seed), np.arange(0, rows, 1 + rows // 12)
    index = build(vectors, factory, 32, seed)
    allowed = drawn_filter(vectors, share, seed, near)
    right = possible = 0
    with taking(way):
        found = search(index, vectors, vectors[asked], k, allowed=allowed, exclude=asked.tolist())
    for row, answer in zip(asked.tolist(), found, strict=True):
        truth = brute_force(vectors, vectors[row], k, allowed, excluded=row)
        assert len(answer) == len(truth)
        assert len(set(rows_of(answer))) == len(answer)
        assert all(allowed[other] and other != row for other in rows_of(answer))
        assert [score for _, score in answer] == sorted((s for _, s in answer), reverse=True)
        right += len(set(rows_of(answer)) & set(rows_of(truth)))
        possible += len(truth)
    assert right >= 0.99 * possible


def drawn_filter(vectors: np.ndarray, share: float, seed: int, near: bool) -> np.ndarray:
    """Drawn rows, or the rows nearest to a drawn one: another kind of product."""
    rng = np.random.default_rng(seed)
    order = (vectors @ vectors[rng.integers(len(vectors))]) if near else rng.random(len(vectors))
    allowed = np.zeros(len(vectors), bool)
    allowed[np.argsort(-order)[: round(share * len(vectors))]] = True
    return allowed


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("factory", "breadth"), [("IVF32,Flat", 8), ("IVF32,SQ8", 8), ("HNSW16", 1)]
)
def test_a_partial_search_keeps_its_recall_under_drawn_filters(
    way: Way, factory: str, breadth: int
) -> None:
    vectors = clustered(2_000, 16, 20)
    index = build(vectors, factory, breadth, 0)
    asked = np.arange(0, 2_000, 80)
    for share in (0.9, 0.5, 0.1, 0.01):
        allowed = drawn_filter(vectors, share, 3, near=False)
        with taking(way):
            found = search(
                index, vectors, vectors[asked], 10, allowed=allowed, exclude=asked.tolist()
            )
        right = possible = 0
        for row, answer in zip(asked.tolist(), found, strict=True):
            truth = brute_force(vectors, vectors[row], 10, allowed, excluded=row)
            right += len(set(rows_of(answer)) & set(rows_of(truth)))
            possible += len(truth)
        assert right >= 0.99 * possible, share


def test_a_filter_that_shuns_the_surroundings_is_answered_exactly() -> None:
    vectors = clustered(9_000, 16, 9)
    index = build(vectors, "IVF32,Flat", 2, 0)
    query = vectors[:1]
    allowed = (vectors @ query[0]) < np.quantile(vectors @ query[0], 0.6)
    assert way_of(len(vectors), int(allowed.sum())) is Way.OVER_FETCH
    assert search(index, vectors, query, 10, allowed=allowed) == [
        brute_force(vectors, query[0], 10, allowed)
    ]
