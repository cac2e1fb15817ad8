"""Free what no release and no kept night needs: content, release folders, scratch files.

Commits stay, with their files' names and digests, so every trace still ends where it began.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from recsys import names, release
from recsys.changes import Spool
from recsys.errors import BadInput, CommitNotFound, ContentRemoved
from recsys.provenance import CommitInfo
from recsys.provenance.compaction import Collected
from recsys.provenance.embedded import EmbeddedStore
from recsys.settings import Settings
from recsys.stages.night import REPO_OF_STAGE, Night
from recsys.stages.plan_training import plan_of
from recsys.stages.record import commit_record
from recsys.stages.retire_releases import is_stale, kept_releases, old_releases, size_bytes

_SCRATCH: Final = (
    "pixels-*.npy",
    "vectors-*.npy",
    "task-*",
    "decode-*",
    "parts-*",
    "reproduce-*",
)
_FIRST_NIGHT: Final = "1970-01-01"  # an older one is no date, but a command's placeholder


@dataclass(frozen=True)
class Freed:
    """What went, or would go: from the data store, and the named folders and files beside it.

    ``changes`` counts those between nights that every release left has folded in.
    """

    store: Collected
    releases: tuple[str, ...]
    release_bytes: int
    scratch: tuple[str, ...]
    scratch_bytes: int
    changes: int = 0


def collect_garbage(night: Night, *, dry_run: bool = False) -> Freed:
    """Free what nothing needs; ``dry_run`` only tells.

    Kept are the newest commit of every branch, the commits of the newest ``keep_nights``
    nights, the newest ``keep_releases`` releases, the live one, the one before it, the pinned
    ones and those that a worker still answers with, all that these were made of (with the model
    that theirs was fine-tuned from), and every commit of a repo that people fill (overrides, say).

    Raises
    ------
    BadInput
        The data store is a Pachyderm server.
    BranchBusy
        A commit was open all the while; nothing was freed.
    """
    settings, store = night.settings, night.store
    if not isinstance(store, EmbeddedStore):
        raise BadInput(
            "`recsys store gc` is for the embedded store: pachd collects by itself"
            " what no commit holds"
        )
    freed = store.gc(lambda: _kept_commits(night, store), dry_run=dry_run)
    folders = list(old_releases(night))
    scratch = list(_stale(settings))
    result = Freed(
        freed,
        tuple(path.name for path in folders),
        sum(size_bytes(path) for path in folders),
        tuple(path.name for path in scratch),
        sum(size_bytes(path) for path in scratch),
    )
    if not dry_run:
        for path in folders:
            release.remove_release(path)
        for path in scratch:
            _remove(path)
        result = replace(result, changes=_prune_changes(settings))
    return result


def _prune_changes(settings: Settings) -> int:
    """Drop the changes that no release here would be given beside what it holds."""
    left = [item.changes_through for item in release.list_releases(settings.releases_dir)]
    return Spool(settings.changes_dir).prune(min(left)) if left else 0


def _kept_commits(night: Night, store: EmbeddedStore) -> Iterator[str]:
    repos = {repo: list(store.commits(repo)) for repo in store.repos()}
    nights = {_night_of(commit, night.settings) for commits in repos.values() for commit in commits}
    kept = set(sorted(nights)[-night.settings.keep_nights :])
    for repo, commits in repos.items():
        for commit in commits:
            of_people = repo not in REPO_OF_STAGE.values() and repo != names.CHANGES
            if of_people or _night_of(commit, night.settings) in kept:
                yield commit.ref
    releases = kept_releases(night.settings, repos.get(names.RELEASES, [])).values()
    for ref in releases:
        yield ref
        yield from _went_on_from(night, ref)


def _went_on_from(night: Night, ref: str) -> Iterator[str]:
    """The model that a release's went on from, which its plan names but is no input."""
    for commit in night.store.upstream(ref):
        if names.parse_ref(commit.ref)[0] == names.MODELS:
            with suppress(ContentRemoved, CommitNotFound):
                plan = plan_of(night, commit.ref)
                if plan is not None and plan.artifact.mode != "full":
                    yield plan.artifact.champion


def _night_of(commit: CommitInfo, settings: Settings) -> str:
    """The night that a commit's record names, else the day on which it was made."""
    told = str(commit_record(commit.message).get("night", ""))
    return (
        told
        if told >= _FIRST_NIGHT
        else commit.finished.astimezone(settings.zone).date().isoformat()
    )


def _stale(settings: Settings) -> Iterator[Path]:
    for pattern in _SCRATCH:
        for path in sorted(settings.scratch_dir.glob(pattern)):
            if is_stale(path):
                yield path


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
