"""Which releases stay on the shelf, and the end of those that do not.

Only their folders go here, which are most of what a night adds; a rollback to one of them brings
its folder back from the data store, until `recsys store gc` frees its content too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from recsys import names, release
from recsys.artifacts.live import living_workers, read_live
from recsys.provenance import CommitInfo
from recsys.settings import Settings
from recsys.stages.night import Night
from recsys.stages.record import commit_record

_LOG = logging.getLogger(__name__)
_STALE_SECONDS: Final = 24 * 3600


def retire_releases(night: Night) -> tuple[str, ...]:
    """Remove the folders of committed releases that are not kept; their ids.

    Hold the lock of deployments. What cannot be removed is told in the log: a night that
    deployed has not failed because of it.
    """
    committed = {_id_of(commit) for commit in night.commits(names.RELEASES)}
    gone = []
    for path in old_releases(night):
        if path.name in committed:
            try:
                release.remove_release(path)
                gone.append(path.name)
            except OSError as error:
                _LOG.warning("release %s stays on the shelf: %s", path.name, error)
    if gone:
        _LOG.info("off the shelf, in the data store still: %s", ", ".join(gone))
    return tuple(gone)


def old_releases(night: Night) -> Iterator[Path]:
    """Folders of releases that are not kept; a young one may not be committed yet."""
    settings = night.settings
    kept = {*kept_releases(settings, night.commits(names.RELEASES)), *_in_use(settings)}
    for path in sorted(settings.releases_dir.glob("r-*")):
        if names.is_release_id(path.name) and path.name not in kept and is_stale(path):
            yield path


def kept_releases(settings: Settings, commits: Iterable[CommitInfo]) -> dict[str, str]:
    """Release id → its newest commit, of those that stay deployable."""
    in_use = _in_use(settings)
    kept: dict[str, str] = {}
    for commit in commits:  # newest first
        release_id = _id_of(commit)
        if release_id not in kept and (len(kept) < settings.keep_releases or release_id in in_use):
            kept[release_id] = commit.ref
    return kept


def _in_use(settings: Settings) -> set[str | None]:
    """The live release, the one before it, the pinned ones, and what workers answer with."""
    live = read_live(settings.releases_dir)
    events = release.history(settings.releases_dir)
    before = (
        event.previous
        for event in reversed(events)
        if event.release == live and event.event in release.WENT_LIVE
    )
    workers = living_workers(settings.serving_dir)
    return {
        live,
        next(before, None),
        *release.pins(events),
        *(worker.release for worker in workers),
    }


def _id_of(commit: CommitInfo) -> str:
    return names.release_id(str(commit_record(commit.message).get("artifact_digest", "")))


def is_stale(path: Path) -> bool:
    """Whether nothing in it was written for a day."""
    newest = max((part.lstat().st_mtime for part in _tree(path)), default=0.0)
    return time.time() - newest > _STALE_SECONDS


def size_bytes(path: Path) -> int:
    """Of all files in it."""
    return sum(part.lstat().st_size for part in _tree(path) if part.is_file())


def _tree(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir() and not path.is_symlink():
        yield from path.rglob("*")
