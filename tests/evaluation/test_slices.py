"""Weak slices are found by themselves, and a collapse against the champion shows."""

import numpy as np
import pandas as pd
import pytest

from evaluation.catalogs import catalog
from recsys.evaluation import find_slices, picture_figures, slice_table
from recsys.evaluation.slices import SLICE_COLUMNS


def queries(count: int = 200) -> pd.DataFrame:
    types = ["shirt", "shoe"] * (count // 2)
    colours = ["Red"] * 10 + ["Blue"] * (count - 10)
    return catalog(types, subCategory=types, baseColour=colours)


def brightness(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"brightness": values.astype(float)})


def table(ndcg: np.ndarray, champion: np.ndarray | None = None) -> pd.DataFrame:
    found = find_slices(queries(len(ndcg)), brightness(np.arange(len(ndcg))))
    return slice_table(found, ndcg, champion, np.arange(len(ndcg)), seed=1)


def test_slices_are_values_and_fifths_of_enough_queries_each_set_once() -> None:
    found = find_slices(queries(), brightness(np.arange(200)))
    # Ten red products are too few; subCategory says what the type says; the rest is constant.
    assert set(found) == {
        ("articleType", "shirt"),
        ("articleType", "shoe"),
        ("baseColour", "Blue"),
        *(("brightness", f"{which} fifth") for which in ("lowest", "second", "middle")),
        *(("brightness", f"{which} fifth") for which in ("fourth", "highest")),
    }
    assert found["brightness", "lowest fifth"].nonzero()[0].tolist() == list(range(40))
    assert found["brightness", "highest fifth"].nonzero()[0].tolist() == list(range(160, 200))


def test_a_figure_that_is_the_same_for_all_makes_no_fifths() -> None:
    found = find_slices(queries(), brightness(np.zeros(200)))
    assert not [attribute for attribute, _ in found if attribute == "brightness"]


def test_the_weakest_slice_comes_first_with_its_interval() -> None:
    ndcg = np.where(np.arange(200) % 2 == 0, 0.9, 0.5)
    ndcg[160:] -= 0.5
    found = table(ndcg)
    assert tuple(found.columns) == SLICE_COLUMNS
    assert found["slice"].iloc[0] == "brightness=highest fifth"
    weakest = found.iloc[0]
    assert weakest["ndcg_low"] < weakest["ndcg_at_10"] < weakest["ndcg_high"]
    assert found["ndcg_at_10"].is_monotonic_increasing


def test_without_a_champion_nothing_changed() -> None:
    found = table(np.linspace(0, 1, 200))
    assert found["champion_ndcg_at_10"].isna().all()
    assert (found[["change", "change_low", "change_high"]] == 0).all(axis=None)


def test_a_slice_that_collapsed_is_sure_of_it_and_others_are_not_touched() -> None:
    champion = np.random.default_rng(0).uniform(0.5, 1, 200)
    ndcg = champion.copy()
    ndcg[::2] -= 0.3  # the shirts
    found = table(ndcg, champion).set_index("slice")
    assert found.loc["articleType=shirt", "change"] == pytest.approx(-0.3)
    assert found.loc["articleType=shirt", "change_high"] < -0.29
    assert found.loc["articleType=shoe", "change_high"] == 0


def test_queries_without_a_figure_are_no_part_of_a_slice() -> None:
    ndcg = np.full(200, 0.5)
    ndcg[:80] = np.nan
    found = table(ndcg).set_index("slice")
    assert found.loc["articleType=shirt", "queries"] == 60
    assert "brightness=lowest fifth" not in found.index


def picture(ground: int, subject: int, height: int, width: int) -> np.ndarray:
    pixels = np.full((80, 60, 3), ground, np.uint8)
    pixels[10 : 10 + height, 10 : 10 + width] = subject
    return pixels


def test_picture_figures_tell_light_ground_and_shape() -> None:
    pixels = np.stack([picture(255, 0, 40, 20), picture(0, 0, 1, 1), picture(200, 255, 20, 40)])
    found = picture_figures(pixels)
    covered = 40 * 20 / 4800
    assert np.allclose(found["brightness"].iloc[:2], [255 * (1 - covered), 0])
    assert np.allclose(found["contrast"].iloc[:2], [255 * np.sqrt(covered * (1 - covered)), 0])
    assert np.allclose(found["background"], [1 - covered, 1, 1 - covered])
    assert np.allclose(found["aspect"], [2, 80 / 60, 0.5])
    assert (found["saturation"] == 0).all()


def test_a_coloured_picture_is_saturated() -> None:
    red = np.zeros((1, 80, 60, 3), np.uint8)
    red[..., 0] = 100
    assert picture_figures(red)["saturation"].tolist() == [100]
