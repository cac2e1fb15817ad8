"""Bad products are set aside; the good ones, and what is on the shelf, go on."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image, ImageFilter

from flow.nights import NIGHT
from recsys.artifacts.catalog import MeasuredCatalog, ValidatedCatalog
from recsys.catalog import draw_catalog, planted_faults
from recsys.settings import Settings, load_settings
from recsys.stages import run_stage
from recsys.stages.frames import CHANGES, PRODUCTS, QUARANTINE, read_frame
from recsys.stages.night import Night, Opened
from recsys.stages.overrides import release_product
from recsys.stages.pixels import picture_place

PRODUCTS_DRAWN = 240
STAGES = ("snapshot_catalog", "measure_catalog", "validate_catalog")


@pytest.fixture
def delivery(tmp_path: Path) -> Path:
    return draw_catalog(tmp_path / "delivery", PRODUCTS_DRAWN, seed=3)


@pytest.fixture
def settings(tmp_path: Path, delivery: Path) -> Settings:
    return load_settings(state_dir=tmp_path / "state", catalog=str(delivery))


def validate(settings: Settings, night: str = NIGHT) -> tuple[Night, Opened[ValidatedCatalog]]:
    receipts: dict[str, Any] = {}
    for stage in STAGES:
        receipts[stage] = run_stage(stage, settings, night=night, receipts=receipts)
    tonight = Night(settings, night)
    return tonight, tonight.open(receipts["validate_catalog"].ref, ValidatedCatalog)


def quarantine(night: Night, validated: Opened[ValidatedCatalog]) -> pd.DataFrame:
    return read_frame(night, validated.artifact.measured, QUARANTINE).set_index("id")


def picture(delivery: Path, position: int) -> Path:
    sound = sorted((delivery / "images").glob("*.jpg"))[position]
    faults = planted_faults(PRODUCTS_DRAWN)
    assert sound.stem not in (*faults.costly, *faults.duplicates, faults.without_row)
    return sound


def blur(path: Path) -> None:
    with Image.open(path) as image:
        image.convert("RGB").filter(ImageFilter.GaussianBlur(9)).save(path, quality=90)


def test_planted_faults_are_set_aside_with_their_reason_and_night(settings: Settings) -> None:
    night, validated = validate(settings)
    found = quarantine(night, validated)
    assert set(found.index) == set(planted_faults(PRODUCTS_DRAWN).costly)
    assert set(found["first_seen"]) == {NIGHT}
    assert validated.artifact.products == PRODUCTS_DRAWN - len(found)


def test_a_live_product_whose_new_picture_is_bad_keeps_its_good_one(
    settings: Settings, delivery: Path
) -> None:
    spoilt = picture(delivery, 5)
    good = spoilt.read_bytes()
    validate(settings)
    blur(spoilt)
    night, validated = validate(settings, "2026-01-02")
    assert quarantine(night, validated).loc[spoilt.stem, "reason"] == "blurred_image"
    row = read_frame(night, validated.ref, PRODUCTS).set_index("id").loc[spoilt.stem]
    assert row["kept"]
    assert night.read(*picture_place(validated, row["image"], row["kept"])) == good
    assert validated.artifact.kept == 1

    # It stays for as long as it takes, and leaves the quarantine by itself once mended.
    (delivery / "styles.csv").write_bytes((delivery / "styles.csv").read_bytes() + b"\n")
    night, still = validate(settings, "2026-01-03")
    assert still.artifact.kept == 1
    assert quarantine(night, still).loc[spoilt.stem, "first_seen"] == "2026-01-02"
    spoilt.write_bytes(good + b"\0")
    night, mended = validate(settings, "2026-01-04")
    assert spoilt.stem not in quarantine(night, mended).index
    assert mended.artifact.kept == 0


def test_a_setting_delists_it_instead(settings: Settings, delivery: Path) -> None:
    validate(settings)
    spoilt = picture(delivery, 5)
    blur(spoilt)
    delisting = load_settings(**{**settings.model_dump(), "quarantined_products": "delist"})
    night, validated = validate(delisting, "2026-01-02")
    assert validated.artifact.kept == 0
    assert spoilt.stem not in set(read_frame(night, validated.ref, PRODUCTS)["id"])


def test_a_person_can_let_a_product_through_until_its_picture_changes(
    settings: Settings, delivery: Path
) -> None:
    odd = picture(delivery, 7)
    blur(odd)
    night, before = validate(settings)
    assert odd.stem in quarantine(night, before).index
    release_product(night, odd.stem, "a soft scarf", "ada")
    night, after = validate(settings, "2026-01-02")
    assert odd.stem not in quarantine(night, after).index
    assert odd.stem in set(read_frame(night, after.ref, PRODUCTS)["id"])
    with Image.open(odd) as image:
        image.rotate(180).save(odd, quality=90)
    night, changed = validate(settings, "2026-01-03")
    assert odd.stem in quarantine(night, changed).index


def test_only_new_pictures_are_measured_again(settings: Settings, delivery: Path) -> None:
    night, first = validate(settings)
    pictures = night.open(first.artifact.measured, MeasuredCatalog).artifact
    assert pictures.fresh_pictures == pictures.pictures
    changed = picture(delivery, 9)
    with Image.open(changed) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(changed, quality=92)
    night, second = validate(settings, "2026-01-02")
    assert night.open(second.artifact.measured, MeasuredCatalog).artifact.fresh_pictures == 1
    changes = read_frame(night, second.ref, CHANGES)
    assert changes.to_dict("records") == [{"id": changed.stem, "change": "image_changed"}]


def test_the_command_line_lists_draws_and_refuses(
    settings: Settings, recsys: Any, tmp_path: Path
) -> None:
    validate(settings)
    (corrupt, *_) = planted_faults(PRODUCTS_DRAWN).costly
    state = settings.state_dir
    listed = recsys("quarantine", "list", state_dir=state)
    assert listed.returncode == 0, listed.stderr
    assert corrupt in listed.stdout
    sheet = tmp_path / "sheet.png"
    assert recsys("quarantine", "sheet", str(sheet), state_dir=state).returncode == 0
    assert sheet.stat().st_size > 1_000
    refused = recsys("quarantine", "release", corrupt, "--note", "please", state_dir=state)
    assert refused.returncode == 2
    assert "cannot be released by hand" in refused.stderr
