"""The plan of tonight's training: what it decides, and what the training stage makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

from recsys import names, release
from recsys.artifacts.catalog import (
    DELIVERY_COLUMNS,
    CatalogSnapshot,
    CatalogSplit,
    MeasuredCatalog,
    ValidatedCatalog,
)
from recsys.artifacts.digests import sha256_bytes
from recsys.artifacts.model import ApprovedModel, TrainedModel, TrainingPlan
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.verdict import Failure, Verdict
from recsys.settings import Settings, load_settings
from recsys.stages import frames, run_stage
from recsys.stages.night import Night, Opened
from recsys.stages.plan_training import plan_of
from recsys.stages.task import Task
from recsys.stages.train_model import MODEL_FILES, parameters_of
from serving_release import verdict

PRODUCTS = 100


def products(count: int = PRODUCTS) -> pd.DataFrame:
    """Two article types, pictures of their own."""
    table = pd.DataFrame({name: ["x"] * count for name in DELIVERY_COLUMNS})
    numbers = [str(number) for number in range(count)]
    return table.assign(
        id=numbers,
        articleType=["Shirts" if number % 2 else "Shoes" for number in range(count)],
        image=[f"{number}.jpg" for number in numbers],
        sha256_bytes=numbers,
        sha256_pixels=numbers,
    )


def with_new(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """So many products more, both types equally often."""
    return products(len(table) + count)


def measures(table: pd.DataFrame, brightness: float = 0.0) -> pd.DataFrame:
    spread = np.arange(len(table)) % 10
    return pd.DataFrame(
        {
            "path": table["image"],
            "id": table["id"],
            "sha256_bytes": table["sha256_bytes"],
            "brightness": spread + brightness,
            "contrast": spread,
            "sharpness": spread,
        }
    )


@dataclass
class Shop:
    """A store that is filled by hand up to the split, and champions without a training."""

    settings: Settings
    receipts: dict[str, Receipt] = field(default_factory=dict)

    def night(self, date: str = "2026-01-01", **changes: object) -> Night:
        settings = load_settings(**{**self.settings.model_dump(), **changes})
        return Night(settings, date, dict(self.receipts))

    def deliver(
        self, table: pd.DataFrame, brightness: float = 0.0, warned: tuple[str, ...] = ()
    ) -> None:
        """Commit a catalog and its split, as the stages before the plan do."""
        night = self.night()
        key = {"catalog": sha256_bytes(frames.to_parquet(table)), "brightness": brightness}
        delivered = self._work(
            night, "snapshot_catalog", (), key, CatalogSnapshot("drawn", "a" * 64)
        )
        measured = self._work(
            night,
            "measure_catalog",
            (delivered,),
            key,
            MeasuredCatalog(delivered, len(table), 0, len(table), 0, ()),
            {frames.MEASURES: measures(table, brightness)},
        )
        failures = tuple(Failure("less", name, "warning", "1", "why") for name in warned)
        drift = Verdict(names.SUITE_DRIFT, "0" * 64, measured, 3, failures, "docs.html")
        validated = self._work(
            night,
            "validate_catalog",
            (measured,),
            key,
            ValidatedCatalog(delivered, measured, len(table), 0, 0, {}, (verdict(), drift)),
            {frames.PRODUCTS: table},
        )
        self._work(
            night,
            "split_catalog",
            (validated,),
            key,
            CatalogSplit(validated, len(table) - 2, 1, 1, 0, 0, 0),
        )

    def plan(self, date: str = "2026-01-01", **changes: object) -> TrainingPlan:
        night = self.night(date, **changes)
        self.receipts["plan_training"] = run_stage(
            "plan_training", night.settings, night=date, receipts=self.receipts
        )
        return night.open(self.receipts["plan_training"].ref, TrainingPlan).artifact

    def train(self, date: str = "2026-01-01", *, approve: bool = True) -> Opened[TrainedModel]:
        """What the plan asks for; a training is feigned, a skip is the stage's own work."""
        night = self.night(date)
        plan = night.open(self.receipts["plan_training"].ref, TrainingPlan)
        if plan.artifact.mode == "skip":
            receipt = run_stage("train_model", night.settings, night=date, receipts=self.receipts)
        else:
            receipt = feign(night, plan)
        model = night.open(receipt.ref, TrainedModel)
        if approve:
            self._work(night, "approve_model", (model.ref,), {}, approval(model))
        return model

    def _work(
        self,
        night: Night,
        stage: str,
        inputs: tuple[str, ...],
        key: Mapping[str, object],
        artifact: object,
        tables: Mapping[str, pd.DataFrame] = MappingProxyType({}),
    ) -> str:
        task = Task(night, stage, inputs, key, rooms=())
        files = [(path, frames.to_parquet(table)) for path, table in tables.items()]
        self.receipts[stage] = task.remembered() or task.publish(artifact, files)  # type: ignore[arg-type]
        return self.receipts[stage].ref


def feign(night: Night, plan: Opened[TrainingPlan]) -> Receipt:
    """A models commit as a training makes it, with bytes that are no model."""
    made = plan.artifact
    task = Task(
        night,
        "train_model",
        [made.validated, made.split],
        {**vars(parameters_of(night.settings)), "mode": made.mode, "start": made.champion},
        rooms=("training", "images"),
        witnesses=[plan.ref],
    )
    content = f"{made.mode} {plan.ref}".encode()
    model = TrainedModel(
        made.validated, made.split, sha256_bytes(content), 8, 60, 80, "run", {"accuracy": 0.5}
    )
    return task.publish(model, [(f"/{name}", content) for name in MODEL_FILES])


def approval(model: Opened[TrainedModel]) -> ApprovedModel:
    made = model.artifact
    return ApprovedModel(model.ref, made.model_digest, 8, 60, 80, "1", (verdict(),))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop in which nothing was ever trained."""
    shop = Shop(load_settings(state_dir=tmp_path / "state", skip_below_change=0.03))
    shop.deliver(products())
    return shop


@pytest.fixture
def trained(shop: Shop) -> Shop:
    """A shop with a champion that was trained in full on 1 January."""
    shop.plan()
    shop.train()
    return shop


def test_the_first_night_trains_in_full(shop: Shop) -> None:
    plan = shop.plan()
    assert (plan.mode, plan.reasons) == ("full", ("there is no champion to go on from",))
    assert plan.champion == plan.learned == plan.last_full == ""


def test_an_unchanged_night_finds_the_plan_and_the_model_it_had(trained: Shop) -> None:
    before = trained.receipts["plan_training"]
    trained.deliver(products())
    assert trained.plan("2026-01-02").mode == "full"
    assert trained.receipts["plan_training"] == replace(before, fresh=False)


def test_a_small_change_keeps_the_champion_for_tonights_catalog(trained: Shop) -> None:
    champion = trained.night().newest("approve_model", ApprovedModel)
    assert champion is not None
    trained.deliver(with_new(products(), 2))
    plan = trained.plan("2026-01-02")
    assert plan.mode == "skip"
    assert plan.reasons[0].startswith("2.00% of the products are others")
    kept = trained.train("2026-01-02")
    assert kept.ref != champion.artifact.model
    assert kept.artifact.model_digest == champion.artifact.model_digest
    assert (kept.artifact.validated, kept.artifact.split) == (plan.validated, plan.split)
    night = trained.night()
    for name in MODEL_FILES:
        assert night.read(kept.ref, f"/{name}") == night.read(champion.artifact.model, f"/{name}")


def test_small_changes_add_up_over_skipped_nights(trained: Shop) -> None:
    table = products()
    modes = []
    for number in range(2):
        table = with_new(table, 2)
        trained.deliver(table)
        modes.append(trained.plan(f"2026-01-0{number + 2}").mode)
        trained.train(f"2026-01-0{number + 2}")
    assert modes == ["skip", "fine_tune"]  # 2 % on each night, 4 % since it learned


def test_a_skipped_night_that_is_run_again_changes_nothing(trained: Shop) -> None:
    trained.deliver(with_new(products(), 2))
    trained.plan("2026-01-02")
    kept = trained.train("2026-01-02")
    before = trained.receipts["plan_training"]
    trained.plan("2026-01-02")
    assert trained.receipts["plan_training"] == replace(before, fresh=False)
    assert trained.train("2026-01-02").ref == kept.ref


def test_a_change_that_is_taken_back_finds_the_model_that_learned_from_it(trained: Shop) -> None:
    trained.deliver(with_new(products(), 2))
    trained.plan("2026-01-02")
    trained.train("2026-01-02")
    trained.deliver(products())
    plan = trained.plan("2026-01-03")
    assert plan.mode == "skip"
    assert trained.train("2026-01-03").ref == plan.learned


def test_a_larger_change_is_fine_tuned_from_the_champion(trained: Shop) -> None:
    trained.deliver(with_new(products(), 6))
    plan = trained.plan("2026-01-02")
    assert plan.mode == "fine_tune"
    assert "6.00% new" in plan.reasons[0]
    assert plan.champion == plan.learned == plan.last_full
    tuned = trained.train("2026-01-02")
    trained.deliver(with_new(products(), 12))
    after = trained.plan("2026-01-03")
    assert (after.champion, after.last_full) == (tuned.ref, plan.champion)
    assert after.fine_tunings == 1


def test_a_large_change_trains_in_full(trained: Shop) -> None:
    trained.deliver(with_new(products(), 12))
    plan = trained.plan("2026-01-02")
    assert plan.mode == "full"
    assert "fine-tuning is for less than 10.00%" in plan.reasons[0]
    assert plan.figures["added_share"] == 0.12


def test_a_new_label_is_not_skipped(trained: Shop) -> None:
    table = products()
    table.loc[0, "baseColour"] = "Teal"
    trained.deliver(table)
    assert trained.plan("2026-01-02").reasons == ("1 labels are new to the champion",)


def test_drift_of_the_pictures_trains_in_full(trained: Shop) -> None:
    trained.deliver(with_new(products(), 2), brightness=2.0)
    plan = trained.plan("2026-01-02")
    assert plan.mode == "full"
    # The mean goes from 4.5 to 2 + 451 / 102, the standard deviation was 2.87.
    assert "brightness of the pictures has shifted by 0.67" in plan.reasons[0]


def test_a_warning_of_the_drift_gate_trains_in_full(trained: Shop) -> None:
    trained.deliver(with_new(products(), 2), warned=("sharpness_shift",))
    assert trained.plan("2026-01-02").reasons == ("the drift gate warns of sharpness_shift",)


def test_an_old_champion_is_trained_anew_once_the_catalog_changed(trained: Shop) -> None:
    trained.deliver(with_new(products(), 2))
    plan = trained.plan("2026-01-31")
    assert plan.mode == "full"
    assert "the last training in full was on 2026-01-01" in plan.reasons[0]


def test_training_the_same_again_is_never_due(trained: Shop) -> None:
    trained.deliver(products())
    trained.plan("2026-03-01")
    assert not trained.receipts["plan_training"].fresh


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 7}, "epochs is 7, the champion's 12"),
        ({"image_width": 72}, "image_width is 72, the champion's 60"),
        ({"embedding_dim": 64}, "embedding_dim is 64, the champion's 192"),
    ],
)
def test_another_recipe_trains_in_full(
    trained: Shop, changes: dict[str, object], said: str
) -> None:
    plan = trained.plan("2026-01-02", **changes)
    assert (plan.mode, plan.reasons) == ("full", (said,))


def test_other_training_code_trains_in_full(trained: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.stages.recorded_code.code_digest", lambda places: "other")
    plan = trained.plan("2026-01-02")
    assert plan.reasons == ("the training's code is another than the champion's",)


def roll_back(shop: Shop) -> None:
    release.record_event(
        shop.settings.releases_dir,
        event="rolled_back",
        release="r-0123456789abcdef",
        previous=None,
        why="odd answers",
    )


def test_a_standing_rollback_is_not_gone_on_from(trained: Shop) -> None:
    roll_back(trained)
    trained.deliver(with_new(products(), 2))
    plan = trained.plan("2026-01-02")
    assert plan.mode == "full"
    assert plan.reasons[0].startswith("the rollback to r-0123456789abcdef stands")


def test_a_refused_fine_tuning_is_followed_by_a_training_in_full(trained: Shop) -> None:
    trained.deliver(with_new(products(), 6))
    trained.plan("2026-01-02")
    refused = trained.train("2026-01-02", approve=False)
    # The same night again resumes; the next one has learned from it.
    assert trained.plan("2026-01-02").mode == "fine_tune"
    trained.deliver(with_new(products(), 8))
    plan = trained.plan("2026-01-03")
    assert plan.mode == "full"
    assert f"{refused.artifact.version} was not approved" in plan.reasons[0]


@pytest.mark.parametrize("mode", ["skip", "fine_tune", "full"])
def test_a_person_may_choose(trained: Shop, mode: str) -> None:
    trained.deliver(with_new(products(), 40))
    plan = trained.plan("2026-01-02", retrain=mode)
    assert (plan.mode, plan.reasons) == (mode, (f"the setting retrain says {mode}",))


def test_the_plan_of_a_model_is_found_from_the_model(trained: Shop) -> None:
    champion = trained.night().newest("approve_model", ApprovedModel)
    assert champion is not None
    plan = plan_of(trained.night(), champion.artifact.model)
    assert plan is not None
    assert plan.ref == trained.receipts["plan_training"].ref


def test_what_was_seen_is_kept_for_replays(
    trained: Shop, look: Callable[[str], Mapping[str, object]]
) -> None:
    roll_back(trained)
    trained.deliver(with_new(products(), 2))
    trained.plan("2026-01-02")
    seen = look(trained.receipts["plan_training"].ref)
    assert str(seen["rollback"]).startswith("the rollback to r-")
    assert seen["recipe"] == seen["refused"] == seen["alarm"] == ""


@pytest.fixture
def look(shop: Shop) -> Callable[[str], Mapping[str, object]]:
    from recsys.stages.record import commit_record

    return lambda ref: commit_record(shop.night().store.inspect(ref).message)["context"]
