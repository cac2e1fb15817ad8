"""What explains a model is drawn from its commits and stands in MLflow with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from images.pictures import encoded, quarters
from recsys import names
from recsys.artifacts.base import ARTIFACT_FILE
from recsys.artifacts.catalog import ATTRIBUTES, CatalogSnapshot, CatalogSplit, ValidatedCatalog
from recsys.artifacts.digests import canonical_json, sha256_bytes
from recsys.artifacts.model import ModelReport, TrainedModel
from recsys.artifacts.verdict import Failure
from recsys.settings import load_settings
from recsys.stages import frames
from recsys.stages.model_pictures import draw_model_pictures
from recsys.stages.night import Night, Opened
from recsys.stages.register_model import reasons_to_promote, register_model
from recsys.stages.task import Task
from serving_release import ref, verdict

IDS = [str(number) for number in range(12)]
EPOCHS = [{"loss": 1.0, "validation_accuracy": 0.5}, {"loss": 0.5, "validation_accuracy": 0.75}]
FIGURES = {"precision_at_10": 0.75, "ndcg_at_10": 0.8, "accuracy": 0.9}
TABLES = {
    frames.CONFUSION: pd.DataFrame(
        [("Shirts", "Shirts", 5), ("Shirts", "Shoes", 1)], columns=["label", "predicted", "count"]
    ),
    frames.SLICES: pd.DataFrame(
        {
            "slice": ["gender=Women", "gender=Men"],
            "attribute": "gender",
            "value": ["Women", "Men"],
            "queries": [3, 4],
            "ndcg_at_10": [0.5, 0.7],
            "champion_ndcg_at_10": np.nan,
            "change": 0.0,
            "change_low": 0.0,
            "change_high": 0.0,
            "ndcg_low": [0.3, 0.5],
            "ndcg_high": [0.7, 0.9],
        }
    ),
    frames.NEIGHBOURS: pd.DataFrame(
        [(query, rank, IDS[-rank], 1 - rank / 20) for query in IDS[:9] for rank in range(1, 4)],
        columns=["query", "rank", "id", "score"],
    ),
}


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(load_settings(state_dir=tmp_path / "state"), "2026-01-01")


def commit(night: Night, repo: str, *inputs: str, **files: bytes) -> str:
    night.store.ensure_repo(repo)
    with night.store.commit(repo, inputs=inputs) as writer:
        for path, content in files.items():
            writer.put(path, content)
    return str(writer.ref)


def trained(night: Night, embedder: bytes, run_id: str) -> Opened[TrainedModel]:
    """A model of twelve products whose pictures are in the store."""
    pictures = {f"/images/{name}.png": encoded(quarters()) for name in IDS[:-1]}
    snapshot = CatalogSnapshot("drawn", "b" * 64).to_json()
    catalog = commit(night, names.CATALOG, **{ARTIFACT_FILE: snapshot}, **pictures)
    products = pd.DataFrame(
        {"id": IDS, **dict.fromkeys(ATTRIBUTES, "a"), "image": [f"{x}.png" for x in IDS]}
    ).assign(kept=False)
    validated = ValidatedCatalog(catalog, ref("measured"), 12, 0, 0, {}, (verdict(),))
    validated_ref = commit(
        night,
        names.VALIDATED,
        catalog,
        **{ARTIFACT_FILE: validated.to_json(), frames.PRODUCTS: frames.to_parquet(products)},
    )
    split = CatalogSplit(validated_ref, 9, 1, 2, 0, 0, 0)
    split_ref = commit(night, names.SPLITS, validated_ref, **{ARTIFACT_FILE: split.to_json()})
    model = TrainedModel(
        validated_ref,
        split_ref,
        sha256_bytes(embedder),
        *(8, 18, 20, run_id),
        {"training_cpu_seconds": 3.0},
    )
    history = canonical_json({"epochs": EPOCHS, "best_epoch": 2})
    task = Task(
        night, "train_model", [validated_ref, split_ref], {"epochs": 2}, rooms=("training",)
    )
    files = [("/embedder.tflite", embedder), ("/history.json", history)]
    return Opened(model, task.publish(model, files).ref)


def reported(
    night: Night, model: Opened[TrainedModel], tables: dict[str, pd.DataFrame]
) -> Opened[ModelReport]:
    report = ModelReport(model.ref, 7, FIGURES, "", {})
    files = {path: frames.to_parquet(table) for path, table in tables.items()}
    made = commit(night, names.EVALUATIONS, model.ref, **{ARTIFACT_FILE: report.to_json()}, **files)
    return Opened(report, made)


def drawn(folder: Path) -> list[str]:
    pictures = [path for path in folder.rglob("*.png") if Image.open(path).verify() is None]
    return sorted(str(path.relative_to(folder)) for path in pictures)


def test_every_table_of_an_evaluation_becomes_a_picture(night: Night, tmp_path: Path) -> None:
    model = trained(night, b"model", "run")
    draw_model_pictures(night, model, reported(night, model, TABLES), tmp_path / "out")
    assert drawn(tmp_path / "out") == [
        "neighbours/queries_01_to_08.png",
        "neighbours/queries_09_to_09.png",  # eight queries a sheet; a lost picture is crossed out
        "plots/confused_pairs.png",
        "plots/confusion.png",
        "plots/slices.png",
        "plots/training.png",
    ]


def test_an_evaluation_without_tables_or_rows_leaves_the_training_curves(
    night: Night, tmp_path: Path
) -> None:
    model = trained(night, b"model", "run")
    empty = {path: table.head(0) for path, table in TABLES.items()}
    for number, tables in enumerate(({}, empty)):
        out = tmp_path / str(number)
        draw_model_pictures(night, model, reported(night, model, tables), out)
        assert drawn(out) == ["plots/training.png"]


def test_a_registered_model_tells_its_story_lineage_and_pictures(
    night: Night, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    with night.registry.run(
        name="night", parameters={}, tags={}, dataset=("c", ref("validated"))
    ) as run:
        pass
    model = trained(night, exported(tmp_path), run.id)
    report = reported(night, model, TABLES)
    version = register_model(night, model, report)
    assert register_model(night, model, report) == version
    night.registry.promote(version, reasons_to_promote(report.artifact, [verdict()]))

    (registered,) = night.registry.versions()
    for said in (
        f"Model {model.artifact.version} of the night 2026-01-01",
        "12 products of 1 types",
        "Parameters: epochs 2.",
        "| ndcg_at_10 | 0.8000 | – |",
        "there was no champion to compare with",
        "expectations of the suite model",
    ):
        assert said in registered.description
    tags = registered.tags
    assert (tags["model_commit"], tags["evaluation"]) == (model.ref, report.ref)
    assert set(tags) >= {"catalog", "validated", "split", "git_commit", "library.tensorflow"}
    assert len(tags["lock_digest"]) == 64
    ended = night.registry.read_run(run.id)
    assert ended.figures == FIGURES
    assert (ended.tags["decision"], ended.tags["night"]) == ("promoted", "2026-01-01")
    client = MlflowClient(night.settings.mlflow_uri)
    assert len(client.list_artifacts(run.id, "plots")) == 4
    assert len(client.list_artifacts(run.id, "neighbours")) == 2


def exported(folder: Path) -> bytes:
    """An untrained embedder of 18×20 pictures and 8 dimensions."""
    from recsys.training.export import export_embedder
    from training.untrained import untrained_network

    network = untrained_network(18, 20, 8, 2)
    export_embedder(network.embedder, folder / "embedder.tflite")
    return (folder / "embedder.tflite").read_bytes()


def test_a_champion_that_was_beaten_and_warnings_are_among_the_reasons() -> None:
    report = ModelReport(ref("models"), 7, FIGURES, ref("models"), {"ndcg_at_10": 0.75})
    warning = Failure("expect_x", "accuracy", "warning", "0.5", "It was better.")

    said = reasons_to_promote(report, [replace(verdict(), failures=(warning,))])
    assert said[0] == "ndcg_at_10 0.8000, the champion's 0.7500 (+0.0500)"
    assert said[-1] == "warning of model: accuracy 0.5 (It was better.)"
