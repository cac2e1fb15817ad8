"""Retrieval figures, against hand arithmetic and a brute-force few lines."""

import numpy as np
import pytest

from recsys.errors import BadInput
from recsys.evaluation import evaluate_retrieval, figures_table
from recsys.evaluation.retrieval import embedding_health


def units(rows: int, dimension: int = 8, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def clusters(labels: list[str]) -> np.ndarray:
    """One axis a label, so that equal labels are nearest."""
    names = sorted(set(labels))
    vectors = np.zeros((len(labels), len(names)), np.float32)
    for row, label in enumerate(labels):
        vectors[row, names.index(label)] = 1
    return vectors


def each_alone(count: int) -> list[str]:
    return [str(row) for row in range(count)]


def test_perfect_neighbours_score_one() -> None:
    labels = ["shirt"] * 12 + ["shoe"] * 12
    found = evaluate_retrieval(
        clusters(labels), labels, np.array([0, 12]), groups=each_alone(24)
    ).figures
    assert found["precision_at_10"] == 1
    assert found["hit_rate_at_10"] == 1
    assert found["map_at_10"] == 1
    assert found["chance_precision_at_10"] == pytest.approx(11 / 23)


def test_five_of_ten_relevant_in_front_score_a_half_and_an_average_precision_of_one() -> None:
    labels = ["shirt"] * 6 + ["shoe"] * 12
    found = evaluate_retrieval(clusters(labels), labels, np.array([0]), groups=each_alone(18))
    assert found.figures["precision_at_10"] == 0.5
    # All five relevant products come first: precision 1 at each, over min(10, 5).
    assert found.figures["map_at_10"] == 1


def test_no_relevant_neighbour_scores_zero() -> None:
    labels = ["watch", *["shoe"] * 12]
    found = evaluate_retrieval(clusters(labels), labels, np.array([0]), groups=each_alone(13))
    assert found.figures["precision_at_10"] == 0
    assert found.figures["hit_rate_at_10"] == 0
    assert found.figures["map_at_10"] == 0


def test_the_query_and_its_identical_pictures_are_not_counted() -> None:
    labels = ["shirt"] * 3 + ["shoe"] * 12
    groups = ["same", "same", "same", *each_alone(12)]
    found = evaluate_retrieval(clusters(labels), labels, np.array([0]), groups=groups)
    assert found.figures["precision_at_10"] == 0


def test_figures_agree_with_brute_force() -> None:
    vectors, labels = units(300), [f"type {row % 7}" for row in range(300)]
    groups = [str(row // 2) for row in range(300)]
    queries = np.arange(0, 300, 3)
    expected = []
    for query in queries:
        order = np.argsort(-(vectors @ vectors[query]), kind="stable")
        others = [row for row in order if groups[row] != groups[query]][:10]
        expected.append(np.mean([labels[row] == labels[query] for row in others]))
    found = evaluate_retrieval(vectors, labels, queries, groups=groups)
    assert found.figures["precision_at_10"] == pytest.approx(np.mean(expected))
    weighted = np.average(found.per_class["precision_at_10"], weights=found.per_class["queries"])
    assert weighted == pytest.approx(np.mean(expected))


def test_health_counts_rows_that_are_not_finite_and_dimensions_that_collapsed() -> None:
    vectors = units(10, 4)
    vectors[:, 3] = 0
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[0] = np.nan
    health = embedding_health(vectors)
    assert health["embedding_nan_share"] == pytest.approx(0.1)
    assert health["embedding_norm_error"] < 1e-6
    assert health["collapsed_dimension_share"] == 0.25
    assert embedding_health(vectors * 2)["embedding_norm_error"] == pytest.approx(1, abs=1e-5)


def test_no_queries_are_refused() -> None:
    with pytest.raises(BadInput, match="no held-out product"):
        evaluate_retrieval(units(3), ["a"] * 3, np.array([], int), groups=["0"] * 3)


def test_the_table_compares_with_the_champion_and_leaves_gaps_unfilled() -> None:
    table = figures_table({"precision_at_10": 0.7}, {"precision_at_10": 0.75})
    assert table["precision_at_10_change"].item() == pytest.approx(-0.05)
    assert np.isnan(table["accuracy"].item())
    assert figures_table({"precision_at_10": 0.7}, {})["precision_at_10_change"].item() == 0
