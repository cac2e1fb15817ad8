"""Measure tonight's model, and the champion's on the same frozen queries."""

from __future__ import annotations

from recsys import names, training
from recsys.artifacts.catalog import LABEL_COLUMN
from recsys.artifacts.model import ApprovedModel, ModelReport, TrainedModel
from recsys.artifacts.receipt import Receipt
from recsys.stages import frames
from recsys.stages.frozen_queries import FrozenQueries
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import pixels_of
from recsys.stages.task import Task, scratch_folder
from recsys.stages.train_model import MODEL_FILES


def run(night: Night) -> Receipt:
    """Commit the model's figures beside the champion's."""
    model = night.result_of("train_model", TrainedModel)
    champion = night.newest("approve_model", ApprovedModel)
    if champion is not None and champion.artifact.model == model.ref:
        return _report_of_champion(night, model)
    rival = "" if champion is None else champion.artifact.model
    task = Task(
        night,
        "evaluate_model",
        [model.ref, model.artifact.validated, model.artifact.split],
        {"champion": rival},
        rooms=(
            "evaluation",
            "embedding",
            "images",
            "training/classify.py",
            "stages/frozen_queries.py",
        ),
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    questions = FrozenQueries.of(night, model)
    retrieval = questions.put_to(night, model.ref, model.artifact.model_digest)
    figures = {
        **model.artifact.figures,
        **retrieval.figures,
        "accuracy": _accuracy(night, model, questions),
    }
    rival_figures: dict[str, float] = {}
    if champion is not None:
        rival_figures = questions.put_to(night, rival, champion.artifact.model_digest).figures
    report = ModelReport(model.ref, len(questions.rows), figures, rival, rival_figures)
    return task.publish(report, [(frames.PER_CLASS, frames.to_parquet(retrieval.per_class))])


def _report_of_champion(night: Night, model: Opened[TrainedModel]) -> Receipt:
    """The report that let the reigning champion pass; it needs no second one."""
    for commit in night.store.downstream(model.ref):
        if names.parse_ref(commit.ref)[0] == names.EVALUATIONS:
            report = night.open(commit.ref, ModelReport).artifact
            return Receipt(report.kind, commit.ref, report.digest, fresh=False)
    raise AssertionError(f"champion {model.ref} has no evaluation")  # approve_model needs one


def _accuracy(night: Night, model: Opened[TrainedModel], questions: FrozenQueries) -> float:
    pixels = pixels_of(night, questions.validated, questions.products)
    with scratch_folder(night) as folder:
        for name in MODEL_FILES:
            (folder / name).write_bytes(night.read(model.ref, f"/{name}"))
        labels = questions.products[LABEL_COLUMN].tolist()
        return training.classify(folder, pixels, labels, questions.rows).accuracy
