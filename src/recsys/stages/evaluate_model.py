"""Measure tonight's model, and the champion on the same frozen queries."""

from __future__ import annotations

from recsys import names
from recsys.artifacts.model import ApprovedModel, TrainedModel
from recsys.artifacts.receipt import Receipt
from recsys.stages import frames
from recsys.stages.frozen_queries import FrozenQueries
from recsys.stages.model_figures import ROOMS, measure
from recsys.stages.night import Night, Opened
from recsys.stages.record import commit_record
from recsys.stages.task import Task


def run(night: Night) -> Receipt:
    """Commit the model's figures beside the champion's."""
    model = night.result_of("train_model", TrainedModel)
    champion = night.newest("approve_model", ApprovedModel)
    reigns = champion is not None and champion.artifact.model == model.ref
    rival = None if champion is None or reigns else champion.artifact
    task = Task(
        night,
        "evaluate_model",
        [model.ref, model.artifact.validated, model.artifact.split],
        {"champion": "" if rival is None else rival.model, "seed": night.settings.seed},
        rooms=ROOMS,
    )
    if reigns and (receipt := _report_of_champion(night, model, task.code)) is not None:
        return receipt
    if (receipt := task.remembered()) is not None:
        return receipt
    measured = measure(night, FrozenQueries.of(night, model), model, rival)
    tables = measured.tables.items()
    return task.publish(
        measured.report, [(path, frames.to_parquet(table)) for path, table in tables]
    )


def _report_of_champion(night: Night, model: Opened[TrainedModel], code: str) -> Receipt | None:
    """The report that let the reigning champion pass, unless other code measured it."""
    for commit in night.store.downstream(model.ref):
        record = commit_record(commit.message)
        made_here = names.parse_ref(commit.ref)[0] == names.EVALUATIONS
        if made_here and record.get("code_digest") == code:
            kind, digest = str(record["artifact"]), str(record["artifact_digest"])
            return Receipt(kind, commit.ref, digest, fresh=False)
    return None
