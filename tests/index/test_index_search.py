from __future__ import annotations

import numpy as np
import pytest

from index.unit_vectors import brute_force, rows_of, units, with_duplicates
from recsys.errors import ArtifactInvalid, QueryRejected
from recsys.index import Way, build, search

FACTORIES = ["Flat", "SQ8", "IVF16,Flat", "IVF16,SQ8", "HNSW8", "HNSW8_SQfp16"]


def take(monkeypatch: pytest.MonkeyPatch, way: Way) -> None:
    """Send every filtered search this way."""
    monkeypatch.setitem(
        search.__globals__,
        "way_of",
        lambda total, allowed: Way.UNFILTERED if allowed == total else way,
    )


def test_a_hand_made_catalog_gives_hand_made_scores() -> None:
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], np.float32)
    index = build(vectors, "Flat", 1, 0)
    (found,) = search(index, vectors, vectors[:1], 4)
    assert rows_of(found) == [0, 1, 2, 3]
    assert [score for _, score in found] == pytest.approx([1, 0.6, 0, -1])


@pytest.mark.parametrize("draw", [units, with_duplicates])
@pytest.mark.parametrize("k", [1, 10, 300])
def test_flat_search_is_brute_force_ties_included(draw: type, k: int) -> None:
    vectors, queries = draw(600), np.concatenate([units(25, seed=5), draw(600)[:5]])
    index = build(vectors, "Flat", 1, 0)
    found = search(index, vectors, queries, k)
    assert found == [brute_force(vectors, query, k) for query in queries]


def test_one_query_alone_or_among_many_gets_the_same_answer() -> None:
    vectors = with_duplicates(500)
    index, queries = build(vectors, "Flat", 1, 0), vectors[:40]
    together = search(index, vectors, queries, 7)
    assert together == [search(index, vectors, query[None], 7)[0] for query in queries]


def test_fewer_neighbours_are_a_prefix_of_more() -> None:
    vectors = with_duplicates(500)
    index = build(vectors, "Flat", 1, 0)
    (more,) = search(index, vectors, vectors[:1], 50, exclude=[0])
    for k in (1, 3, 20):
        assert search(index, vectors, vectors[:1], k, exclude=[0])[0] == more[:k]


@pytest.mark.parametrize("factory", FACTORIES)
def test_a_row_never_finds_itself_when_excluded(factory: str) -> None:
    vectors = with_duplicates(800)
    index = build(vectors, factory, 16, 0)
    found = search(index, vectors, vectors[:30], 10, exclude=list(range(30)))
    assert all(row not in rows_of(answer) for row, answer in enumerate(found))
    assert all(len(answer) == 10 for answer in found)


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("allowed_rows", [0, 1, 5, 20, 200])
@pytest.mark.parametrize("way", [Way.SUBSET, Way.OVER_FETCH, Way.SELECTOR])
def test_a_filtered_query_is_full_while_matches_exist(
    monkeypatch: pytest.MonkeyPatch, factory: str, allowed_rows: int, way: Way
) -> None:
    take(monkeypatch, way)
    vectors, queries = units(2_000), units(10, seed=4)
    allowed = np.zeros(2_000, bool)
    allowed[np.random.default_rng(2).permutation(2_000)[:allowed_rows]] = True
    index = build(vectors, factory, 1, 0)
    for answer, query in zip(
        search(index, vectors, queries, 10, allowed=allowed), queries, strict=True
    ):
        assert len(answer) == min(10, allowed_rows)
        assert all(allowed[row] for row in rows_of(answer))
        if way is Way.SUBSET or factory == "Flat":
            assert answer == brute_force(vectors, query, 10, allowed)


@pytest.mark.parametrize("factory", ["IVF16,Flat", "HNSW8"])
@pytest.mark.parametrize("allowed_rows", [200, 20, 5], ids=["10 %", "1 %", "5 items"])
def test_a_filter_costs_no_recall(factory: str, allowed_rows: int) -> None:
    vectors, queries = units(2_000), units(20, seed=4)
    allowed = np.zeros(2_000, bool)
    allowed[np.random.default_rng(3).permutation(2_000)[:allowed_rows]] = True
    found = search(build(vectors, factory, 1, 0), vectors, queries, 10, allowed=allowed)
    assert found == [brute_force(vectors, query, 10, allowed) for query in queries]


@pytest.mark.parametrize("factory", FACTORIES)
def test_more_neighbours_than_products_gives_every_product(factory: str) -> None:
    vectors = units(700)
    index = build(vectors, factory, 1, 0)
    (found,) = search(index, vectors, vectors[:1], 5_000, exclude=[0])
    assert found == brute_force(vectors, vectors[0], 5_000, excluded=0)


@pytest.mark.parametrize("factory", ["SQ8", "IVF16,SQ8", "HNSW16_SQfp16"])
def test_scores_are_exact_cosines_under_a_rough_index(factory: str) -> None:
    vectors = units(1_000)
    for query, answer in zip(
        vectors[:5], search(build(vectors, factory, 64, 0), vectors, vectors[:5], 10), strict=True
    ):
        assert answer == brute_force(vectors, query, 10)


def test_identical_products_stand_in_row_order_however_many_tie() -> None:
    vectors = np.repeat(units(3), [100, 5, 5], axis=0)
    (found,) = search(build(vectors, "Flat", 1, 0), vectors, vectors[:1], 10, exclude=[4])
    assert rows_of(found) == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]


def test_an_excluded_row_outside_the_filter_takes_nothing_away() -> None:
    vectors, allowed = units(50), np.zeros(50, bool)
    allowed[10:14] = True
    index = build(vectors, "Flat", 1, 0)
    (found,) = search(index, vectors, vectors[:1], 10, allowed=allowed, exclude=[0])
    assert sorted(rows_of(found)) == [10, 11, 12, 13]


def test_no_queries_get_no_answers() -> None:
    vectors = units(10)
    assert search(build(vectors, "Flat", 1, 0), vectors, vectors[:0], 3) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_query_that_is_not_finite_is_refused(bad: float) -> None:
    vectors = units(10)
    query = vectors[:1].copy()
    query[0, 3] = bad
    with pytest.raises(ArtifactInvalid, match="not finite"):
        search(build(vectors, "Flat", 1, 0), vectors, query, 3)


def test_k_below_one_is_refused() -> None:
    vectors = units(10)
    with pytest.raises(QueryRejected, match="k is 0"):
        search(build(vectors, "Flat", 1, 0), vectors, vectors[:1], 0)


def test_parts_that_do_not_fit_together_are_refused() -> None:
    vectors = units(10)
    index = build(vectors, "Flat", 1, 0)
    with pytest.raises(ArtifactInvalid, match="queries have shape"):
        search(index, vectors, units(1, 8), 3)
    with pytest.raises(ArtifactInvalid, match="searched with"):
        search(index, vectors[:9], vectors[:1], 3)
    with pytest.raises(ArtifactInvalid, match="filter must be bool"):
        search(index, vectors, vectors[:1], 3, allowed=np.ones(9, bool))
    with pytest.raises(ArtifactInvalid, match="2 exclusions for 1 queries"):
        search(index, vectors, vectors[:1], 3, exclude=[1, 2])
