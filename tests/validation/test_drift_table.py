"""Tonight against the last accepted night: the figures, and what the suite makes of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from gates.gate_builders import check_project_suite
from recsys.artifacts.verdict import Verdict
from recsys.errors import GateRefused
from recsys.validation import candidates_table, delivery_table, drift_table
from validation.delivery_builders import delivery, flat, picture, row, styles

Night = tuple[pd.DataFrame, pd.DataFrame]
KINDS = ("Shirts", "Jeans")


def night(kinds: dict[str, str], pictures: dict[str, int] | None = None) -> Night:
    """Products of these ids and types; each shows the picture of its own number."""
    seeds = {product: int(product) for product in kinds} | (pictures or {})
    images = {f"{product}.png": picture(seeds[product]) for product in kinds}
    _, measures, catalog = delivery(styles(*[row(*item) for item in kinds.items()]), images)
    return catalog.products, measures


LAST = {str(100 + number): KINDS[number % 2] for number in range(60)}
BEFORE = night(LAST)


def figures(tonight: Night) -> dict[str, object]:
    (found,) = drift_table(*tonight, *BEFORE).to_dict("records")
    return {str(name): value for name, value in found.items()}


def judge(root: Path, tonight: Night) -> Verdict:
    return check_project_suite(root, "drift", drift_table(*tonight, *BEFORE))


def test_the_same_night_shows_no_drift(tmp_path: Path) -> None:
    assert judge(tmp_path, BEFORE).failures == ()
    found = figures(BEFORE)
    assert (found.pop("rows_ratio"), found.pop("vanished_types")) == (1.0, "")
    assert set(found.values()) == {0.0}


def test_added_removed_and_changed_are_shares_of_the_night_before() -> None:
    tonight = {**LAST, "900": "Shirts", "901": "Jeans", "100": "Jeans"}
    del tonight["103"]
    found = figures(night(tonight, {"102": 5}))
    assert found["added_share"] == pytest.approx(2 / 60)
    assert found["removed_share"] == pytest.approx(1 / 60)
    assert found["changed_share"] == pytest.approx(2 / 60), "a type and a picture"
    assert found["moved_images_share"] == 0.0, "nobody showed that picture"
    assert found["rows_ratio"] == pytest.approx(61 / 60)
    # 30 of 60 were Shirts; tonight 30 − 1 + 1 of 61.
    assert found["label_share_change"] == pytest.approx(0.5 - 30 / 61)


def test_products_that_swap_their_pictures_are_refused(tmp_path: Path) -> None:
    swapped = night(LAST, {"100": 101, "101": 100})
    assert figures(swapped)["moved_images_share"] == pytest.approx(2 / 60)
    with pytest.raises(GateRefused, match="moved_images_share"):
        judge(tmp_path, swapped)


def test_a_large_type_that_vanishes_is_refused_by_name(tmp_path: Path) -> None:
    left = {product: kind for product, kind in LAST.items() if kind == "Shirts"}
    with pytest.raises(GateRefused, match="vanished_types: Jeans"):
        judge(tmp_path, night(left))


def test_a_shift_is_in_standard_deviations_of_the_night_before(tmp_path: Path) -> None:
    products, measures = BEFORE
    spread = measures["brightness"].std(ddof=0)
    lighter = measures.assign(brightness=measures["brightness"] + 2 * spread)
    assert figures((products, lighter))["brightness_shift"] == pytest.approx(2)
    with pytest.raises(GateRefused, match="brightness_shift: 2; allowed: max_value 1"):
        judge(tmp_path, (products, lighter))


def test_only_pictures_of_products_count_for_a_shift() -> None:
    products, measures = BEFORE
    stray = measures.tail(1).assign(path="stray.png", id="stray", brightness=0.0)
    assert figures((products, pd.concat([measures, stray])))["brightness_shift"] == 0.0


def test_a_figure_that_was_not_measured_then_shows_no_shift() -> None:
    products, measures = BEFORE
    table = drift_table(products, measures, products, measures.drop(columns="sharpness"))
    assert table["sharpness_shift"].tolist() == [0.0]


def test_candidates_have_every_measure_once() -> None:
    _, measures, catalog = delivery(styles(row("1"), row("2")), {"1.png": picture()})
    table = candidates_table(catalog, measures)
    assert table["id"].tolist() == ["1"]
    assert table.columns.is_unique
    assert {"sharpness", "phash", "productDisplayName", "image"} <= set(table.columns)


def test_the_worst_type_is_told_if_it_has_twenty_rows() -> None:
    lines = [row(str(100 + number), KINDS[number % 2]) for number in range(60)]
    lines += [row("900", "Rare")]
    images = {f"{100 + number}.png": picture(number) for number in range(60)}
    images |= {"101.png": flat((1, 1, 1)), "103.png": b"", "105.png": b""}
    (found,) = delivery_table(*delivery(styles(*lines), images)).to_dict("records")
    assert found["worst_type_quarantined_share"] == pytest.approx(3 / 30)
    (nothing,) = delivery_table(*delivery(b"", {})).to_dict("records")
    assert nothing["worst_type_quarantined_share"] == 0.0
