"""Retrieval figures, against hand arithmetic and the evaluator of the TREC conferences."""

import numpy as np
import pandas as pd
import pytest
import pytrec_eval

from evaluation.catalogs import catalog, clusters, each_alone, units
from recsys.errors import BadInput
from recsys.evaluation import Retrieval, evaluate_retrieval, relevances


def by_type(labels: list[str], queries: list[int], groups: list[str] | None = None) -> Retrieval:
    """The figures when every label has an axis of its own."""
    return evaluate_retrieval(
        clusters(labels),
        relevances(catalog(labels)),
        np.array(queries),
        groups=groups or each_alone(len(labels)),
    )


def test_perfect_neighbours_score_one() -> None:
    found = by_type(["shirt"] * 12 + ["shoe"] * 12, [0, 12]).figures
    for name in ("precision_at_10", "hit_rate_at_10", "ndcg_at_10", "map_at_10"):
        assert found[name] == 1
    assert found["recall_at_10"] == pytest.approx(10 / 11)
    assert found["chance_precision_at_10"] == pytest.approx(11 / 23)
    assert found["chance_ndcg_at_10"] == pytest.approx(11 / 23)


def test_all_five_relevant_in_front_score_one_but_for_precision() -> None:
    found = by_type(["shirt"] * 6 + ["shoe"] * 12, [0]).figures
    assert found["precision_at_10"] == 0.5
    # The ideal is min(10, 5) relevant results, and they are there.
    assert found["recall_at_10"] == found["ndcg_at_10"] == found["map_at_10"] == 1


def test_one_relevant_neighbour_in_third_place_scores_by_its_rank() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.8, 0.6], [0.96, 0.28]], np.float32)
    codes = relevances(catalog(["shirt", "shirt", "shoe", "hat"]))
    found = evaluate_retrieval(vectors, codes, np.array([0]), groups=each_alone(4)).figures
    assert found["ndcg_at_10"] == pytest.approx(1 / 2)  # 1 / log2(3 + 1)
    assert found["map_at_10"] == pytest.approx(1 / 3)
    assert found["precision_at_10"] == pytest.approx(1 / 10)


def test_no_relevant_neighbour_scores_zero() -> None:
    vectors = np.vstack([clusters(["a"] * 12)[:, :1] @ [[1.0, 0.0]], [[0.0, 1.0]]])
    codes = relevances(catalog(["watch", *["shoe"] * 11, "watch"]))
    found = evaluate_retrieval(
        vectors.astype(np.float32), codes, np.array([0]), groups=each_alone(13)
    ).figures
    for name in ("precision_at_10", "recall_at_10", "hit_rate_at_10", "ndcg_at_10", "map_at_10"):
        assert found[name] == 0


def test_a_query_with_nothing_to_find_is_left_out_and_counted() -> None:
    found = by_type(["watch", *["shoe"] * 12], [0, 1])
    assert found.figures["queries_left_out"] == 1
    assert found.figures["precision_at_10"] == 1
    assert np.isnan(found.ndcg[""]).tolist() == [True, False]


def test_the_query_and_its_identical_pictures_are_not_counted() -> None:
    labels = ["shirt"] * 4 + ["shoe"] * 12
    found = by_type(labels, [0], ["same", "same", "same", *each_alone(13)])
    assert found.figures["precision_at_10"] == pytest.approx(1 / 10)
    assert found.figures["recall_at_10"] == 1
    assert set(found.neighbours[0]) & {0, 1, 2} == set()


def test_a_catalog_smaller_than_ten_leaves_slots_empty() -> None:
    found = by_type(["shirt"] * 3, [0])
    assert found.neighbours[0].tolist() == [1, 2, *[-1] * 8]
    assert found.figures["precision_at_10"] == pytest.approx(0.2)
    assert found.figures["ndcg_at_10"] == 1


def test_an_unknown_attribute_is_shared_with_none() -> None:
    products = catalog(["shirt"] * 4, gender=["Men", "Men", "NA", "NA"])
    found = relevances(products)
    assert set(found) == {"", "_type_gender"}
    assert found["_type_gender"].tolist() == [found["_type_gender"][0]] * 2 + [-1, -1]
    assert len(set(found[""])) == 1


def test_a_relevance_whose_attribute_is_constant_is_left_out() -> None:
    products = catalog(["shirt", "shoe"], gender=["Men", "Women"], baseColour=["Red", "Red"])
    assert set(relevances(products)) == {"", "_type_gender"}


def test_a_relevance_that_no_query_can_be_asked_has_no_figures() -> None:
    products = catalog(["shirt", "shirt"], gender=["Men", "Women"])
    found = evaluate_retrieval(
        clusters(["a", "a"]), relevances(products), np.array([0]), groups=each_alone(2)
    )
    assert "ndcg_at_10" in found.figures
    assert set(found.ndcg) == {""}


def drawn_products(count: int) -> pd.DataFrame:
    random = np.random.default_rng(3)
    return catalog(
        [f"type {code}" for code in random.integers(0, 9, count)],
        gender=random.choice(["Men", "Women", "NA"], count).tolist(),
        baseColour=random.choice(["Red", "Blue", "Green"], count).tolist(),
    )


_TREC = {
    "precision_at_10": "P_10",
    "recall_at_10": "recall_10",
    "hit_rate_at_10": "success_10",
    "ndcg_at_10": "ndcg_cut_10",
    "map_at_10": "map_cut_10",
}


@pytest.mark.parametrize("suffix", ["", "_type_gender", "_type_colour", "_type_gender_colour"])
def test_figures_agree_with_trec_eval(suffix: str) -> None:
    vectors, products = units(300), drawn_products(300)
    groups, queries = [str(row // 2) for row in range(300)], np.arange(0, 300, 3)
    codes = relevances(products)[suffix]
    truth: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    for query in queries.tolist():
        others = [row for row in range(300) if groups[row] != groups[query]]
        relevant = [row for row in others if codes[row] == codes[query] >= 0]
        if relevant:
            truth[str(query)] = {str(row): int(row in relevant) for row in others}
            run[str(query)] = {str(row): float(vectors[query] @ vectors[row]) for row in others}
    judged = pytrec_eval.RelevanceEvaluator(truth, set(_TREC.values())).evaluate(run)
    found = evaluate_retrieval(vectors, relevances(products), queries, groups=groups).figures
    assert found[f"queries_left_out{suffix}"] == len(queries) - len(truth)
    for ours, theirs in _TREC.items():
        expected = []
        for query, figures in judged.items():
            value = figures[theirs]
            if ours == "map_at_10":  # theirs divides by all that is relevant, ours by ten at most
                possible = sum(truth[query].values())
                value *= possible / min(10, possible)
            expected.append(value)
        assert found[f"{ours}{suffix}"] == pytest.approx(np.mean(expected), abs=1e-9), ours


def test_chance_is_what_random_vectors_reach() -> None:
    products = drawn_products(2_000)
    found = evaluate_retrieval(
        units(2_000, 16), relevances(products), np.arange(1_000), groups=each_alone(2_000)
    ).figures
    for suffix in ("", "_type_gender_colour"):
        chance = found[f"chance_ndcg_at_10{suffix}"]
        assert found[f"ndcg_at_10{suffix}"] == pytest.approx(chance, abs=0.01)


def test_the_blocks_in_which_queries_are_asked_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors, codes = units(300), relevances(drawn_products(300))
    whole = evaluate_retrieval(vectors, codes, np.arange(90), groups=each_alone(300))
    monkeypatch.setattr("recsys.evaluation.nearest._BLOCK_SCORES", 300 * 7)
    parts = evaluate_retrieval(vectors, codes, np.arange(90), groups=each_alone(300))
    assert (parts.neighbours == whole.neighbours).all()
    assert parts.figures == whole.figures


def test_alike_vectors_keep_the_order_of_their_rows_however_scores_are_rounded() -> None:
    # A hundred products of seven vectors: within each, scores differ by rounding at most.
    vectors = units(7, 96)[np.arange(100) % 7]
    codes = relevances(catalog(["shirt"] * 100))
    found = evaluate_retrieval(vectors, codes, np.arange(100), groups=each_alone(100)).neighbours
    for query, near in enumerate(found.tolist()):
        alike = [row for row in range(100) if row % 7 == query % 7 and row != query]
        assert near == alike[:10]


def test_no_queries_are_refused() -> None:
    with pytest.raises(BadInput, match="no held-out product"):
        by_type(["a"] * 3, [])


def test_queries_of_which_none_has_anything_to_find_are_refused() -> None:
    with pytest.raises(BadInput, match="none of 1 held-out products shares its type"):
        by_type(["watch", "shoe", "shoe"], [0])


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(BadInput, match="lengths"):
        by_type(["a"] * 3, [0], each_alone(2))
