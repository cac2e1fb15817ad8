"""Gate the model, register it, and make it the champion."""

from __future__ import annotations

import pandas as pd

from recsys import evaluation, names
from recsys.artifacts.catalog import LabelReport
from recsys.artifacts.model import ApprovedModel, ModelReport, TrainedModel
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.verdict import Verdict
from recsys.errors import GateRefused
from recsys.stages import frames
from recsys.stages.judge import judge
from recsys.stages.night import Night, Opened
from recsys.stages.register_model import reasons_to_promote, register_model
from recsys.stages.task import Task, suite_digest

_SUITES = (names.SUITE_MODEL, names.SUITE_MODEL_SLICES)


def run(night: Night) -> Receipt:
    """Commit the approval of tonight's model, or refuse it and keep the champion."""
    report = night.result_of("evaluate_model", ModelReport)
    labels = night.result_of("check_labels", LabelReport)
    model = night.open(report.artifact.model, TrainedModel)
    task = Task(
        night,
        "approve_model",
        [model.ref, report.ref, labels.ref],
        suite_digest(night, *_SUITES),
        rooms=("gates", "evaluation"),
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    version = register_model(night, model, report)
    verdicts = _judge(night, report, version)
    night.registry.promote(version, reasons_to_promote(report.artifact, verdicts))
    approved = ApprovedModel(
        model=model.ref,
        model_digest=model.artifact.model_digest,
        dimension=model.artifact.dimension,
        image_width=model.artifact.image_width,
        image_height=model.artifact.image_height,
        registry_version=version,
        verdicts=(labels.artifact.verdict, *verdicts),
    )
    return task.publish(approved)


def _judge(night: Night, report: Opened[ModelReport], version: str) -> list[Verdict]:
    """Every suite's verdict; of a refused model the registry keeps all the reasons."""
    verdicts, refusals = [], []
    for suite, table in _tables(night, report).items():
        try:
            verdicts.append(judge(night, suite, table, subject=report.artifact.model))
        except GateRefused as refusal:
            told = evaluation.largest_falls(table) if suite == names.SUITE_MODEL_SLICES else ""
            refusals.append(GateRefused(f"{refusal}{told}", refusal.verdict))
    if refusals:
        night.registry.refuse(version, [str(refusal) for refusal in refusals])
        raise refusals[0]
    return verdicts


def _tables(night: Night, report: Opened[ModelReport]) -> dict[str, pd.DataFrame]:
    """What each of `_SUITES` judges."""
    found = report.artifact
    rival = bool(found.champion)
    slices = frames.read_frame(night, report.ref, frames.SLICES)
    return {
        names.SUITE_MODEL: evaluation.figures_table(found.figures, against_champion=rival),
        names.SUITE_MODEL_SLICES: evaluation.slices_table(
            slices, found.figures, queries=found.queries, against_champion=rival
        ),
    }
