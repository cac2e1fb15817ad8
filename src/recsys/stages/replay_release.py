"""Run the stages that made a release again, beside everything real.

Each stage gets what its commit recorded: settings, seeds, the night's date, and what was
newest in the store at the time. What it makes goes to a scratch folder with a store, a
registry, releases and Data Docs of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Final

from recsys.artifacts.base import Artifact
from recsys.artifacts.catalog import CatalogSnapshot
from recsys.artifacts.files import write_atomically
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.release import Release
from recsys.errors import BadInput, GateRefused
from recsys.provenance import DataStore, open_store
from recsys.provenance.replay import ReplayStore
from recsys.settings import Settings, load_settings
from recsys.stages import NIGHT_STAGES
from recsys.stages.find_release import find_release
from recsys.stages.night import Night, Opened
from recsys.stages.release_commits import RecordedCommit, commits_of_release

# The delivery itself is given, and nothing is tried or put into service.
_SNAPSHOT: Final = NIGHT_STAGES[0]
REPLAYED_STAGES: Final = NIGHT_STAGES[1 : NIGHT_STAGES.index("shadow_release")]
REPLAY_FILE: Final = "replay.json"
# Where the real data are is no part of what is replayed.
_NOT_TAKEN = frozenset({"provenance", "catalog"})

OnStage = Callable[[str, float], None]


@dataclass(frozen=True)
class Replay(Artifact):
    """What a replay made, in the scratch folder that it was given.

    ``commits`` and ``seconds`` are by stage; ``refused`` is what a gate said that ended the
    replay, or empty.
    """

    kind: ClassVar[str] = "replay"

    commits: dict[str, str]
    seconds: dict[str, float]
    refused: str


@dataclass(frozen=True, kw_only=True)
class _ReplayedNight(Night):
    """A night whose store is given."""

    given_store: DataStore
    given_context: Mapping[str, Any]

    @cached_property
    def store(self) -> DataStore:
        """Reads the real store as it was, writes to the scratch one."""
        return self.given_store

    def seen(self, name: str, look: Callable[[], str]) -> str:
        """What the replayed commit's context recorded."""
        return str(self.given_context[name])


def replay_release(
    night: Night,
    release_id: str,
    folder: Path,
    *,
    changes: Mapping[str, Any] | None = None,
    on_stage: OnStage = lambda stage, seconds: None,
) -> Replay:
    """Make a release again in ``folder``, which also gets the account of it (`REPLAY_FILE`).

    Parameters
    ----------
    changes
        Settings that shall be others than recorded.
    on_stage
        Called with each stage that is done and its wall seconds.

    Raises
    ------
    ReleaseUnknown
        No commit holds it.
    BadInput
        It was not made by the stages of a night.
    ContentRemoved
        What it was made of was purged or collected.
    """
    release = find_release(night, release_id)
    recorded = recorded_stages(night, release)
    scratch = open_store(_settings(night.settings, {}, folder, {}))
    receipts = {_SNAPSHOT: _snapshot_receipt(recorded[_SNAPSHOT])}
    made: dict[str, tuple[str, ...]] = {}
    seconds: dict[str, float] = {}
    refused = ""
    for stage in REPLAYED_STAGES:
        then = recorded[stage]
        again = _ReplayedNight(
            _settings(night.settings, then.record, folder, changes or {}),
            str(then.record["night"]),
            receipts,
            night.progress,
            {"reproduces": release_id},
            given_store=ReplayStore(night.store, scratch, then.commit, made),
            given_context=then.record.get("context", {}),
        )
        started = time.monotonic()
        try:
            receipts[stage] = import_module(f"recsys.stages.{stage}").run(again)
        except GateRefused as refusal:
            refused = str(refusal)
            break
        seconds[stage] = round(time.monotonic() - started, 3)
        on_stage(stage, seconds[stage])
    replay = Replay({stage: receipts[stage].ref for stage in seconds}, seconds, refused)
    write_atomically(folder / REPLAY_FILE, replay.to_json())
    return replay


def recorded_stages(night: Night, release: Opened[Release]) -> dict[str, RecordedCommit]:
    """The commits of a release by stage, every stage of a night up to the release among them.

    Raises
    ------
    BadInput
        A stage is missing: the release was made in another way.
    """
    recorded = commits_of_release(night, release)
    missing = [stage for stage in (_SNAPSHOT, *REPLAYED_STAGES) if stage not in recorded]
    if missing:
        raise BadInput(
            f"release {release.artifact.id} cannot be made again by a night's stages: it was made"
            f" by {next(iter(recorded), 'no stage')}, and of no commit of {', '.join(missing)}"
        )
    return recorded


def scratch_night(night: Night, folder: Path) -> Night:
    """A night that reads what a replay made in ``folder``."""
    return Night(_settings(night.settings, {}, folder, {}), night.date)


def settings_then(current: Settings, record: Mapping[str, Any]) -> dict[str, Any]:
    """The recorded settings that there still are."""
    recorded: Mapping[str, Any] = record.get("settings", {})
    return {
        name: value
        for name, value in recorded.items()
        if name in type(current).model_fields and name not in _NOT_TAKEN
    }


def _settings(
    current: Settings, record: Mapping[str, Any], folder: Path, changes: Mapping[str, Any]
) -> Settings:
    return load_settings(
        **{
            **current.model_dump(),
            **settings_then(current, record),
            **changes,
            "state_dir": folder / "state",
            "provenance": "embedded",
        }
    )


def _snapshot_receipt(snapshot: RecordedCommit) -> Receipt:
    digest = str(snapshot.record["artifact_digest"])
    return Receipt(CatalogSnapshot.kind, snapshot.ref, digest, fresh=False)
