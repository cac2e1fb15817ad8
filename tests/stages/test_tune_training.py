"""A search for training parameters: on real training, in MLflow, without the test side."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from images.pictures import encoded
from recsys import names, training
from recsys.artifacts.base import ARTIFACT_FILE
from recsys.artifacts.catalog import ATTRIBUTES, CatalogSnapshot, CatalogSplit, ValidatedCatalog
from recsys.cli.main import command_line
from recsys.errors import BadInput
from recsys.settings import load_settings
from recsys.stages import frames
from recsys.stages.night import Night
from recsys.stages.tune_training import OBJECTIVE, SPACE, Found, tune_training
from serving_release import ref, verdict
from stages.test_model_pictures import commit

COLOURS = {"blue": (40, 60, 220), "green": (30, 190, 60), "red": (210, 40, 40)}
SIDES = ["train"] * 36 + ["validation"] * 12 + ["test"] * 12


def shop(state: Path, labels: Sequence[str] = tuple(COLOURS)) -> Night:
    """Sixty noisy pictures of three colours; the colour is the article type, or ``labels``."""
    settings = load_settings(
        state_dir=state, image_width=16, image_height=16, embedding_dim=64, epochs=2, batch_size=32
    )
    night = Night(settings, "2026-01-01")
    noise = np.random.default_rng(5)
    pictures = [
        Image.fromarray(np.clip(noise.normal(colour, 25, (16, 16, 3)), 0, 255).astype("u1"))
        for colour in islice(cycle(COLOURS.values()), len(SIDES))
    ]
    files = {f"/images/{row}.png": encoded(picture) for row, picture in enumerate(pictures)}
    snapshot = CatalogSnapshot("drawn", "b" * 64).to_json()
    catalog = commit(night, names.CATALOG, **{ARTIFACT_FILE: snapshot}, **files)
    digests = [hashlib.sha256(bytes([row])).hexdigest() for row in range(len(SIDES))]
    products = pd.DataFrame(
        {
            "id": [str(row) for row in range(len(SIDES))],
            **dict.fromkeys(ATTRIBUTES, "a"),
            "articleType": list(islice(cycle(labels), len(SIDES))),
            "image": [f"{row}.png" for row in range(len(SIDES))],
            "sha256_pixels": digests,
            "kept": False,
        }
    )
    validated = commit(
        night,
        names.VALIDATED,
        catalog,
        **{
            ARTIFACT_FILE: ValidatedCatalog(
                catalog, ref("measured"), len(SIDES), 0, 0, {}, (verdict(),)
            ).to_json(),
            frames.PRODUCTS: frames.to_parquet(products),
        },
    )
    ledger = pd.DataFrame({"pixels_sha256": digests, "side": SIDES})
    commit(
        night,
        names.SPLITS,
        validated,
        **{
            ARTIFACT_FILE: CatalogSplit(validated, 36, 12, 12, 0, 0, 0).to_json(),
            frames.SPLIT: frames.to_parquet(ledger),
        },
    )
    return night


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return shop(tmp_path_factory.mktemp("tune"))


@pytest.fixture(scope="module")
def found(night: Night) -> Found:
    """Two trials."""
    return tune_training(night, seconds=600, most=2)


def test_the_settings_in_force_are_tried_first(night: Night, found: Found) -> None:
    first = found.trials[0]
    assert first.values == {name: getattr(night.settings, name) for name in SPACE}
    assert found.in_force == first
    assert found.best is not None
    assert found.best.value == max(trial.value for trial in found.trials if trial.finished)
    assert not found.interrupted


def test_mlflow_shows_the_trials_below_the_study(night: Night, found: Found) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(night.settings.mlflow_uri)
    experiment = client.get_experiment_by_name(names.EXPERIMENT)
    assert experiment is not None
    below = client.search_runs(
        [experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{found.run_id}'"
    )
    assert len(below) == 2
    for run in below:
        assert run.info.status == "FINISHED"
        assert set(SPACE) <= set(run.data.params)
        assert len(client.get_metric_history(run.info.run_id, OBJECTIVE)) >= 1
    study = night.registry.read_run(found.run_id)
    assert study.status == "FINISHED"
    assert found.best is not None
    assert study.figures[f"best_{OBJECTIVE}"] == pytest.approx(found.best.value)
    assert [item.path for item in client.list_artifacts(found.run_id)] == [f"{found.study}.png"]


def test_the_test_side_is_hidden_and_an_interruption_keeps_what_was_tried(
    night: Night, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    train = training.train

    def watched(pixels: Any, labels: Any, *rest: Any) -> Any:
        given.append(labels)
        return train(pixels, labels, *rest)

    def interrupt(tried: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", watched)
    again = tune_training(night, seconds=600, on_trial=interrupt)
    assert given[0]["articleType"][48:] == [""] * 12
    assert set(given[0]["articleType"][:48]) == set(COLOURS)
    assert again.interrupted
    assert (again.study, again.run_id) == (found.study, found.run_id)
    assert [trial.number for trial in again.trials] == [0, 1, 2]


@pytest.fixture
def said(night: Night, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        for name in ("state_dir", "image_width", "image_height", "embedding_dim", "epochs"):
            monkeypatch.setenv(f"RECSYS_{name.upper()}", str(getattr(night.settings, name)))
        monkeypatch.setenv("RECSYS_BATCH_SIZE", "32")
        done = CliRunner().invoke(command_line(["tune"]), ["tune", *arguments])
        assert done.exception is None, done.exception
        return done.stdout

    return run


def test_the_command_goes_on_and_prints_what_to_paste(
    said: Callable[..., str], found: Found
) -> None:
    text = said("--trials", "1")
    assert "trial   3" in text
    assert f"{found.study}: " in text
    assert f"best {OBJECTIVE}: " in text
    assert "the settings in force" in text
    assert found.run_id in text


def test_without_a_catalog_a_night_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="run a night first"):
        tune_training(Night(load_settings(state_dir=tmp_path), "2026-01-01"), seconds=1)
