"""Gate the model, register it, and make it the champion."""

from __future__ import annotations

from recsys import evaluation, names
from recsys.artifacts.catalog import LabelReport
from recsys.artifacts.model import ApprovedModel, ModelReport, TrainedModel
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.verdict import Verdict
from recsys.errors import GateRefused
from recsys.stages.judge import judge
from recsys.stages.night import Night, Opened
from recsys.stages.task import Task, scratch_folder, suite_digest
from recsys.stages.vectors import model_bytes


def run(night: Night) -> Receipt:
    """Commit the approval of tonight's model, or refuse it and keep the champion."""
    report = night.result_of("evaluate_model", ModelReport)
    labels = night.result_of("check_labels", LabelReport)
    model = night.open(report.artifact.model, TrainedModel)
    task = Task(
        night,
        "approve_model",
        [model.ref, report.ref, labels.ref],
        suite_digest(night, names.SUITE_MODEL),
        rooms=("gates", "evaluation"),
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    version = _register(night, model, report.artifact)
    verdict = _judge(night, model, report.artifact, version)
    night.registry.promote(version)
    approved = ApprovedModel(
        model=model.ref,
        model_digest=model.artifact.model_digest,
        dimension=model.artifact.dimension,
        image_width=model.artifact.image_width,
        image_height=model.artifact.image_height,
        registry_version=version,
        verdicts=(labels.artifact.verdict, verdict),
    )
    return task.publish(approved)


def _register(night: Night, model: Opened[TrainedModel], report: ModelReport) -> str:
    with scratch_folder(night) as folder:
        content = model_bytes(night, model.ref, model.artifact.model_digest)
        (folder / "embedder.tflite").write_bytes(content)
        return night.registry.register(
            model.artifact.run_id,
            folder,
            metrics=report.figures,
            tags={
                "model_digest": model.artifact.model_digest,
                "model_commit": model.ref,
                "validated": model.artifact.validated,
            },
        )


def _judge(night: Night, model: Opened[TrainedModel], report: ModelReport, version: str) -> Verdict:
    table = evaluation.figures_table(report.figures, report.champion_figures)
    try:
        return judge(night, names.SUITE_MODEL, table, subject=model.ref)
    except GateRefused as refusal:
        night.registry.refuse(version, [str(refusal)])
        raise
