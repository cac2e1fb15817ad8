"""Skip, fine-tune or train in full, each with its reason."""

from dataclasses import replace
from datetime import date

import pandas as pd
import pytest

from recsys.planning import Champion, Limits, catalog_change, decide

LEARNED = ("articleType", "baseColour", "gender")
LIMITS = Limits(
    forced="auto",
    skip_below_change=0.01,
    fine_tune_below_change=0.2,
    full_after_days=30,
    full_after_fine_tunings=3,
    full_above_shift=0.2,
    full_above_label_change=0.05,
)
CHAMPION = Champion(date(2026, 1, 1), 0, ())
TONIGHT = date(2026, 1, 5)
STILL = {
    "added_share": 0.0,
    "removed_share": 0.0,
    "pictures_share": 0.0,
    "labels_share": 0.0,
    "changed_share": 0.0,
    "new_labels": 0.0,
    "label_share_change": 0.0,
    "brightness_shift": 0.0,
}


def decided(champion: Champion | None = CHAMPION, **figures: float) -> tuple[str, str]:
    decision = decide(champion, {**STILL, **figures}, LIMITS, TONIGHT)
    return decision.mode, "; ".join(decision.reasons)


def test_without_a_champion_training_is_in_full() -> None:
    assert decided(None) == ("full", "there is no champion to go on from")


@pytest.mark.parametrize(
    ("share", "mode"),
    [(0.0, "skip"), (0.009, "skip"), (0.01, "fine_tune"), (0.19, "fine_tune"), (0.2, "full")],
)
def test_the_share_of_changed_products_decides(share: float, mode: str) -> None:
    found, why = decided(changed_share=share)
    assert found == mode
    assert f"{share:.2%} of the products are others" in why


def test_a_catalog_that_did_not_change_is_skipped_whatever_the_limit() -> None:
    limits = replace(LIMITS, skip_below_change=0.0)
    assert decide(CHAMPION, STILL, limits, TONIGHT).mode == "skip"


def test_a_new_label_is_learned_however_few_the_products() -> None:
    assert decided(changed_share=0.001, new_labels=1) == (
        "fine_tune",
        "1 labels are new to the champion",
    )


@pytest.mark.parametrize(
    ("figure", "value", "said"),
    [
        ("brightness_shift", 0.3, "brightness of the pictures has shifted by 0.30"),
        ("label_share_change", 0.06, "an article type's share of the catalog has changed by 6.00%"),
    ],
)
def test_drift_asks_for_a_training_in_full(figure: str, value: float, said: str) -> None:
    mode, why = decided(CHAMPION, **{figure: value})
    assert mode == "full"
    assert said in why


def test_an_old_champion_is_replaced_even_when_nothing_changed() -> None:
    mode, why = decided(Champion(date(2025, 12, 6), 0, ()))
    assert (mode, why) == (
        "full",
        "the last training in full was on 2025-12-06, 30 days ago or more",
    )
    assert decided(Champion(date(2025, 12, 7), 0, ()))[0] == "skip"


def test_a_champion_is_not_fine_tuned_for_ever() -> None:
    mode, why = decided(Champion(date(2026, 1, 1), 3, ()), changed_share=0.05)
    assert mode == "full"
    assert "fine-tuned 3 times" in why


def test_every_obstacle_is_told() -> None:
    champion = Champion(date(2026, 1, 1), 0, ("epochs is 7, the champion's 6",))
    mode, why = decided(champion, brightness_shift=0.3)
    assert mode == "full"
    assert why.startswith("epochs is 7, the champion's 6; brightness of")


def test_a_person_may_choose_but_not_without_a_champion() -> None:
    limits = replace(LIMITS, forced="skip")
    decision = decide(CHAMPION, {**STILL, "changed_share": 0.9}, limits, TONIGHT)
    assert (decision.mode, decision.reasons) == ("skip", ("the setting retrain says skip",))
    assert decide(None, {}, limits, TONIGHT).mode == "full"


def catalog(**changes: tuple[str, str]) -> pd.DataFrame:
    """Four products; ``p1=("gender", "Men")`` changes one field of one of them."""
    rows = [
        {"id": f"p{n}", "sha256_pixels": str(n), **dict.fromkeys(LEARNED, "x")} for n in range(4)
    ]
    for row in rows:
        if row["id"] in changes:
            field, value = changes[row["id"]]
            row[field] = value
    return pd.DataFrame(rows)


def test_changes_are_counted_once_a_product_and_by_kind() -> None:
    tonight = catalog(p0=("gender", "Men"), p1=("sha256_pixels", "new"), p2=("id", "p9"))
    # p0 another label, p1 another picture, p2 gone, p9 new: four of four.
    assert catalog_change(tonight, catalog(), LEARNED) == {
        "products": 4.0,
        "added_share": 0.25,
        "removed_share": 0.25,
        "pictures_share": 0.25,
        "labels_share": 0.25,
        "changed_share": 1.0,
        "new_labels": 1.0,
    }


def test_only_what_the_network_learns_counts() -> None:
    then, tonight = (catalog().assign(season=season) for season in ("Fall", "Summer"))
    assert catalog_change(tonight, then, LEARNED)["changed_share"] == 0
    assert catalog_change(tonight, then, (*LEARNED, "season"))["changed_share"] == 1


def test_an_equal_catalog_has_not_changed() -> None:
    change = catalog_change(catalog(), catalog(), LEARNED)
    assert change.pop("products") == 4.0
    assert set(change.values()) == {0.0}
