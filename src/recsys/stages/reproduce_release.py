"""Make a release again from what its commits recorded, and say whether it is the same."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from recsys import comparison
from recsys.artifacts.digests import sha256_file
from recsys.errors import OutsideFailed
from recsys.services.environment import inherited_environment, settings_environment
from recsys.settings import PROJECT_ROOT, Settings
from recsys.stages.compare_rebuilt import Rebuilt, Row
from recsys.stages.find_release import find_release
from recsys.stages.night import Night
from recsys.stages.record import commit_record
from recsys.stages.recorded_code import Code, choose_code
from recsys.stages.release_commits import RecordedCommit
from recsys.stages.replay_release import (
    REPLAY_FILE,
    REPLAYED_STAGES,
    OnStage,
    Replay,
    recorded_stages,
    replay_release,
    scratch_night,
    settings_then,
)

_SUITE: Final = "suite_"
_EXPECTATIONS: Final = "expectations"
_SHOWN_CHARACTERS: Final = 500
# Facts of a record that may explain a difference: where they stand, and what they are called.
_FACTS: Final = (
    (("code", "lock_digest"), "locked dependencies"),
    (("code", "python"), "Python"),
    (("libraries",), "library"),
    (("host", "system"), "system"),
    (("host", "cpu"), "processor"),
    (("host", "cores"), "cores"),
)


@dataclass(frozen=True)
class Reproduction:
    """A release made again.

    ``release_id`` is its id when commits are named as recorded, or None when a gate ended
    the replay, which ``refused`` then tells. ``code`` says by whose code it was made,
    ``circumstances`` what else was not as it was and so may explain a difference.
    """

    release: str
    release_id: str | None
    rows: tuple[Row, ...]
    code: Code
    circumstances: tuple[str, ...]
    refused: str
    seconds: dict[str, float]

    @property
    def identical(self) -> bool:
        """Whether every artefact is the same to the bit, and with them the release's id."""
        return self.release == self.release_id and all(row.identical for row in self.rows)


def reproduce_release(
    night: Night,
    release_id: str,
    *,
    changes: Mapping[str, Any] | None = None,
    repository: Path = PROJECT_ROOT,
    on_stage: OnStage = lambda stage, seconds: None,
) -> Reproduction:
    """Rebuild a release in a scratch folder, which goes afterwards, and compare.

    Nothing real is touched: the store is read, registry, releases, Data Docs and the live
    pointer are others.

    Parameters
    ----------
    changes
        Settings that shall be others than recorded: what would they have changed?
    repository
        Where git may have the recorded code.

    Raises
    ------
    ReleaseUnknown
        No commit holds the release.
    BadInput
        It was not made by the stages of a night.
    ContentRemoved
        What it was made of was purged or collected.
    """
    changes = changes or {}
    recorded = recorded_stages(night, find_release(night, release_id))
    replayed = {stage: recorded[stage] for stage in REPLAYED_STAGES}
    night.settings.scratch_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=night.settings.scratch_dir, prefix="reproduce-", ignore_cleanup_errors=True
    ) as scratch:
        folder = Path(scratch)
        code = choose_code(replayed, repository, folder / "code")
        replay = None
        if code.tree is not None:
            replay, code = _replay_as_recorded(
                code.tree, code, night.settings, release_id, folder, changes
            )
        if replay is None:
            replay = replay_release(night, release_id, folder, changes=changes, on_stage=on_stage)
        again = scratch_night(night, folder)
        rebuilt = Rebuilt(night, again, recorded, replay.commits, folder / "compared")
        return Reproduction(
            release=release_id,
            release_id=rebuilt.release_id(),
            rows=tuple(rebuilt.rows()),
            code=code,
            circumstances=(
                *_suites(replayed, _suites_dir(night.settings, code.tree)),
                *_circumstances(replayed, again, replay.commits),
            ),
            refused=replay.refused,
            seconds=replay.seconds,
        )


def _suites_dir(settings: Settings, tree: Path | None) -> Path:
    """The suites that judge: a copy of the recorded code judges by its own."""
    ours = settings.expectations_dir
    return tree / _EXPECTATIONS if tree and ours == PROJECT_ROOT / _EXPECTATIONS else ours


def _replay_as_recorded(
    tree: Path,
    code: Code,
    settings: Settings,
    release_id: str,
    folder: Path,
    changes: Mapping[str, Any],
) -> tuple[Replay | None, Code]:
    """The replay by the recorded code; None if that cannot run here, and what then is said."""
    try:
        return replay_in(tree, settings, release_id, folder, changes), code
    except OutsideFailed as failure:
        # It may be older than the store's format, or need libraries that are gone.
        said = f"{code.said}, but failed, so today's was run instead: {failure}"
        shutil.rmtree(folder / "state", ignore_errors=True)
        return None, Code(None, False, said)


def replay_in(
    tree: Path, settings: Settings, release_id: str, folder: Path, changes: Mapping[str, Any]
) -> Replay:
    """The replay by the code of another tree, in a process of its own.

    Raises
    ------
    OutsideFailed
        The process failed; says how.
    """
    settings = settings.model_copy(update={"expectations_dir": _suites_dir(settings, tree)})
    environment = {
        **inherited_environment(),
        **settings_environment(settings),
        "PYTHONPATH": str(tree / "src"),
    }
    chosen = [part for name, value in changes.items() for part in ("--with", f"{name}={value}")]
    done = subprocess.run(
        [sys.executable, "-m", "recsys", "replay", release_id, str(folder), *chosen],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise OutsideFailed(done.stderr.strip()[-_SHOWN_CHARACTERS:])
    return Replay.from_json((folder / REPLAY_FILE).read_bytes())


def _suites(recorded: Mapping[str, RecordedCommit], suites_dir: Path) -> list[str]:
    """Suites that are not those that judged."""
    said = []
    for made in recorded.values():
        for name, digest in made.record["parameters"].items():
            path = suites_dir / f"{name.removeprefix(_SUITE)}.json"
            if name.startswith(_SUITE) and (not path.is_file() or sha256_file(path) != digest):
                found = "is another one now" if path.is_file() else "is gone"
                said.append(f"suite {path.stem} {found} ({path})")
    return said


def _circumstances(
    recorded: Mapping[str, RecordedCommit], again: Night, commits: Mapping[str, str]
) -> list[str]:
    """What the records of both sides say of themselves, where it differs; each once."""
    said: dict[str, list[str]] = {}
    for stage, ref in commits.items():
        then = recorded[stage].record
        now = commit_record(again.store.inspect(ref).message)
        for text in _differences(then, now, again.settings):
            said.setdefault(text, []).append(stage)
    everywhere = len(commits)
    return [
        text if len(stages) == everywhere else f"{text} (in {', '.join(stages)})"
        for text, stages in said.items()
    ]


def _differences(then: Mapping[str, Any], now: Mapping[str, Any], current: Settings) -> list[str]:
    said = []
    if then.get("code_digest") != now.get("code_digest"):
        said.append("other code")
    for place, called in _FACTS:
        for field in comparison.compare_fields(_at(then, place), _at(now, place)):
            said.append(f"{called} {field}")
    settings = comparison.compare_fields(settings_then(current, then), settings_then(current, now))
    return said + [f"setting {field}" for field in settings]


def _at(record: Mapping[str, Any], place: tuple[str, ...]) -> Any:
    value: Any = record
    for name in place:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
