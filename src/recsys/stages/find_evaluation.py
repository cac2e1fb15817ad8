"""The figures of a model: those that a night committed, or measured now."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from recsys import names
from recsys.artifacts.catalog import CatalogSplit
from recsys.artifacts.model import ApprovedModel, ModelReport, TrainedModel
from recsys.errors import BadInput, FileMissing
from recsys.stages import frames
from recsys.stages.frozen_queries import FrozenQueries
from recsys.stages.model_figures import measure
from recsys.stages.night import Night
from recsys.stages.trace import model_commit

_TABLES = (
    frames.PER_CLASS,
    frames.CONFUSION,
    frames.SLICES,
    frames.EXPOSURE,
    frames.NEIGHBOURS,
)


@dataclass(frozen=True)
class Evaluation:
    """A report and its tables by path; ``model`` and ``champion`` are short names.

    ``stored`` is the evaluations commit, or empty when it was measured just now;
    ``champion`` is empty when there was none to compare with.
    """

    report: ModelReport
    tables: dict[str, pd.DataFrame]
    stored: str
    model: str
    champion: str


def find_evaluation(night: Night, subject: str, *, again: bool = False) -> Evaluation:
    """The evaluation of a model: the newest of all, or that of the one named.

    Parameters
    ----------
    subject
        Empty: the newest evaluation, which may be of a model that was refused. Else
        "champion", "challenger", a short name (``m-…``), a version of the registry, or a
        commit (``models@…``, ``evaluations@…``).
    again
        Measure it, and the champion, on the newest catalog's frozen queries, as is done
        when nothing is stored. Nothing is committed, no gate is asked.

    Raises
    ------
    BadInput
        No such model; nothing was evaluated yet; a commit of another repo.
    """
    stored, model = _named(night, subject)
    if not again and (found := _stored(night, stored, model)) is not None:
        return found
    opened = night.open(model, TrainedModel)
    split = night.newest("split_catalog", CatalogSplit)
    if split is None:  # a model without a split cannot be
        raise BadInput("no catalog was split yet: run a night first (`recsys nightly`)")
    champion = night.newest("approve_model", ApprovedModel)
    rival = None if champion is None or champion.artifact.model == model else champion.artifact
    measured = measure(night, FrozenQueries.of_split(night, split), opened, rival)
    return _evaluation(night, measured.report, measured.tables, "")


def _named(night: Night, subject: str) -> tuple[str, str]:
    """The evaluations commit, if the subject is one, and the models commit."""
    if not subject:
        newest = night.newest("evaluate_model", ModelReport)
        if newest is None:
            raise BadInput("no model was evaluated yet: run a night first (`recsys nightly`)")
        return newest.ref, newest.artifact.model
    if names.is_ref(subject):
        return _of_commit(night, subject)
    if subject == names.ALIAS_CHAMPION:
        champion = night.newest("approve_model", ApprovedModel)
        if champion is None:
            raise BadInput("no model is champion yet: run a night first (`recsys nightly`)")
        return "", champion.artifact.model
    if subject.isdecimal() or subject == names.ALIAS_CHALLENGER:
        return "", _of_version(night, subject)
    return "", model_commit(night, subject)


def _of_commit(night: Night, ref: str) -> tuple[str, str]:
    repo = names.parse_ref(ref)[0]
    if repo == names.EVALUATIONS:
        return ref, night.open(ref, ModelReport).artifact.model
    if repo == names.MODELS:
        return "", ref
    raise BadInput(
        f"{ref} is a commit of {repo}; give one of {names.MODELS} or {names.EVALUATIONS}"
    )


def _of_version(night: Night, named: str) -> str:
    for model in night.registry.versions():
        if named == model.version or named in model.aliases:
            return model.tags["model_commit"]
    raise BadInput(f"the registry has no version {named}; `recsys models` lists those there are")


def _stored(night: Night, stored: str, model: str) -> Evaluation | None:
    """What a night committed, unless it is from before slices were measured, or collected."""
    refs = [stored] if stored else _evaluations_of(night, model)
    for ref in refs:
        try:
            tables = {path: frames.read_frame(night, ref, path) for path in _TABLES}
        except FileMissing:
            continue
        return _evaluation(night, night.open(ref, ModelReport).artifact, tables, ref)
    return None


def _evaluations_of(night: Night, model: str) -> list[str]:
    """Newest first."""
    made = {commit.ref for commit in night.store.downstream(model)}
    return [commit.ref for commit in night.commits(names.EVALUATIONS) if commit.ref in made]


def _evaluation(
    night: Night, report: ModelReport, tables: dict[str, pd.DataFrame], stored: str
) -> Evaluation:
    sides = {
        ref: night.open(ref, TrainedModel).artifact
        for ref in (report.model, report.champion)
        if ref
    }
    champion = sides[report.champion].version if report.champion else ""
    return Evaluation(report, tables, stored, sides[report.model].version, champion)
