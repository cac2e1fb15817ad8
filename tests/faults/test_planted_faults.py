"""Faults planted into a drawn catalog: what is caught, and what is left alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from faults.judging import Caught, Judged, caught, drift, false_alarms, judge, read_shop
from faults.planting import IMAGE_FAULTS, KINDS, Planted, Shop, plant, without_type
from recsys.catalog import draw_catalog, open_delivery
from recsys.errors import GateRefused

PER_KIND = 8
STRUCTURAL = {
    "truncated": "undecodable_image",
    "zero_byte": "undecodable_image",
    "wrong_format": "undecodable_image",
    "wrong_encoding": "malformed_row",
    "duplicated_rows": "duplicate_id",
}
# Only another night, or a model, can tell these.
UNSEEN_IN_ONE_DELIVERY = {"swapped_labels", "shuffled_ids"}


@dataclass(frozen=True)
class Bench:
    shop: Shop
    clean: Judged
    planted: Planted
    judged: Judged
    docs: Path

    @property
    def caught(self) -> dict[str, Caught]:
        return caught(self.planted, self.judged)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    root = tmp_path_factory.mktemp("faults")
    delivery = open_delivery(draw_catalog(root / "catalog", 720, 3), max_image_bytes=10**7)
    docs = root / "docs"
    drawn = read_shop(delivery)
    unsound = set(judge(drawn, docs).catalog.quarantine["id"])
    rows = {product: row for product, row in drawn.rows.items() if product not in unsound}
    shop = Shop(rows, drawn.images)
    clean = judge(shop, docs)
    planted = plant(shop, PER_KIND, seed=11)
    return Bench(shop, clean, planted, judge(planted.shop, docs, known=clean.measures), docs)


def test_nothing_is_set_aside_where_nothing_was_planted(bench: Bench) -> None:
    assert len(bench.clean.catalog.quarantine) == 0
    assert len(false_alarms(bench.planted, bench.judged)) == 0


@pytest.mark.parametrize(("kind", "reason"), STRUCTURAL.items())
def test_what_is_structurally_wrong_is_always_caught(bench: Bench, kind: str, reason: str) -> None:
    assert bench.caught[kind].share == 1.0
    assert set(bench.caught[kind].reasons) == {reason}


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(STRUCTURAL) - UNSEEN_IN_ONE_DELIVERY))
def test_pictures_and_names_that_show_nothing_are_caught(bench: Bench, kind: str) -> None:
    assert bench.caught[kind].share >= 0.95, bench.caught[kind]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("noise", "noise_image"),
        ("blurred", "blurred_image"),
        ("upscaled_blocks", "pixellated_image"),
        ("shifted_channel", "shifted_channel"),
        ("prices_in_names", "junk_name"),
    ],
)
def test_the_reason_says_what_was_planted(bench: Bench, kind: str, reason: str) -> None:
    assert bench.caught[kind].reasons.most_common(1)[0][0] == reason


def test_a_quarantined_product_names_the_expectation_or_the_rule(bench: Bench) -> None:
    quarantine = bench.judged.catalog.quarantine.set_index("reason")["expectation"]
    assert quarantine["blurred_image"].iloc[0] == (
        "expect_column_values_to_be_between on sharpness"
    )
    assert quarantine["undecodable_image"].iloc[0] == "an image decodes"
    assert (quarantine != "").all()


def test_the_same_seed_plants_the_same_faults(bench: Bench) -> None:
    again = plant(bench.shop, PER_KIND, seed=11)
    assert again.shop.images == bench.planted.shop.images
    assert again.shop.styles_csv() == bench.planted.shop.styles_csv()
    assert again.ids == bench.planted.ids


def test_every_kind_costs_other_products(bench: Bench) -> None:
    ids = bench.planted.ids
    assert set(ids) == set(KINDS)
    assert len(frozenset[str]().union(*ids.values())) == PER_KIND * len(KINDS)
    files = {name.rpartition(".")[0]: name for name in bench.shop.images}
    for kind in IMAGE_FAULTS:
        for product in ids[kind]:
            assert bench.planted.shop.images[files[product]] != bench.shop.images[files[product]]


def test_a_type_that_is_missing_from_the_delivery_is_refused(bench: Bench) -> None:
    tonight = judge(without_type(bench.shop, "Heels"), bench.docs, known=bench.clean.measures)
    with pytest.raises(GateRefused, match="on vanished_types: Heels"):
        drift(tonight, bench.clean, bench.docs)


def test_shuffled_ids_are_refused_by_the_gate_on_drift(bench: Bench) -> None:
    shuffled = plant(bench.shop, 30, 5, ["shuffled_ids"]).shop
    tonight = judge(shuffled, bench.docs, known=bench.clean.measures)
    with pytest.raises(GateRefused, match="moved_images_share"):
        drift(tonight, bench.clean, bench.docs)


def test_an_unchanged_night_passes_the_gate_on_drift_without_a_word(bench: Bench) -> None:
    assert drift(bench.clean, bench.clean, bench.docs).failures == ()
