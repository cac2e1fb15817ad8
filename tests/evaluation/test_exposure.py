"""Who is shown: coverage, hubs, Gini, segments."""

import numpy as np
import pytest

from evaluation.catalogs import catalog, each_alone, units
from recsys.evaluation import evaluate_retrieval, exposure_figures, relevances
from recsys.evaluation.exposure import gini


def test_gini_is_zero_of_equal_shares_and_near_one_when_one_takes_all() -> None:
    assert gini(np.array([3, 3, 3, 3])) == 0
    assert gini(np.array([0, 0, 0, 8])) == 0.75  # 1 - 1/n
    assert gini(np.array([1, 3])) == 0.25
    assert gini(np.zeros(4, int)) == 0


def test_one_product_that_is_in_every_top_ten_is_a_hub() -> None:
    neighbours = np.array([[0, 1], [0, 2], [0, -1]])
    figures, _ = exposure_figures(neighbours, catalog(["a"] * 5))
    assert figures["largest_hub_share"] == 1
    assert figures["exposure_coverage_share"] == 3 / 5
    assert figures["exposure_gini"] == pytest.approx(gini(np.array([3, 1, 1, 0, 0])))


def test_random_neighbours_cover_what_chance_covers() -> None:
    neighbours = np.random.default_rng(0).integers(0, 3_000, (300, 10))
    figures, _ = exposure_figures(neighbours, catalog(["a"] * 3_000))
    assert figures["exposure_coverage_of_chance"] == pytest.approx(1, abs=0.02)
    assert figures["exposure_gini"] == pytest.approx(figures["chance_exposure_gini"], abs=0.02)


def test_a_segment_that_is_shown_too_little_comes_first() -> None:
    products = catalog(["hat"] * 40 + ["shoe"] * 60)
    neighbours = np.array([[70, 71, 72, 0]] * 5)  # a quarter of the exposure are hats
    figures, table = exposure_figures(neighbours, products)
    assert table["segment"].tolist() == ["articleType=hat", "articleType=shoe"]
    assert table["ratio"].tolist() == pytest.approx([0.25 / 0.4, 0.75 / 0.6])
    assert figures["least_exposed_segment_ratio"] == pytest.approx(0.625)
    assert figures["most_exposed_segment_ratio"] == pytest.approx(1.25)


def test_small_segments_are_not_judged() -> None:
    _, table = exposure_figures(np.array([[1]]), catalog(["hat"] * 29 + ["shoe"] * 40))
    assert table["value"].tolist() == ["shoe"]


def test_neighbours_of_a_real_pass_are_taken_as_they_are() -> None:
    products = catalog(["a", "b"] * 30)
    found = evaluate_retrieval(
        units(60), relevances(products), np.arange(20), groups=each_alone(60)
    )
    figures, table = exposure_figures(found.neighbours, products)
    assert 0 < figures["exposure_coverage_share"] <= 1
    assert table["exposure_share"].sum() == pytest.approx(1)
