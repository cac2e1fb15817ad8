"""Neighbours under altered pictures, with models whose answers can be foretold."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from probes.pictures import always_the_same, by_mean_colour, by_pixels, drawn_pictures, labels_of
from recsys.errors import BadInput
from recsys.probes import (
    ALTERATIONS,
    Alteration,
    Gallery,
    largest_difference,
    measure_behaviour,
    measure_robustness,
    median_milliseconds,
    probe_figures,
    probes_table,
)

COUNT = 90
PICTURES = drawn_pictures(COUNT)
LABELS = ["blue", "green", "red"] * (COUNT // 3)
ROWS = np.arange(0, COUNT, 2)
SHOWN = PICTURES[ROWS]


def gallery(embed: Callable[[Any], Any], groups: list[str] | None = None) -> Gallery:
    return Gallery(embed(PICTURES), LABELS, groups or [str(row) for row in range(COUNT)])


def robustness(embed: Callable[[Any], Any], *alterations: Alteration) -> pd.DataFrame:
    return measure_robustness(
        SHOWN, ROWS, gallery(embed), embed, labels_of, alterations or ALTERATIONS, seed=3
    )


def behaviour(embed: Callable[[Any], Any]) -> dict[str, float]:
    table = measure_behaviour(SHOWN, ROWS, gallery(embed), embed, seed=3)
    return dict(zip(table["case"], table["value"], strict=True))


def always(picture: np.ndarray) -> Alteration:
    """Every picture becomes this one."""
    return Alteration("swap", 1, lambda shown, _: np.repeat(picture[None], len(shown), axis=0))


def test_nothing_altered_keeps_everything() -> None:
    first, same = (
        robustness(by_pixels, Alteration("copy", 1, lambda shown, _: shown.copy()))
        .iloc[[0, 1]]
        .to_dict("records")
    )
    assert (first["probe"], first["strength"], first["queries"]) == ("none", 0, len(ROWS))
    for row in (first, same):
        assert (row["overlap_at_10"], row["same_top_1"], row["accuracy"]) == (1, 1, 1)
        assert row["cosine"] == pytest.approx(1, abs=1e-6)


def test_another_picture_in_place_of_all_loses_the_neighbours_and_the_label() -> None:
    red = robustness(by_mean_colour, always(PICTURES[2])).iloc[1]
    # Red for all: right for one third, whose neighbours are red anyway.
    assert red["accuracy"] == pytest.approx(1 / 3)
    assert red["precision_at_10"] == pytest.approx(1 / 3, abs=0.02)
    assert red["overlap_at_10"] < 0.3
    assert red["same_top_1"] < 0.2


def test_every_alteration_has_its_row_in_order() -> None:
    table = robustness(by_pixels)
    names = list(zip(table["probe"], table["strength"], strict=True))
    assert names[1:] == [(item.probe, item.strength) for item in ALTERATIONS]
    assert not table.isna().any(axis=None)
    shares = table.drop(columns=["probe", "strength", "queries", "cosine"])
    assert shares.min(axis=None) >= 0
    assert shares.max(axis=None) <= 1


def test_the_same_seed_gives_the_same_table() -> None:
    pd.testing.assert_frame_equal(robustness(by_pixels), robustness(by_pixels))


def test_products_with_the_query_s_own_picture_are_no_neighbours() -> None:
    groups = [str(row // 2) for row in range(COUNT)]
    found, cosines = gallery(by_pixels, groups).nearest(by_pixels(SHOWN), ROWS)
    assert found.shape == cosines.shape == (len(ROWS), 10)
    assert not (found // 2 == (ROWS // 2)[:, None]).any()
    assert (np.diff(cosines, axis=1) <= 0).all()


def test_the_nearest_are_those_that_a_full_sort_finds() -> None:
    vectors = by_pixels(PICTURES)
    found, _ = gallery(by_pixels).nearest(vectors[ROWS], ROWS)
    scores = vectors[ROWS] @ vectors.T
    scores[np.arange(len(ROWS)), ROWS] = -2
    assert np.array_equal(found, np.argsort(-scores, axis=1, kind="stable")[:, :10])


def test_a_gallery_smaller_than_ten_is_filled_up_with_nothing() -> None:
    small = Gallery(by_pixels(PICTURES[:4]), LABELS[:4], list("aabc"))
    found, _ = small.nearest(by_pixels(PICTURES[:1]), np.array([0]))
    assert sorted(found[0].tolist()) == [-1, -1, 2, 3]


def test_the_same_picture_in_another_file_keeps_the_neighbours() -> None:
    found = behaviour(by_mean_colour)
    assert found["png"] == found["webp"] == 1
    assert min(found["shift"], found["jpeg_95"], found["larger"]) > 0.5  # chance: 0.11


def test_another_product_changes_the_neighbours_and_a_blank_picture_is_near_none() -> None:
    found = behaviour(by_mean_colour)
    assert found["another_product"] < 0.1
    assert found["blank"] == 0


def test_a_collapsed_model_is_known_by_what_should_change() -> None:
    found = behaviour(always_the_same)
    assert found["png"] == 1
    assert found["another_product"] == 1


def test_a_model_to_which_everything_is_blank_is_known_by_the_blank_picture() -> None:
    def nearly_blank(pictures: np.ndarray) -> np.ndarray:
        """One direction for all, a little detail beside it in pictures that are not blank."""
        vectors = np.hstack([np.ones((len(pictures), 1)), 0.1 * by_pixels(pictures)])
        vectors[np.ptp(pictures, axis=(1, 2, 3)) == 0, 1:] = 0.1 * by_pixels(PICTURES).mean(axis=0)
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    assert behaviour(nearly_blank)["blank"] > 0.3


def test_the_figures_are_named_by_probe_strength_and_case() -> None:
    table = pd.concat(
        [
            robustness(by_pixels),
            robustness(by_pixels, Alteration("fgsm", 2, lambda s, _: s)).tail(1),
        ]
    )
    cases = measure_behaviour(SHOWN, ROWS, gallery(by_pixels), by_pixels, seed=3)
    figures = probe_figures(table, cases)
    assert (
        figures["jpeg_50_overlap_at_10"]
        == table.set_index(["probe", "strength"]).loc[("jpeg", 50), "overlap_at_10"]
    )
    assert figures["fgsm_2_accuracy"] == 1
    assert figures["kept_png"] == 1
    assert 0 <= figures["changed_another_product"] < 0.5
    kept = table["precision_at_10"].iloc[1:-1].min() / table["precision_at_10"].iloc[0]
    assert figures["least_precision_kept"] == pytest.approx(kept)


def test_a_time_is_judged_by_its_budget_alone() -> None:
    figures = {"kept_png": 1.0, "encode_ms": 30.0}
    in_time, late = (
        probes_table(figures, encode_budget_ms=budget).iloc[0].to_dict() for budget in (30, 29.9)
    )
    assert in_time == {"kept_png": 1.0, "encode_within_budget": True}
    assert not late["encode_within_budget"]


def test_the_largest_difference_is_of_any_component_and_nan_is_the_largest() -> None:
    one = by_pixels(SHOWN)
    other = one.copy()
    assert largest_difference(one, other) == 0
    other[3, 2] += 0.25
    assert largest_difference(one, other) == pytest.approx(0.25)
    other[0, 0] = np.nan
    assert largest_difference(one, other) == np.inf


def test_the_median_time_is_of_single_pictures_after_the_first() -> None:
    seen = []
    assert median_milliseconds(lambda picture: seen.append(picture.shape), SHOWN[:5]) >= 0
    assert seen == [(1, 24, 18, 3)] * 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Gallery(by_pixels(PICTURES), LABELS[:-1], LABELS), "89 labels"),
        (lambda: Gallery(by_pixels(PICTURES)[:0], [], []), "0 vectors"),
        (lambda: largest_difference(by_pixels(SHOWN), by_pixels(PICTURES)), "parity"),
        (
            lambda: measure_robustness(
                SHOWN[:0], ROWS[:0], gallery(by_pixels), by_pixels, labels_of, (), seed=1
            ),
            "no held-out picture",
        ),
        (
            lambda: measure_behaviour(SHOWN[:1], ROWS[:1], gallery(by_pixels), by_pixels, seed=1),
            "no other product",
        ),
    ],
)
def test_what_cannot_be_probed_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        call()
