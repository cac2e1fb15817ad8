"""A training is seen in MLflow while it runs, and when it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys import names
from recsys.artifacts.model import TrainedModel
from recsys.errors import BadInput
from recsys.stages import run_stage
from stages.test_tune_training import shop


def test_the_run_has_the_curves_and_what_the_model_was_made_with(tmp_path: Path) -> None:
    night = shop(tmp_path)
    receipt = run_stage("train_model", night.settings, night=night.date)
    model = night.open(receipt.ref, TrainedModel).artifact
    run = night.registry.read_run(model.run_id)
    assert (run.name, run.status) == ("night-2026-01-01", "FINISHED")
    assert {"loss", "validation_accuracy"} <= set(run.figures)
    assert run.parameters["epochs"] == "2"
    assert run.tags["validated"] == model.validated
    assert len(run.tags["lock_digest"]) == 64
    assert run.tags["library.tensorflow"].startswith("2.")


def test_a_training_that_fails_is_a_failed_run(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    night = shop(tmp_path, labels=["alike"])
    with pytest.raises(BadInput, match="a classifier needs two"):
        run_stage("train_model", night.settings, night=night.date)
    assert night.newest("train_model", TrainedModel) is None
    client = MlflowClient(night.settings.mlflow_uri)
    experiment = client.get_experiment_by_name(names.EXPERIMENT)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    assert "a classifier needs two" in run.data.tags["failure"]
