"""Train tonight's model."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from recsys import training
from recsys.artifacts.catalog import LABEL_COLUMN, CatalogSplit, ValidatedCatalog
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.model import TrainedModel
from recsys.artifacts.receipt import Receipt
from recsys.registry import OpenRun
from recsys.stages import frames
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import pixels_of, products_of
from recsys.stages.record import made_with
from recsys.stages.task import Task, scratch_folder

MODEL_FILES = ("embedder.tflite", "classifier.keras", "labels.json", "history.json")


def run(night: Night) -> Receipt:
    """Commit the model; MLflow has its run from the beginning, whatever becomes of it."""
    split = night.result_of("split_catalog", CatalogSplit)
    validated = night.open(split.artifact.validated, ValidatedCatalog)
    parameters = parameters_of(night)
    task = Task(
        night,
        "train_model",
        [validated.ref, split.ref],
        vars(parameters),
        rooms=("training", "images"),
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    products = products_of(night, validated)
    run = night.registry.run(
        name=f"night-{night.date}",
        parameters=vars(parameters),
        tags={"validated": validated.ref, "split": split.ref, **made_with()},
        dataset=("validated_catalog", validated.ref),
    )
    with scratch_folder(night) as out, run as opened:
        trained = _train(night, validated, split, products, parameters, out, opened)
        artifact = TrainedModel(
            validated=validated.ref,
            split=split.ref,
            model_digest=sha256_file(out / "embedder.tflite"),
            dimension=parameters.embedding_dim,
            image_width=parameters.image_width,
            image_height=parameters.image_height,
            run_id=opened.id,
            figures={
                "validation_accuracy": trained.validation_accuracy,
                "parity_max_difference": trained.parity_max_difference,
                "parameters_count": float(trained.parameters_count),
                "training_cpu_seconds": round(trained.cpu_seconds, 3),
            },
        )
        return task.publish(artifact, [(f"/{name}", out / name) for name in MODEL_FILES])


def parameters_of(night: Night) -> training.TrainingParameters:
    """What the settings say of training."""
    settings = night.settings
    return training.TrainingParameters(
        embedding_dim=settings.embedding_dim,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
        image_width=settings.image_width,
        image_height=settings.image_height,
    )


def _train(
    night: Night,
    validated: Opened[ValidatedCatalog],
    split: Opened[CatalogSplit],
    products: pd.DataFrame,
    parameters: training.TrainingParameters,
    out: Path,
    run: OpenRun,
) -> training.TrainedNetwork:
    pixels = pixels_of(night, validated, products)
    with night.progress("training", parameters.epochs) as advance:

        def on_epoch(epoch: int, figures: dict[str, float]) -> None:
            advance(1)
            run.log_epoch(epoch, figures)

        return training.train(
            pixels,
            products[LABEL_COLUMN].tolist(),
            sides_of(night, split, products),
            parameters,
            out,
            on_epoch=on_epoch,
        )


def sides_of(night: Night, split: Opened[CatalogSplit], products: pd.DataFrame) -> list[str]:
    """The side of every product, in product order."""
    ledger = frames.read_frame(night, split.ref, frames.SPLIT)
    side_of = dict(zip(ledger["pixels_sha256"], ledger["side"], strict=True))
    return [side_of[digest] for digest in products["sha256_pixels"]]
