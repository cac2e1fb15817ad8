"""The figures of a shadow on answers that are counted by hand, and the gate over them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from gates.gate_builders import NIGHT, PROJECT_SUITES
from recsys import gates
from recsys.errors import GateRefused
from recsys.trial.asking import Pair, Question, Reply, recent_questions
from recsys.trial.figures import shadow_figures

TYPES = {"1": "Hats", "2": "Hats", "3": "Shoes", "4": "Shoes"}
GOOD = Reply(200, 4.0, ("2", "3"), (1.0, 0.5), False)
ANYONE = Reply(200, 4.0, ("3", "4"), (0.3, 0.1), False)
UNKNOWN = Reply(404, 1.0, (), (), False)


def about(purpose: str, candidate: Reply, live: Reply | None) -> Pair:
    query = {"image": "…"} if purpose == "picture" else {"product_id": "1"}
    return Pair(Question(query, purpose, "1"), candidate, live)  # type: ignore[arg-type]


def pairs(candidate: Reply = GOOD, live: Reply | None = GOOD) -> list[Pair]:
    asked = [about(purpose, candidate, live) for purpose in ("product", "picture", "recent")]
    return [*asked, about("among", ANYONE, None if live is None else ANYONE)]


def figures(
    *found: Pair, same_model: bool = True, held: set[str] | None = None
) -> dict[str, float]:
    return shadow_figures(
        found or pairs(), TYPES, held or set(TYPES), set(TYPES), same_model=same_model
    )


def refused_by(row: dict[str, float], folder: Path) -> str:
    try:
        gates.check(
            "shadow",
            pd.DataFrame([row]),
            subject="s",
            expectations_dir=PROJECT_SUITES,
            docs_dir=folder,
            night=NIGHT,
            replacements={"shadow_slowdown": 2.5},
        )
    except GateRefused as refusal:
        return str(refusal)
    return ""


def test_alike_answers_differ_in_nothing(tmp_path: Path) -> None:
    found = figures()
    assert found["questions"] == 3
    assert found["recent"] == 1
    assert found["contrast"] == pytest.approx(1.0 - 0.2)
    assert found["purity"] == 0.5
    assert found["same_model_overlap_at_10"] == found["contrast_ratio"] == 1
    assert found["top_score_shift"] == found["top_score_distance"] == found["failed_share"] == 0
    assert found["image_p50_slowdown"] == pytest.approx(4 / 5)
    assert refused_by(found, tmp_path) == ""


def test_without_a_live_release_nothing_differs_and_the_rest_is_judged(tmp_path: Path) -> None:
    found = figures(*pairs(live=None))
    assert refused_by(found, tmp_path) == ""
    assert "own_picture_share" in refused_by({**found, "own_picture_share": 0.5}, tmp_path)


def test_scores_and_neighbours_by_hand() -> None:
    other = replace(GOOD, products=("2", "4"), scores=(0.8, 0.5))
    found = figures(*pairs(candidate=other))
    assert found["overlap_at_10"] == 0.5
    assert found["top_score_shift"] == pytest.approx(-0.2)
    assert found["top_score_distance"] == 1
    assert found["own_picture_share"] == 0
    assert found["contrast_ratio"] == pytest.approx(0.6 / 0.8)
    # A product that the candidate rightly lacks is no neighbour that it missed.
    assert figures(*pairs(candidate=other), held={"1", "2", "4"})["overlap_at_10"] == 1


def test_another_model_is_not_held_to_the_scores_of_the_last(tmp_path: Path) -> None:
    other = replace(GOOD, products=("4", "2"), scores=(0.995, 0.5))
    found = figures(*pairs(candidate=other), same_model=False)
    assert found["same_model_overlap_at_10"] == 1
    assert refused_by(found, tmp_path) == ""


def test_errors_unknown_products_and_empty_answers_are_counted_apart(tmp_path: Path) -> None:
    found = figures(about("recent", UNKNOWN, GOOD), *pairs())
    assert (found["lost_share"], found["failed_share"]) == (0.25, 0)
    assert "lost_share" in refused_by(found, tmp_path)
    found = figures(about("recent", replace(UNKNOWN, status_code=500), GOOD), *pairs())
    assert (found["lost_share"], found["failed_share"]) == (0, 0.25)
    found = figures(about("recent", replace(GOOD, products=(), scores=()), GOOD), *pairs())
    assert found["empty_share"] == 0.25
    assert figures(about("recent", UNKNOWN, UNKNOWN), *pairs())["failed_share"] == 0


def test_slower_by_a_multiple_is_refused_unless_it_is_fast_anyway(tmp_path: Path) -> None:
    slow = pairs(candidate=replace(GOOD, milliseconds=60.0))
    assert "image_p50_slowdown" in refused_by(figures(*slow), tmp_path)
    quick = pairs(candidate=replace(GOOD, milliseconds=4.0), live=replace(GOOD, milliseconds=0.4))
    assert refused_by(figures(*quick), tmp_path) == ""


def test_a_figure_of_nothing_is_refused(tmp_path: Path) -> None:
    found = figures(about("recent", GOOD, GOOD))
    assert math.isnan(found["own_picture_share"])
    assert "own_picture_share" in refused_by(found, tmp_path)


def test_several_queries_in_one_request_are_asked_each_alone() -> None:
    bodies = [
        {"jsonData": {"queries": [{"product_id": "1"}, {"image": "eA=="}]}},
        {"binData": "eA=="},
        {"jsonData": {"product_id": "2"}},
    ]
    found = recent_questions(bodies, 3)
    assert [question.kind for question in found] == ["id", "image", "image"]
    assert [question.product for question in found] == ["1", None, None]
