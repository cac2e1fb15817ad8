"""Whole deliveries before the project's own suites: what passes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gates.gate_builders import check_project_suite
from recsys.artifacts.verdict import Verdict
from recsys.errors import GateRefused
from recsys.validation import delivery_table, products_table
from validation.delivery_builders import HEADER, delivery, flat, picture, row, styles

KINDS = ("Shirts", "Jeans", "Heels")
LINES = [row(str(number), KINDS[number % 3]) for number in range(100, 140)]
IMAGES = {f"{number}.png": picture(number) for number in range(100, 140)}


def judge_delivery(
    root: Path,
    csv: bytes,
    images: dict[str, bytes],
    budget: float = 0.02,
    type_budget: float = 0.2,
) -> Verdict:
    rows, measures, catalog = delivery(csv, images)
    return check_project_suite(
        root,
        "delivery",
        delivery_table(rows, measures, catalog),
        replacements={"quarantine_budget": budget, "type_quarantine_budget": type_budget},
    )


def judge_products(root: Path, csv: bytes, images: dict[str, bytes]) -> Verdict:
    _, measures, catalog = delivery(csv, images)
    return check_project_suite(root, "products", products_table(catalog, measures))


def test_a_sound_delivery_passes_both_gates_without_a_warning(tmp_path: Path) -> None:
    assert judge_delivery(tmp_path, styles(*LINES), IMAGES).failures == ()
    assert judge_products(tmp_path, styles(*LINES), IMAGES).failures == ()


def test_labels_without_attributes_pass(tmp_path: Path) -> None:
    lines = [f"train-{n},NA,NA,NA,{KINDS[n % 3]},NA,NA,NA,NA,x {n}" for n in range(40)]
    images = {f"train-{n}.png": picture(n, 28, 28, mode="L") for n in range(40)}
    assert judge_delivery(tmp_path, styles(*lines), images).failures == ()
    assert judge_products(tmp_path, styles(*lines), images).passed


def test_half_the_images_corrupt_is_refused(tmp_path: Path) -> None:
    images = {
        name: data[:40] if position % 2 else data
        for position, (name, data) in enumerate(IMAGES.items())
    }
    with pytest.raises(GateRefused) as refusal:
        judge_delivery(tmp_path, styles(*LINES), images)
    assert "quarantined_share: 0.5; allowed: max_value 0.02" in str(refusal.value)
    assert "undecodable_images_share" in str(refusal.value)


def test_the_budget_is_the_callers(tmp_path: Path) -> None:
    images = {**IMAGES, "100.png": b"broken"}
    assert judge_delivery(tmp_path, styles(*LINES), images, budget=0.025).passed
    with pytest.raises(GateRefused, match="quarantined_share"):
        judge_delivery(tmp_path, styles(*LINES), images, budget=0.02)


def test_one_type_beyond_its_budget_is_refused(tmp_path: Path) -> None:
    csv = styles(*[row(str(number), KINDS[number % 2]) for number in range(100, 140)])
    images = {**IMAGES, **{f"{number}.png": flat((9, 9, 9)) for number in (100, 102, 104)}}
    assert judge_delivery(tmp_path, csv, images, budget=1, type_budget=0.15).passed  # 3 of 20
    with pytest.raises(GateRefused, match=r"worst_type_quarantined_share: 0\.15"):
        judge_delivery(tmp_path, csv, images, budget=1, type_budget=0.14)


@pytest.mark.parametrize(
    "csv",
    [
        b"",
        b"\x89PNG no csv",
        styles(*LINES).decode().encode("utf-16"),
        styles(*LINES).replace(b",", b";"),
        styles(*LINES, header=HEADER.replace("articleType", "type")),
        styles(*[f"{line}, and more" for line in LINES]),
        styles(),
    ],
    ids=["empty", "binary", "utf-16", "semicolons", "renamed column", "extra field", "no rows"],
)
def test_a_broken_csv_is_refused(tmp_path: Path, csv: bytes) -> None:
    with pytest.raises(GateRefused):
        judge_delivery(tmp_path, csv, IMAGES)


def test_a_csv_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GateRefused, match="images_without_row_share"):
        judge_delivery(tmp_path, styles(*LINES[:25]), IMAGES)


def test_a_delivery_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GateRefused, match="images"):
        judge_delivery(tmp_path, styles(*LINES), {})


def test_one_article_type_is_refused(tmp_path: Path) -> None:
    lines = [row(str(number)) for number in range(100, 140)]
    with pytest.raises(GateRefused, match="article_types"):
        judge_delivery(tmp_path, styles(*lines), IMAGES)


def test_an_empty_catalog_is_refused_by_the_products_gate(tmp_path: Path) -> None:
    with pytest.raises(GateRefused):
        judge_products(tmp_path, b"", {})


def test_a_column_that_is_all_null_is_refused_by_the_products_gate(tmp_path: Path) -> None:
    _, measures, catalog = delivery(styles(*LINES), IMAGES)
    table = products_table(catalog, measures).assign(brightness=float("nan"))
    with pytest.raises(GateRefused, match="brightness"):
        check_project_suite(tmp_path, "products", table)


def test_shares_are_of_what_was_delivered(tmp_path: Path) -> None:
    csv = styles(row("100"), row("101", name="a, b"), row("102"), row("100"))
    images = {"100.png": picture(), "101.png": picture(), "9.png": b"broken"}
    (figures,) = delivery_table(*delivery(csv, images)).to_dict("records")
    assert figures["rows"] == 4
    assert figures["products"] == 1
    assert figures["quarantined_share"] == 0.75
    assert figures["malformed_share"] == 0.25
    assert figures["rows_without_image_share"] == 0.25
    assert figures["duplicate_ids"] == 1
    assert figures["images_without_row_share"] == pytest.approx(1 / 3)
    assert figures["undecodable_images_share"] == pytest.approx(1 / 3)
