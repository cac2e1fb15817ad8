from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from index.unit_vectors import units, with_duplicates
from recsys.errors import ArtifactInvalid
from recsys.index import Neighbours, build, measure_recall, search


def test_exact_search_finds_everything() -> None:
    vectors = units(3_000)
    report = measure_recall(build(vectors, "Flat", 1, 0), vectors, queries=200, k=10, seed=1)
    assert report.recall_at_k == 1
    assert report.self_found_share == 1
    assert (report.queries, report.k) == (200, 10)
    assert 0 < report.p50_ms <= report.p99_ms


def test_one_list_of_many_misses_neighbours_and_all_lists_miss_none() -> None:
    vectors = units(3_000)
    one = measure_recall(build(vectors, "IVF32,Flat", 1, 0), vectors, queries=200, k=10, seed=1)
    assert one.recall_at_k < 0.9
    every = measure_recall(build(vectors, "IVF32,Flat", 32, 0), vectors, queries=200, k=10, seed=1)
    assert every.recall_at_k == 1


def test_products_that_tie_may_stand_for_one_another() -> None:
    vectors = with_duplicates(2_000)
    report = measure_recall(build(vectors, "Flat", 1, 0), vectors, queries=300, k=10, seed=1)
    assert report.recall_at_k == 1
    assert report.self_found_share == 1


def test_an_index_of_other_vectors_finds_little() -> None:
    vectors = units(1_000)
    index = build(np.ascontiguousarray(vectors[::-1]), "Flat", 1, 0)
    report = measure_recall(index, vectors, queries=100, k=10, seed=1)
    assert report.recall_at_k < 0.1
    assert report.self_found_share < 0.1


def test_a_small_catalog_is_asked_for_all_it_has() -> None:
    vectors = units(4)
    report = measure_recall(build(vectors, "Flat", 1, 0), vectors, queries=1_000, k=10, seed=1)
    assert (report.recall_at_k, report.queries) == (1, 4)


def test_the_seed_freezes_the_queries() -> None:
    vectors = units(3_000)
    index = build(vectors, "IVF32,Flat", 1, 0)
    recalls = [
        measure_recall(index, vectors, queries=50, k=10, seed=seed).recall_at_k
        for seed in (1, 1, 2)
    ]
    assert recalls[0] == recalls[1] != recalls[2]


def test_one_product_has_no_neighbours_to_measure() -> None:
    vectors = units(1)
    with pytest.raises(ArtifactInvalid, match="at least two"):
        measure_recall(build(vectors, "Flat", 1, 0), vectors, queries=1, k=1, seed=1)


def test_exact_search_finds_everything_under_every_filter() -> None:
    vectors = with_duplicates(3_000)
    report = measure_recall(build(vectors, "Flat", 1, 0), vectors, queries=100, k=10, seed=1)
    assert [(item.selectivity, item.allowed) for item in report.filtered] == [
        ("10_percent", 300),
        ("1_percent", 30),
        ("0_1_percent", 5),
        ("5_items", 5),
    ]
    assert all(item.recall_at_k == 1 for item in report.filtered)
    assert all(0 < item.p50_ms <= item.p99_ms for item in report.filtered)


def test_a_search_that_forgets_the_filter_finds_nothing_that_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unfiltered(*given: Any, allowed: object = None, **more: Any) -> list[Neighbours]:
        return search(*given, **more)

    monkeypatch.setitem(measure_recall.__globals__, "search", unfiltered)
    vectors = units(2_000)
    report = measure_recall(build(vectors, "Flat", 1, 0), vectors, queries=50, k=10, seed=1)
    assert report.recall_at_k == 1
    tenth, hundredth, *few = (item.recall_at_k for item in report.filtered)
    assert tenth < 0.3
    assert hundredth < 0.1
    assert max(few) < 0.1


def test_in_a_tiny_catalog_every_filter_allows_what_there_is() -> None:
    vectors = units(4)
    report = measure_recall(build(vectors, "Flat", 1, 0), vectors, queries=10, k=10, seed=1)
    assert [(item.allowed, item.recall_at_k) for item in report.filtered] == [(4, 1.0)] * 4
