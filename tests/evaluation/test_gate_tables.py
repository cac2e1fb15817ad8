"""What the model's gates are shown."""

import numpy as np
import pandas as pd
import pytest

from recsys.evaluation import (
    figures_table,
    largest_falls,
    least_label_recall_high,
    ndcg_changes,
    slices_table,
)
from recsys.evaluation.slices import SLICE_COLUMNS

FIGURES = {"ndcg_at_10": 0.7, "chance_ndcg_at_10": 0.1, "queries_left_out": 2.0}


def test_without_a_champion_nothing_changed() -> None:
    row = figures_table(FIGURES, against_champion=False).iloc[0]
    assert row["ndcg_at_10_change"] == row["ndcg_at_10_change_high"] == 0
    assert row["ndcg_over_chance"] == pytest.approx(0.6)


def test_what_was_not_measured_is_left_open() -> None:
    row = figures_table(FIGURES, against_champion=True).iloc[0]
    assert np.isnan(row[["accuracy", "ndcg_at_10_change", "ndcg_at_10_change_high"]]).all()


def test_a_relevance_that_the_catalog_lacks_is_that_of_the_type() -> None:
    figures = {
        **FIGURES,
        "ndcg_at_10_type_gender": 0.5,
        "chance_ndcg_at_10_type_gender": 0.05,
        "ndcg_at_10_change": -0.2,
        "ndcg_at_10_type_gender_change": 0.1,
    }
    row = figures_table(figures, against_champion=True).iloc[0]
    assert row["ndcg_over_chance_type_gender"] == pytest.approx(0.45)
    assert row["ndcg_at_10_type_gender_change"] == 0.1
    assert row["ndcg_over_chance_type_gender_colour"] == pytest.approx(0.6)
    assert row["ndcg_at_10_type_gender_colour_change"] == -0.2


def test_the_slices_are_judged_with_all_queries_in_front() -> None:
    slices = pd.DataFrame(
        [["hat=1", "hat", "1", 40, 0.5, 0.7, -0.2, -0.3, -0.1, 0.4, 0.6]],
        columns=list(SLICE_COLUMNS),
    )
    changes = {f"ndcg_at_10_change{end}": 0.01 for end in ("", "_low", "_high")}
    found = slices_table(slices, {**FIGURES, **changes}, queries=72, against_champion=True)
    assert found["slice"].tolist() == ["all", "hat=1"]
    assert found["queries"].tolist() == [70, 40]
    assert found["change_high"].tolist() == [0.01, -0.1]
    # Forty queries are too few to hold half the figure against the model.
    assert found["large_ndcg_at_10"].tolist() == [0.7, 0.7]
    large = slices_table(slices.assign(queries=100), FIGURES, queries=720, against_champion=False)
    assert large["large_ndcg_at_10"].tolist() == [0.7, 0.5]
    alone = slices_table(slices.head(0), FIGURES, queries=72, against_champion=False)
    assert alone["change"].tolist() == [0]


def test_a_change_is_that_of_the_very_same_queries() -> None:
    champion = np.random.default_rng(0).uniform(size=400)
    worse, unanswered = champion - 0.05, np.full(400, np.nan)
    changes = ndcg_changes(
        {"": worse, "_type_gender": unanswered}, {"": champion}, np.arange(400), seed=1
    )
    assert set(changes) == {f"ndcg_at_10_change{end}" for end in ("", "_low", "_high")}
    # However much the queries differ, each one fell by the same.
    assert changes["ndcg_at_10_change_low"] == pytest.approx(-0.05)
    assert changes["ndcg_at_10_change_high"] == pytest.approx(-0.05)


def test_a_refusal_can_name_the_slices_that_fell_most() -> None:
    table = pd.DataFrame(
        {
            "slice": ["all", "gender=Men", "gender=Women"],
            "change": [0.01, -0.2, -0.3],
            "change_high": [0.02, -0.1, -0.15],
        }
    )
    assert largest_falls(table) == (
        "\nSlices that fell most: gender=Women by 0.300 (at least 0.150),"
        " gender=Men by 0.200 (at least 0.100)"
    )
    assert largest_falls(table.head(1)) == ""


def test_the_label_named_worst_is_looked_for_among_those_with_products_enough() -> None:
    labels = pd.DataFrame(
        {"label": ["a", "b", "c"], "support": [30, 300, 29], "recall_high": [0.7, 0.4, 0.1]}
    )
    assert least_label_recall_high(labels) == 0.4
    assert least_label_recall_high(labels.tail(1)) == 1.0
