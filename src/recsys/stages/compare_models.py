"""The registered versions, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from recsys import names
from recsys.comparison import FieldDifference, compare_fields
from recsys.errors import BadInput
from recsys.registry import RecordedRun, RegisteredModel
from recsys.stages.night import Night

_DATA = ("catalog", "validated", "split", "model_commit", "evaluation", "night")
_CODE = ("git_commit", "git_dirty", "lock_digest", "python", "machine")
_LIBRARY = "library."
_LISTED = 12


@dataclass(frozen=True)
class ModelVersion:
    """A registered version and the run that trained it."""

    model: RegisteredModel
    run: RecordedRun

    @property
    def name(self) -> str:
        """The model's short name."""
        return names.model_version(self.model.model_digest)

    @property
    def created(self) -> str:
        """When it was registered, in UTC."""
        moment = datetime.fromtimestamp(self.model.created_seconds, UTC)
        return moment.strftime("%Y-%m-%d %H:%M")


@dataclass(frozen=True)
class ModelDifference:
    """What differs between two versions, by topic; a topic without a difference is alike."""

    old: ModelVersion
    new: ModelVersion
    fields: Mapping[str, list[FieldDifference]]


def list_models(night: Night) -> list[ModelVersion]:
    """Every registered version, newest first."""
    return [_opened(night, model) for model in night.registry.versions()]


def find_model(night: Night, named: str) -> ModelVersion:
    """The version with this number, alias or short name (``m-…``).

    Raises
    ------
    BadInput
        There is none, or no version at all.
    """
    versions = night.registry.versions()
    for model in versions:
        if named in (model.version, *model.aliases, names.model_version(model.model_digest)):
            return _opened(night, model)
    if not versions:
        raise BadInput("no model is registered yet: run a night first (`recsys nightly`)")
    raise BadInput(
        f"no model version {named[:80]!r}; there are {_some(_named(item) for item in versions)}."
        " Give a number, an alias (champion, challenger) or a short name (m-…)"
    )


def compare_models(night: Night, old: str, new: str) -> ModelDifference:
    """Two versions beside each other: parameters, figures, data, code and libraries.

    Raises
    ------
    BadInput
        One of them is not there.
    """
    before, after = find_model(night, old), find_model(night, new)
    sides = [_topics(version) for version in (before, after)]
    return ModelDifference(
        before,
        after,
        {topic: compare_fields(*(side[topic] for side in sides)) for topic in sides[0]},
    )


def _opened(night: Night, model: RegisteredModel) -> ModelVersion:
    return ModelVersion(model, night.registry.read_run(model.run_id))


def _topics(version: ModelVersion) -> dict[str, dict[str, Any]]:
    tags = version.model.tags
    parameters = version.run.parameters.items()
    return {
        "parameters": {name: _number(text) for name, text in parameters},
        "figures": dict(version.run.figures),
        "data": {name: tags[name] for name in _DATA if name in tags},
        "code": {name: tags[name] for name in _CODE if name in tags},
        "libraries": {
            name.removeprefix(_LIBRARY): text
            for name, text in tags.items()
            if name.startswith(_LIBRARY)
        },
        "decision": {"decision": version.model.decision, "reasons": version.model.reasons},
    }


def _number(text: str) -> int | float | str:
    """MLflow keeps parameters as text; a number is compared as one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _named(model: RegisteredModel) -> str:
    return f"{model.version} ({', '.join(model.aliases)})" if model.aliases else model.version


def _some(items: Iterable[str]) -> str:
    named = list(items)
    more = len(named) - _LISTED
    return ", ".join(named[:_LISTED]) + (f" and {more} more" if more > 0 else "")
