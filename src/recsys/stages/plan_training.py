"""Decide whether tonight's model is kept, fine-tuned or trained in full, and say why."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from recsys import names, planning, release, validation
from recsys.artifacts.catalog import CatalogSplit, MeasuredCatalog, ValidatedCatalog
from recsys.artifacts.digests import canonical_json
from recsys.artifacts.model import ApprovedModel, TrainedModel, TrainingPlan
from recsys.artifacts.receipt import Receipt
from recsys.errors import ContentRemoved
from recsys.stages import frames
from recsys.stages.night import Night, Opened
from recsys.stages.record import commit_record
from recsys.stages.recorded_code import changed_stages
from recsys.stages.release_commits import RecordedCommit
from recsys.stages.task import Task
from recsys.stages.train_model import parameters_of

_LOG = logging.getLogger(__name__)

# Beside the training's own parameters in the record of a models commit.
_OF_THE_PLAN = ("mode", "start")
# JSON knows no infinity.
_WITHOUT_MEASURE = 1e6


def run(night: Night) -> Receipt:
    """Commit the plan; one that still stands is taken again.

    The champion is context and no input, because the champions come of the plans: a branch
    cannot be made of what is made of it. So is what else the plan saw, for replays.
    """
    split = night.result_of("split_catalog", CatalogSplit)
    validated = night.open(split.artifact.validated, ValidatedCatalog)
    champion = _Reigning.of(night)
    obstacles = _obstacles(night, validated, champion)
    if champion is not None and _still_stands(night, champion, split, obstacles):
        _LOG.info("nothing changed since the plan of the champion: %s", champion.plan.said)
        return champion.planned
    task = Task(
        night,
        "plan_training",
        [validated.ref, split.ref],
        {
            **vars(_limits(night)),
            "champion": "" if champion is None else champion.model.ref,
            "obstacles": list(obstacles.values()),
            "due": champion is not None and _is_due(night, champion),
        },
        rooms=("planning", "validation/tables.py"),
        context=obstacles,
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    plan = _plan(night, validated, split, champion, obstacles)
    _LOG.info("tonight's plan: %s", plan.said)
    return task.publish(plan)


@dataclass(frozen=True)
class _Reigning:
    """The champion and the trainings that made it; the three are one after a full training.

    ``planned`` is the receipt of the plan that it came of.
    """

    model: Opened[TrainedModel]
    plan: TrainingPlan
    planned: Receipt
    learned: str
    last_full: str
    fine_tunings: int

    @classmethod
    def of(cls, night: Night) -> _Reigning | None:
        """None as well when the champion is from before there were plans."""
        approved = night.newest("approve_model", ApprovedModel)
        plan = None if approved is None else plan_of(night, approved.artifact.model)
        if approved is None or plan is None:
            return None
        model = night.open(approved.artifact.model, TrainedModel)
        made = plan.artifact
        return cls(
            model,
            made,
            Receipt(made.kind, plan.ref, made.digest, fresh=False),
            learned=made.learned if made.mode == "skip" else model.ref,
            last_full=model.ref if made.mode == "full" else made.last_full,
            fine_tunings=0 if made.mode == "full" else made.fine_tunings + (made.mode != "skip"),
        )

    def trained_in_full(self, night: Night) -> date:
        """The night of the last training in full."""
        record = commit_record(night.store.inspect(self.last_full).message)
        return date.fromisoformat(str(record["night"]))


def plan_of(night: Night, model: str) -> Opened[TrainingPlan] | None:
    """The plan that a models commit was made by; None of one from before there were plans."""
    for ref in night.store.inspect(model).inputs:
        if names.parse_ref(ref)[0] == names.PLANS:
            return night.open(ref, TrainingPlan)
    return None


def _still_stands(
    night: Night, champion: _Reigning, split: Opened[CatalogSplit], obstacles: dict[str, str]
) -> bool:
    """Whether tonight's catalog is the champion's, and training again would change nothing."""
    plan = champion.plan
    wanted = night.settings.retrain
    if (plan.validated, plan.split) != (split.artifact.validated, split.ref):
        return False
    if obstacles["recipe"] or wanted not in ("auto", "skip", plan.mode):
        return False
    renewed = any(obstacles.values()) or _is_due(night, champion)
    return plan.mode == "full" or not renewed


def _obstacles(
    night: Night, validated: Opened[ValidatedCatalog], champion: _Reigning | None
) -> dict[str, str]:
    """Why the champion's weights are not to be gone on from: a sentence by kind, or empty."""
    if champion is None:
        return {name: night.seen(name, str) for name in ("recipe", "rollback", "refused", "alarm")}
    return {
        "recipe": night.seen("recipe", lambda: _other_recipe(night, champion)),
        "rollback": night.seen("rollback", lambda: _rollback(night)),
        "refused": night.seen("refused", lambda: _refused(night, validated, champion)),
        "alarm": night.seen("alarm", lambda: _alarm(validated, champion)),
    }


def _other_recipe(night: Night, champion: _Reigning) -> str:
    """In what tonight's training differs from the champion's last one in full."""
    commit = night.store.inspect(champion.last_full)
    record = commit_record(commit.message)
    then: dict[str, Any] = record.get("parameters", {})
    now = json.loads(canonical_json(vars(parameters_of(night.settings))))
    said = [
        f"{name} is {now.get(name)}, the champion's {then.get(name)}"
        for name in sorted(now.keys() | (then.keys() - set(_OF_THE_PLAN)))
        if now.get(name) != then.get(name)
    ]
    if changed_stages({"train_model": RecordedCommit(commit, record)}):
        said.append("the training's code is another than the champion's")
    return "; ".join(said)


def _rollback(night: Night) -> str:
    standing = release.standing_rollback(release.history(night.settings.releases_dir))
    if standing is None:
        return ""
    return f"the rollback to {standing.release} stands: what came after it is not gone on from"


def _refused(night: Night, validated: Opened[ValidatedCatalog], champion: _Reigning) -> str:
    """Whether a fine-tuned model of an earlier night did not become champion."""
    last = night.newest("train_model", TrainedModel)
    if last is None or last.ref == champion.model.ref:
        return ""
    plan = plan_of(night, last.ref)
    if plan is None or plan.artifact.mode != "fine_tune":
        return ""
    if plan.artifact.validated == validated.ref or plan.artifact.champion != champion.model.ref:
        return ""
    return f"the champion was fine-tuned already, but {last.artifact.version} was not approved"


def _alarm(validated: Opened[ValidatedCatalog], champion: _Reigning) -> str:
    """What tonight's drift gate warned of, unless the champion has learned from it."""
    if champion.plan.validated == validated.ref:
        return ""
    told = [
        failure.column
        for verdict in validated.artifact.verdicts
        if verdict.suite == names.SUITE_DRIFT
        for failure in verdict.failures
    ]
    return f"the drift gate warns of {', '.join(told)}" if told else ""


def _is_due(night: Night, champion: _Reigning) -> bool:
    age = date.fromisoformat(night.date) - champion.trained_in_full(night)
    return age.days >= night.settings.full_after_days


def _limits(night: Night) -> planning.Limits:
    settings = night.settings
    return planning.Limits(
        forced=settings.retrain,
        skip_below_change=settings.skip_below_change,
        fine_tune_below_change=settings.fine_tune_below_change,
        full_after_days=settings.full_after_days,
        full_after_fine_tunings=settings.full_after_fine_tunings,
        full_above_shift=settings.full_above_shift,
        full_above_label_change=settings.full_above_label_change,
    )


def _plan(
    night: Night,
    validated: Opened[ValidatedCatalog],
    split: Opened[CatalogSplit],
    champion: _Reigning | None,
    obstacles: dict[str, str],
) -> TrainingPlan:
    figures: dict[str, float] = {}
    known = None
    if champion is not None:
        said = [text for text in obstacles.values() if text]
        try:
            figures = _figures(night, validated, champion)
        except ContentRemoved:
            said.append("the catalog that the champion learned from is gone")
        known = planning.Champion(
            champion.trained_in_full(night), champion.fine_tunings, tuple(said)
        )
    decision = planning.decide(known, figures, _limits(night), date.fromisoformat(night.date))
    return TrainingPlan(
        validated=validated.ref,
        split=split.ref,
        mode=decision.mode,
        reasons=decision.reasons,
        champion="" if champion is None else champion.model.ref,
        learned="" if champion is None else champion.learned,
        last_full="" if champion is None else champion.last_full,
        fine_tunings=0 if champion is None else champion.fine_tunings,
        figures=figures,
    )


def _figures(
    night: Night, validated: Opened[ValidatedCatalog], champion: _Reigning
) -> dict[str, float]:
    """Tonight's catalog against the one that the champion's weights last saw."""
    seen = night.open(champion.learned, TrainedModel).artifact.validated
    tonight, then = (
        _tables(night, opened) for opened in (validated, night.open(seen, ValidatedCatalog))
    )
    drift = dict(_numbers(validation.drift_table(*tonight, *then)))
    learned = list(night.settings.likeness_shares)
    return {**planning.catalog_change(tonight[0], then[0], learned), **drift}


def _tables(night: Night, validated: Opened[ValidatedCatalog]) -> tuple[pd.DataFrame, pd.DataFrame]:
    measured = night.open(validated.artifact.measured, MeasuredCatalog)
    return (
        frames.read_frame(night, validated.ref, frames.PRODUCTS),
        frames.read_frame(night, measured.ref, frames.MEASURES),
    )


def _numbers(drift: pd.DataFrame) -> Iterator[tuple[str, float]]:
    """The drift figures that the decision reads; the others it counts in its own way."""
    row = drift.iloc[0]
    for name in drift.columns:
        if name == "label_share_change" or name.endswith("_shift"):
            # Of pictures that were all alike any change is one without measure.
            yield str(name), min(float(np.nan_to_num(row[name])), _WITHOUT_MEASURE)
