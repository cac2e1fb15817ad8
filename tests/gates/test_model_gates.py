"""Challengers beside a champion, from single queries' figures to what the gates say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.catalogs import catalog
from gates.gate_builders import check_project_suite
from gates.test_suites import MODEL
from recsys import evaluation
from recsys.errors import GateRefused
from recsys.evaluation import largest_falls

TYPES = ["shirt"] * 120 + ["shoe"] * 240 + ["watch"] * 40
RANDOM = np.random.default_rng(5)
CHAMPION = RANDOM.uniform(0.4, 1.0, len(TYPES))


def figures(challenger: np.ndarray, champion: np.ndarray) -> dict[str, float]:
    everywhere = [dict.fromkeys(evaluation.RELEVANCES, side) for side in (challenger, champion)]
    changes = evaluation.ndcg_changes(*everywhere, np.arange(len(champion)), seed=1)
    return {**MODEL, "ndcg_at_10": float(challenger.mean()), "queries_left_out": 0.0, **changes}


def judge_figures(folder: Path, challenger: np.ndarray, champion: np.ndarray) -> None:
    table = pd.DataFrame([figures(challenger, champion)])
    assert check_project_suite(folder, "model", table).passed


def slices(challenger: np.ndarray) -> pd.DataFrame:
    products = catalog(TYPES)
    light = pd.DataFrame({"brightness": np.random.default_rng(0).uniform(size=len(TYPES))})
    found = evaluation.slice_table(
        evaluation.find_slices(products, light), challenger, CHAMPION, np.arange(len(TYPES)), seed=1
    )
    return evaluation.slices_table(
        found, figures(challenger, CHAMPION), queries=len(TYPES), against_champion=True
    )


def retrained(spread: float = 0.1) -> np.ndarray:
    """As good as the champion, but not on the same queries."""
    noise = np.random.default_rng(6).normal(0, spread, len(TYPES))
    return CHAMPION + noise - noise.mean()


def test_a_model_that_is_as_good_passes_both_gates(tmp_path: Path) -> None:
    judge_figures(tmp_path, retrained(), CHAMPION)
    assert check_project_suite(tmp_path, "model_slices", slices(retrained())).failures == ()


def test_a_model_that_is_surely_a_little_worse_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GateRefused, match=r"on ndcg_at_10_change_high: -0\.02"):
        judge_figures(tmp_path, retrained() - 0.03, CHAMPION)


def test_of_few_queries_a_small_loss_proves_nothing_and_a_large_one_does(tmp_path: Path) -> None:
    few = slice(0, 24)
    judge_figures(tmp_path, retrained(0.2)[few] - 0.03, CHAMPION[few])
    with pytest.raises(GateRefused, match="on ndcg_at_10_change:"):
        judge_figures(tmp_path, retrained(0.2)[few] - 0.25, CHAMPION[few])


def test_a_better_model_that_forgot_one_type_is_refused_and_the_type_is_named(
    tmp_path: Path,
) -> None:
    watches = np.array(TYPES) == "watch"
    challenger = retrained() + np.where(watches, -0.3, 0.1)
    judge_figures(tmp_path, challenger, CHAMPION)
    table = slices(challenger)
    with pytest.raises(GateRefused, match=r"model_slices refused .*\n.* on change_high"):
        check_project_suite(tmp_path, "model_slices", table)
    assert "fell most: articleType=watch by 0.29" in largest_falls(table)
