"""The cheapest index that finds enough is chosen, by counting and not by the clock."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from index.unit_vectors import clustered, units
from recsys.index import Choice, build, choose, search

FACTORIES = ("Flat", "IVF16,Flat", "IVF32,Flat")


def chosen(vectors: np.ndarray, target: float = 0.99, seed: int = 3) -> Choice:
    return choose(vectors, FACTORIES, recall_target=target, k=10, seed=seed)


def test_the_cheapest_that_reaches_the_target_is_chosen() -> None:
    choice = chosen(clustered(3_000, 16, 30))
    enough = [item for item in choice.candidates if item.recall_at_k >= 0.99]
    assert choice.chosen == min(enough, key=lambda item: item.read_bytes)
    assert choice.chosen.factory != "Flat"
    assert choice.index.ntotal == 3_000
    assert choice.index.nprobe == choice.chosen.breadth
    assert {item.factory for item in choice.candidates} == set(FACTORIES)


def test_the_same_vectors_give_the_same_choice_to_the_byte() -> None:
    vectors = clustered(3_000, 16, 30)
    first, second = chosen(vectors), chosen(vectors)
    assert first.candidates == second.candidates
    one, other = (faiss.serialize_index(choice.index) for choice in (first, second))
    assert np.array_equal(one, other)


def test_a_graph_is_chosen_where_it_reads_least_and_is_the_same_every_time() -> None:
    vectors = clustered(3_000, 16, 30)
    first, second = (
        choose(vectors, (*FACTORIES, "HNSW8"), recall_target=0.99, k=10, seed=3) for _ in range(2)
    )
    assert first.candidates == second.candidates
    graphs = [item for item in first.candidates if item.factory == "HNSW8"]
    assert all(item.compared < 3_000 for item in graphs)
    assert [item.breadth for item in graphs] == [24, 32, 48, 64, 96, 128][: len(graphs)]
    alone = choose(vectors, ("Flat", "HNSW8"), recall_target=0.99, k=10, seed=3)
    assert alone.chosen.factory == "HNSW8"
    assert alone.index.hnsw.efSearch == alone.chosen.breadth
    again = choose(vectors, ("Flat", "HNSW8"), recall_target=0.99, k=10, seed=3)
    one, other = (faiss.serialize_index(choice.index) for choice in (alone, again))
    assert np.array_equal(one, other)


def test_figures_are_those_of_the_index() -> None:
    vectors = clustered(3_000, 16, 30)
    flat, *lists = chosen(vectors).candidates
    assert (flat.factory, flat.recall_at_k, flat.compared) == ("Flat", 1, 3_000)
    assert flat.read_bytes == flat.index_bytes == 3_000 * 16 * 4
    for item in lists:
        count = int(item.factory.removeprefix("IVF").removesuffix(",Flat"))
        assert count < item.compared <= count + 3_000
        assert item.index_bytes == count * 16 * 4 + 3_000 * (16 * 4 + 8)
    last = {item.factory: item.breadth for item in lists}
    assert all(breadth < 32 for breadth in last.values())


def test_vectors_that_lists_do_not_order_are_searched_exactly() -> None:
    vectors = units(2_000, 64)
    choice = chosen(vectors, target=1.0)
    assert choice.chosen.factory == "Flat"
    query = vectors[:1]
    assert search(choice.index, vectors, query, 5) == search(
        build(vectors, "Flat", 1, 0), vectors, query, 5
    )


@pytest.mark.parametrize("codes", ["SQ8"])
def test_lists_of_rough_vectors_reach_the_target_too(codes: str) -> None:
    vectors = clustered(3_000, 16, 30)
    choice = choose(vectors, ("Flat", f"IVF16,{codes}"), recall_target=0.99, k=10, seed=3)
    assert choice.chosen.factory == f"IVF16,{codes}"
    assert choice.chosen.index_bytes < 3_000 * 16 * 4
