"""Gate the model, register it, and make it the champion."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from recsys import evaluation, names, probes
from recsys.artifacts.catalog import LabelReport
from recsys.artifacts.model import ApprovedModel, ModelReport, ProbeReport, TrainedModel
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.verdict import Verdict
from recsys.errors import ArtifactInvalid, GateRefused
from recsys.stages import frames
from recsys.stages.judge import judge
from recsys.stages.night import Night, Opened
from recsys.stages.plan_training import plan_of
from recsys.stages.register_model import reasons_to_promote, register_model
from recsys.stages.task import Task, suite_digest

# Is the model sound, and then, is it good?
_SUITES = (names.SUITE_MODEL_PROBES, names.SUITE_MODEL, names.SUITE_MODEL_SLICES)


def run(night: Night) -> Receipt:
    """Commit the approval of tonight's model, or refuse it and keep the champion."""
    report = night.result_of("evaluate_model", ModelReport)
    probed = night.result_of("probe_model", ProbeReport)
    labels = night.result_of("check_labels", LabelReport)
    model = night.open(report.artifact.model, TrainedModel)
    task = Task(
        night,
        "approve_model",
        [model.ref, report.ref, probed.ref, labels.ref],
        {
            "encode_budget_ms": night.settings.encode_budget_ms,
            **suite_digest(night, *_SUITES),
        },
        rooms=("gates", "evaluation", "probes"),
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    version = register_model(night, model, report)
    night.registry.log_figures(model.artifact.run_id, probed.artifact.figures)
    verdicts = _judge(night, model, _tables(night, report, probed.artifact), version)
    plan = plan_of(night, model.ref)
    planned = [] if plan is None else [plan.artifact.said]
    night.registry.promote(version, [*planned, *reasons_to_promote(report.artifact, verdicts)])
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


def _judge(
    night: Night, model: Opened[TrainedModel], tables: Mapping[str, pd.DataFrame], version: str
) -> list[Verdict]:
    """Every suite's verdict; of a refused model the registry keeps all the reasons."""
    verdicts, refusals = [], []
    for suite, table in tables.items():
        try:
            verdicts.append(judge(night, suite, table, subject=model.ref))
        except GateRefused as refusal:
            told = evaluation.largest_falls(table) if suite == names.SUITE_MODEL_SLICES else ""
            refusals.append(GateRefused(f"{refusal}{told}", refusal.verdict))
    if refusals:
        night.registry.refuse(version, [str(refusal) for refusal in refusals])
        raise refusals[0]
    return verdicts


def _tables(
    night: Night, report: Opened[ModelReport], probed: ProbeReport
) -> dict[str, pd.DataFrame]:
    """What each of `_SUITES` judges."""
    found = report.artifact
    if probed.model != found.model:
        raise ArtifactInvalid(f"{probed.model} was probed, but {found.model} was evaluated")
    rival = bool(found.champion)
    slices = frames.read_frame(night, report.ref, frames.SLICES)
    per_class = frames.read_frame(night, report.ref, frames.PER_CLASS)
    label_recall = evaluation.least_label_recall_high(per_class)
    return {
        names.SUITE_MODEL_PROBES: probes.probes_table(
            {**probed.figures, "least_label_recall_high": label_recall},
            encode_budget_ms=night.settings.encode_budget_ms,
        ),
        names.SUITE_MODEL: evaluation.figures_table(found.figures, against_champion=rival),
        names.SUITE_MODEL_SLICES: evaluation.slices_table(
            slices, found.figures, queries=found.queries, against_champion=rival
        ),
    }
