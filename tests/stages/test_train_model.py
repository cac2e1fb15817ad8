"""A training is seen in MLflow while it runs, and when it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys import names
from recsys.artifacts.model import TrainedModel, TrainingPlan
from recsys.artifacts.receipt import Receipt
from recsys.errors import BadInput
from recsys.settings import load_settings
from recsys.stages import run_stage
from recsys.stages.night import Night, Opened
from recsys.stages.record import commit_record
from recsys.stages.task import Task
from recsys.stages.train_model import parameters_of
from stages.test_tune_training import shop


def test_the_run_has_the_curves_and_what_the_model_was_made_with(tmp_path: Path) -> None:
    night = shop(tmp_path)
    plan = run_stage("plan_training", night.settings, night=night.date)
    receipt = run_stage("train_model", night.settings, night=night.date)
    model = night.open(receipt.ref, TrainedModel).artifact
    run = night.registry.read_run(model.run_id)
    assert (run.name, run.status) == ("night-2026-01-01", "FINISHED")
    assert {"loss", "validation_accuracy"} <= set(run.figures)
    assert run.parameters["epochs"] == "2"
    assert (run.tags["plan"], run.tags["mode"]) == (plan.ref, "full")
    assert run.tags["plan_reasons"] == "there is no champion to go on from"
    assert run.tags["validated"] == model.validated
    assert len(run.tags["lock_digest"]) == 64
    assert run.tags["library.tensorflow"].startswith("2.")


def fine_tuned(night: Night, parent: Opened[TrainedModel], reason: str) -> Receipt:
    """Train by a plan to go on from a model."""
    made = parent.artifact
    plan = TrainingPlan(
        made.validated, made.split, "fine_tune", (reason,), *[parent.ref] * 3, 0, {}
    )
    told = Task(night, "plan_training", [made.validated, made.split], {"why": reason}, rooms=())
    receipts = {"plan_training": told.publish(plan)}
    return run_stage("train_model", night.settings, night=night.date, receipts=receipts)


def test_a_fine_tuning_goes_on_from_its_parent_and_names_it(tmp_path: Path) -> None:
    night = shop(tmp_path)
    run_stage("plan_training", night.settings, night=night.date)
    first = run_stage("train_model", night.settings, night=night.date)
    parent = night.open(first.ref, TrainedModel)
    receipt = fine_tuned(night, parent, "two products are new")
    model = night.open(receipt.ref, TrainedModel).artifact
    assert model.model_digest != parent.artifact.model_digest
    run = night.registry.read_run(model.run_id)
    assert run.parameters["epochs"] == str(night.settings.fine_tune_epochs)
    assert run.tags["mode"] == "fine_tune"
    assert run.tags["parent_model"] == parent.ref
    assert run.tags["plan_reasons"] == "two products are new"
    record = commit_record(night.store.inspect(receipt.ref).message)
    assert record["parameters"]["start"] == parent.ref
    # Another plan that comes to the same is the same work.
    again = fine_tuned(night, parent, "another reason")
    assert (again.ref, again.fresh) == (receipt.ref, False)


def test_a_training_that_fails_is_a_failed_run(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    night = shop(tmp_path, labels=["alike"])
    run_stage("plan_training", night.settings, night=night.date)
    with pytest.raises(BadInput, match="a classifier needs two"):
        run_stage("train_model", night.settings, night=night.date)
    assert night.newest("train_model", TrainedModel) is None
    client = MlflowClient(night.settings.mlflow_uri)
    experiment = client.get_experiment_by_name(names.EXPERIMENT)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    assert "a classifier needs two" in run.data.tags["failure"]


def test_weights_that_are_not_there_are_said_before_anything_is_trained(tmp_path: Path) -> None:
    settings = load_settings(backbone="file", backbone_weights=tmp_path / "nowhere.keras")
    with pytest.raises(BadInput, match="is not a file; name one, or leave it empty"):
        parameters_of(settings)


def test_other_weights_under_the_same_name_are_another_training(tmp_path: Path) -> None:
    weights = tmp_path / "own.keras"
    settings = load_settings(backbone="file", backbone_weights=weights)
    weights.write_bytes(b"one")
    before = parameters_of(settings)
    weights.write_bytes(b"other")
    assert parameters_of(settings) != before
