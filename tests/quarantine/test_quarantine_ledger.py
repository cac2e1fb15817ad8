"""Products in quarantine: remembered, kept on the shelf, released by hand."""

import pandas as pd
import pytest

from recsys.errors import ArtifactInvalid
from recsys.quarantine import (
    Override,
    Overrides,
    keep_on_shelf,
    update_ledger,
    without_released,
)

BLURRED = pd.DataFrame({"id": ["1", "2"], "reason": ["blurred_image", "blank_image"]})
RELEASE = Override("1", "blurred_image", "aa", "it is a mirror", "ada", "2026-01-02T00:00:00")


def products(*ids: str) -> pd.DataFrame:
    return pd.DataFrame({"id": list(ids), "name": [f"product {item}" for item in ids]})


def test_a_product_that_stays_keeps_the_night_it_came() -> None:
    first = update_ledger(None, BLURRED, "2026-01-01")
    second = update_ledger(first, BLURRED.head(1), "2026-01-02")
    assert second.to_dict("records") == [
        {
            "id": "1",
            "reason": "blurred_image",
            "first_seen": "2026-01-01",
            "last_seen": "2026-01-02",
        }
    ]


def test_a_mended_product_leaves_and_starts_anew_when_it_comes_back() -> None:
    first = update_ledger(None, BLURRED, "2026-01-01")
    mended = update_ledger(first, BLURRED.head(0), "2026-01-02")
    assert len(mended) == 0
    again = update_ledger(mended, BLURRED.head(1), "2026-01-03")
    assert again["first_seen"].item() == "2026-01-03"


def test_another_reason_is_another_case() -> None:
    first = update_ledger(None, BLURRED.head(1), "2026-01-01")
    other = pd.DataFrame({"id": ["1"], "reason": ["blank_image"]})
    assert update_ledger(first, other, "2026-01-02")["first_seen"].item() == "2026-01-02"


def test_yesterdays_good_row_stays_while_the_product_is_in_quarantine() -> None:
    kept = keep_on_shelf(products("3"), BLURRED, products("1", "3", "4"))
    # 1 was good yesterday; 2 never was; 3 is good tonight; 4 is no longer delivered.
    assert kept["id"].tolist() == ["1"]
    assert keep_on_shelf(products("3"), BLURRED, None).empty


def test_a_repeated_row_does_not_replace_the_good_one() -> None:
    repeated = pd.DataFrame({"id": ["3"], "reason": ["duplicate_id"]})
    assert keep_on_shelf(products("3"), repeated, products("3")).empty


def test_a_release_by_hand_holds_for_its_reason_and_its_picture_only() -> None:
    overrides = Overrides().adding(RELEASE)
    same = pd.Series({"1": "aa", "2": "bb"})
    assert without_released(BLURRED, same, overrides)["id"].tolist() == ["2"]
    new_picture = pd.Series({"1": "cc", "2": "bb"})
    assert without_released(BLURRED, new_picture, overrides)["id"].tolist() == ["1", "2"]
    other_reason = BLURRED.assign(reason="junk_name")
    assert len(without_released(other_reason, same, overrides)) == 2


def test_a_release_by_hand_says_why() -> None:
    with pytest.raises(ArtifactInvalid, match="needs a note"):
        Override("1", "blurred_image", "aa", " ", "ada", "2026-01-02")


def test_overrides_survive_their_json() -> None:
    overrides = Overrides().adding(RELEASE)
    assert Overrides.from_json(overrides.to_json()) == overrides
    assert len(overrides.adding(RELEASE).items) == 1
