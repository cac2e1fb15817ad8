"""A delta is laid over the last accepted catalog."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from flow.nights import NIGHT
from recsys.artifacts.catalog import CatalogSnapshot, MeasuredCatalog, ValidatedCatalog
from recsys.catalog import draw_catalog, planted_faults
from recsys.errors import DeliveryUnreadable
from recsys.settings import Settings, load_settings
from recsys.stages import run_stage
from recsys.stages.frames import CHANGES, PRODUCTS, read_frame
from recsys.stages.night import Night, Opened

DRAWN = 120
NEW_ID = "90001"


@pytest.fixture
def full(tmp_path: Path) -> Path:
    return draw_catalog(tmp_path / "full", DRAWN, seed=5)


@pytest.fixture
def delta(tmp_path: Path, full: Path) -> Path:
    """One product new, one renamed, one removed."""
    folder = tmp_path / "delta"
    (folder / "images").mkdir(parents=True)
    header, *rows = (full / "styles.csv").read_text().splitlines()
    faults = planted_faults(DRAWN)
    special = {*faults.costly, *faults.duplicates, faults.greyscale, faults.without_row}
    first, second, third = [row for row in rows if row.split(",")[0] not in special][:3]
    old_id = first.split(",")[0]
    renamed = second.rsplit(",", 1)[0] + ",Renamed Tonight"
    added = NEW_ID + first.removeprefix(old_id)
    (folder / "styles.csv").write_text("\n".join([header, renamed, added]) + "\n")
    (folder / "removed.csv").write_text(f"id\n{third.split(',')[0]}\n")
    shutil.copy(full / "images" / f"{old_id}.jpg", folder / "images" / f"{NEW_ID}.jpg")
    return folder


def settings_for(tmp_path: Path, catalog: Path) -> Settings:
    return load_settings(state_dir=tmp_path / "state", catalog=str(catalog))


def validate(settings: Settings) -> tuple[Night, Opened[ValidatedCatalog], dict[str, Any]]:
    receipts: dict[str, Any] = {}
    for stage in ("snapshot_catalog", "measure_catalog", "validate_catalog"):
        receipts[stage] = run_stage(stage, settings, night=NIGHT, receipts=receipts)
    night = Night(settings, NIGHT)
    return night, night.open(receipts["validate_catalog"].ref, ValidatedCatalog), receipts


def test_a_delta_adds_changes_and_removes(tmp_path: Path, full: Path, delta: Path) -> None:
    night, before, _ = validate(settings_for(tmp_path, full))
    old = set(read_frame(night, before.ref, PRODUCTS)["id"])
    night, after, _ = validate(settings_for(tmp_path, delta))
    products = read_frame(night, after.ref, PRODUCTS).set_index("id")
    assert set(products.index) - old == {NEW_ID}
    assert len(old - set(products.index)) == 1
    assert "Renamed Tonight" in set(products["productDisplayName"])
    changes = read_frame(night, after.ref, CHANGES)
    assert sorted(changes["change"]) == ["added", "attributes_changed", "removed"]
    assert after.artifact.changes == {"added": 1, "attributes_changed": 1, "removed": 1}


def test_running_out_of_stock_is_a_change_and_saying_that_there_is_some_is_none(
    tmp_path: Path, full: Path
) -> None:
    validate(settings_for(tmp_path, full))
    header, *rows = (full / "styles.csv").read_text().splitlines()
    kept = [row for row in rows if row.count(",") == header.count(",")]
    out_of_stock = kept[3].split(",")[0]
    said = [f"{row},{str(not row.startswith(f'{out_of_stock},')).lower()}" for row in kept]
    (full / "styles.csv").write_text("\n".join([f"{header},in_stock", *said]) + "\n")
    night, after, _ = validate(settings_for(tmp_path, full))
    stock = read_frame(night, after.ref, PRODUCTS).set_index("id")["in_stock"]
    assert stock[stock == "false"].index.tolist() == [out_of_stock]
    assert set(stock) == {"true", "false"}
    changes = read_frame(night, after.ref, CHANGES).to_dict("records")
    assert changes == [{"id": out_of_stock, "change": "attributes_changed"}]


def test_only_the_deltas_pictures_are_measured(tmp_path: Path, full: Path, delta: Path) -> None:
    validate(settings_for(tmp_path, full))
    night, after, _ = validate(settings_for(tmp_path, delta))
    measured = night.open(after.artifact.measured, MeasuredCatalog).artifact
    # The new product shows a picture that was measured before.
    assert measured.fresh_pictures == 0
    assert measured.pictures == DRAWN + 1


def test_the_same_delta_twice_changes_nothing(tmp_path: Path, full: Path, delta: Path) -> None:
    validate(settings_for(tmp_path, full))
    validate(settings_for(tmp_path, delta))
    _, _, again = validate(settings_for(tmp_path, delta))
    assert not any(receipt.fresh for receipt in again.values())


def test_a_delta_without_a_catalog_to_lay_it_over_is_refused(tmp_path: Path, delta: Path) -> None:
    with pytest.raises(DeliveryUnreadable, match="deliver the full catalog first"):
        validate(settings_for(tmp_path, delta))
    night = Night(settings_for(tmp_path, delta), NIGHT)
    assert night.newest("snapshot_catalog", CatalogSnapshot) is None
