"""Train tonight's model, or keep the champion, as the plan says."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd

from recsys import training
from recsys.artifacts.catalog import CatalogSplit, ValidatedCatalog
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.model import TrainedModel, TrainingPlan
from recsys.artifacts.receipt import Receipt
from recsys.errors import BadInput, ContentRemoved
from recsys.registry import OpenRun
from recsys.settings import Settings
from recsys.stages import frames
from recsys.stages.model_files import MODEL_FILES, model_folder
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import pixels_of, products_of
from recsys.stages.record import made_with
from recsys.stages.task import Task, scratch_folder


def run(night: Night) -> Receipt:
    """Commit the model; MLflow has its run from the beginning, whatever becomes of it.

    A plan to skip commits the champion once more, now with tonight's catalog and split: what
    follows judges and embeds tonight's products by it.
    """
    plan = night.result_of("plan_training", TrainingPlan)
    split = night.open(plan.artifact.split, CatalogSplit)
    validated = night.open(plan.artifact.validated, ValidatedCatalog)
    parameters = _as_planned(night, plan.artifact)
    task = Task(
        night,
        "train_model",
        [validated.ref, split.ref],
        {**vars(parameters), **_start(plan.artifact)},
        rooms=("training", "images"),
        witnesses=[plan.ref],
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    if plan.artifact.mode == "skip":
        return _keep(night, plan.artifact, task)
    products = products_of(night, validated)
    run = night.registry.run(
        name=f"night-{night.date}",
        parameters=vars(parameters),
        tags={
            "validated": validated.ref,
            "split": split.ref,
            **_plan_tags(plan),
            **made_with(),
        },
        dataset=("validated_catalog", validated.ref),
    )
    with scratch_folder(night) as out, run as opened, _weights(night, plan.artifact) as start:
        trained = _train(night, validated, split, products, parameters, out, opened, start)
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


def _start(plan: TrainingPlan) -> dict[str, str]:
    """What the plan adds to the parameters: equal plans make equal models on any night."""
    return (
        {"mode": plan.mode} if plan.mode == "full" else {"mode": plan.mode, "start": plan.champion}
    )


def _keep(night: Night, plan: TrainingPlan, task: Task) -> Receipt:
    """The champion as it is; of a catalog that it stood for already, its commit of then."""
    for ref in (plan.champion, plan.learned):
        with suppress(ContentRemoved):
            known = night.open(ref, TrainedModel).artifact
            if (known.validated, known.split) == (plan.validated, plan.split):
                return Receipt(known.kind, ref, known.digest, fresh=False)
    champion = night.open(plan.champion, TrainedModel).artifact
    kept = replace(champion, validated=plan.validated, split=plan.split)
    files = [(f"/{name}", night.read(plan.champion, f"/{name}")) for name in MODEL_FILES]
    return task.publish(kept, files)


def _as_planned(night: Night, plan: TrainingPlan) -> training.TrainingParameters:
    parameters, settings = parameters_of(night.settings), night.settings
    if plan.mode != "fine_tune":
        return parameters
    return replace(
        parameters,
        epochs=settings.fine_tune_epochs,
        learning_rate=parameters.learning_rate * settings.fine_tune_learning_rate,
    )


def parameters_of(settings: Settings) -> training.TrainingParameters:
    """What the settings say of training in full.

    Raises
    ------
    BadInput
        There is no file of weights where they say.
    """
    weights = settings.backbone_weights
    if weights is not None and not weights.is_file():
        raise BadInput(f"backbone_weights: {weights} is not a file; name one, or leave it empty")
    return training.TrainingParameters(
        embedding_dim=settings.embedding_dim,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
        image_width=settings.image_width,
        image_height=settings.image_height,
        likeness=settings.likeness_shares,
        backbone=settings.backbone,
        backbone_weights="" if weights is None else str(weights),
        backbone_digest="" if weights is None else sha256_file(weights),
        patch=settings.patch,
        warmup=settings.warmup,
        weight_decay=settings.weight_decay,
        dropout=settings.dropout,
        shift=settings.shift,
        class_balance=settings.class_balance,
        patience=settings.patience,
        mixed_precision=settings.mixed_precision,
    )


def _train(
    night: Night,
    validated: Opened[ValidatedCatalog],
    split: Opened[CatalogSplit],
    products: pd.DataFrame,
    parameters: training.TrainingParameters,
    out: Path,
    run: OpenRun,
    start: Path | None,
) -> training.TrainedNetwork:
    pixels = pixels_of(night, validated, products)
    with night.progress("training", parameters.epochs) as advance:

        def on_epoch(epoch: int, figures: dict[str, float]) -> None:
            advance(1)
            run.log_epoch(epoch, figures)

        return training.train(
            pixels,
            {name: products[name].tolist() for name in parameters.likeness},
            sides_of(night, split, products),
            parameters,
            out,
            on_epoch=on_epoch,
            start=start,
        )


def _weights(night: Night, plan: TrainingPlan) -> AbstractContextManager[Path | None]:
    """A folder with the model to go on from; None for a training in full."""
    return nullcontext() if plan.mode == "full" else model_folder(night, plan.champion)


def sides_of(night: Night, split: Opened[CatalogSplit], products: pd.DataFrame) -> list[str]:
    """The side of every product, in product order."""
    ledger = frames.read_frame(night, split.ref, frames.SPLIT)
    side_of = dict(zip(ledger["pixels_sha256"], ledger["side"], strict=True))
    return [side_of[digest] for digest in products["sha256_pixels"]]


def _plan_tags(plan: Opened[TrainingPlan]) -> dict[str, str]:
    made = plan.artifact
    tags = {"plan": plan.ref, "mode": made.mode, "plan_reasons": "; ".join(made.reasons)}
    return tags if made.mode == "full" else {**tags, "parent_model": made.champion}
