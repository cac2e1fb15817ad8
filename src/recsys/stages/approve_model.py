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
from recsys.stages.register_model import reasons_to_promote, register_model
from recsys.stages.task import Task, suite_digest


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
    version = register_model(night, model, report)
    verdict = _judge(night, model, report.artifact, version)
    night.registry.promote(version, reasons_to_promote(report.artifact, [verdict]))
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


def _judge(night: Night, model: Opened[TrainedModel], report: ModelReport, version: str) -> Verdict:
    table = evaluation.figures_table(report.figures, report.champion_figures)
    try:
        return judge(night, names.SUITE_MODEL, table, subject=model.ref)
    except GateRefused as refusal:
        night.registry.refuse(version, [str(refusal)])
        raise
