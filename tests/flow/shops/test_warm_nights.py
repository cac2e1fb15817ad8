"""Nights after small changes: the champion is kept or fine-tuned, and the record says why."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flow.nights import JUDGING, NIGHT, Platform, free_ports, only_telling, run_night, served
from recsys import names
from recsys.artifacts.catalog import ATTRIBUTES, NAME_COLUMN, ValidatedCatalog
from recsys.artifacts.model import ApprovedModel, TrainedModel, TrainingPlan
from recsys.artifacts.release import read_manifest
from recsys.errors import ProductUnknown
from recsys.settings import load_settings
from recsys.stages.change_products import delist_products, upsert_products
from recsys.stages.frames import PRODUCTS, read_frame
from recsys.stages.night import Night
from recsys.stages.pixels import picture_place
from recsys.stages.reproduce_release import reproduce_release
from recsys.stages.trace import trace

NEW_ID = "90001"
DELISTED = "10020"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A shop of its own whose first night is over, and its live service."""
    settings = load_settings(
        state_dir=tmp_path_factory.mktemp("warm"),
        expectations_dir=only_telling(tmp_path_factory.mktemp("suites"), *JUDGING),
        drawn_products=240,
        image_width=32,
        image_height=40,
        embedding_dim=32,
        epochs=6,
        batch_size=16,
        recall_queries=100,
        shadow=False,  # what is warm ends before
        seldon_port=free_ports(1)[0],
    )
    with served(settings):
        run_night(settings)
        yield Platform(settings, {})


@pytest.fixture(scope="module")
def delta(shop: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One product more: the mirror image of one that there is."""
    night = Night(shop.settings, NIGHT)
    validated = night.newest("validate_catalog", ValidatedCatalog)
    assert validated is not None
    product = read_frame(night, validated.ref, PRODUCTS).iloc[0]
    folder = tmp_path_factory.mktemp("delta")
    (folder / "images").mkdir()
    picture = night.read(*picture_place(validated, product["image"], product["kept"]))
    mirrored = Image.open(io.BytesIO(picture)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    mirrored.save(folder / "images" / f"{NEW_ID}.jpg", quality=95)
    row = [NEW_ID, *(str(product[name]) for name in ATTRIBUTES), str(product[NAME_COLUMN])]
    header = ",".join(["id", *ATTRIBUTES, NAME_COLUMN])
    (folder / "styles.csv").write_text(f"{header}\n{','.join(row)}\n")
    (folder / "removed.csv").write_text("id\n")
    return folder


def parts(answer: dict[str, Any]) -> dict[str, str]:
    return {item["product_id"]: item["part"] for item in answer["results"]}


def twin_of(night: Night, validated: str) -> str:
    """The product that the new one is the mirror image of."""
    return str(read_frame(night, validated, PRODUCTS)["id"].iloc[0])


def test_a_change_is_in_effect_before_any_night(shop: Platform, delta: Path) -> None:
    night = Night(shop.settings, NIGHT)
    validated = night.newest("validate_catalog", ValidatedCatalog)
    assert validated is not None
    assert upsert_products(night, [], delta, "me").workers == 2
    assert delist_products(night, [DELISTED], "me").workers == 2
    assert parts(shop.answer(twin_of(night, validated.ref), 50))[NEW_ID] == "tail"
    assert shop.answer(NEW_ID)["changes"] == 2
    with pytest.raises(ProductUnknown, match=DELISTED):
        shop.answer(DELISTED)


def test_a_new_product_is_found_although_nothing_was_trained(shop: Platform, delta: Path) -> None:
    settings = shop.with_settings(catalog=str(delta), skip_below_change=0.05)
    night = Night(settings, NIGHT)
    before = night.newest("approve_model", ApprovedModel)
    assert before is not None
    receipts = run_night(settings)
    plan = night.open(receipts["plan_training"].ref, TrainingPlan).artifact
    assert plan.mode == "skip"
    champion = night.open(receipts["approve_model"].ref, ApprovedModel).artifact
    assert champion.model_digest == before.artifact.model_digest
    assert champion.registry_version == before.artifact.registry_version
    assert night.open(champion.model, TrainedModel).artifact.validated == plan.validated
    assert len(shop.answer(NEW_ID)["results"]) == 5
    like_it = shop.answer(twin_of(night, plan.validated), 50)["results"]
    assert NEW_ID in [item["product_id"] for item in like_it]
    # The delta delists nobody: that product is gone because the change was folded in.
    assert set(parts(shop.answer(NEW_ID, 100)).values()) == {"release"}
    with pytest.raises(ProductUnknown, match=DELISTED):
        shop.answer(DELISTED)
    assert read_manifest(settings.releases_dir / str(shop.live)).changes_through == 2
    assert len(list(trace(night, str(shop.live)).graph.nodes(names.CHANGES))) == 1
    registered = night.registry.champion()
    assert registered is not None
    assert registered.reasons.startswith(f"skip: {plan.reasons[0]}")


def test_a_champion_is_fine_tuned_and_the_night_can_be_replayed(
    shop: Platform, delta: Path
) -> None:
    settings = shop.with_settings(catalog=str(delta), retrain="fine_tune", fine_tune_epochs=1)
    night = Night(settings, NIGHT)
    receipts = run_night(settings, until="assemble_release")
    plan = night.open(receipts["plan_training"].ref, TrainingPlan).artifact
    assert plan.mode == "fine_tune"
    model = night.open(receipts["train_model"].ref, TrainedModel).artifact
    parent = night.open(plan.champion, TrainedModel).artifact
    assert model.model_digest != parent.model_digest
    run = night.registry.read_run(model.run_id)
    assert run.parameters["epochs"] == "1"
    assert run.tags["mode"] == "fine_tune"
    assert run.tags["parent_model"] == plan.champion
    assert run.tags["plan_reasons"] == "the setting retrain says fine_tune"
    (made,) = [
        read_manifest(path).id
        for path in settings.releases_dir.glob("r-*")
        if read_manifest(path).model_digest == model.model_digest
    ]
    again = reproduce_release(night, made)
    assert [row.artefact for row in again.rows if not row.identical] == []
    assert again.identical
