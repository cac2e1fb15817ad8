"""The commits that a release was made by, with the record of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recsys.artifacts.release import Release
from recsys.provenance import CommitInfo
from recsys.stages.night import Night, Opened
from recsys.stages.record import commit_record


@dataclass(frozen=True)
class RecordedCommit:
    """One commit and how it was made (`recsys.stages.record`)."""

    commit: CommitInfo
    record: Mapping[str, Any]

    @property
    def ref(self) -> str:
        """Its reference."""
        return self.commit.ref


def commits_of_release(night: Night, release: Opened[Release]) -> dict[str, RecordedCommit]:
    """The release's own commit and those it was made of, by the stage that made them.

    Commits that no stage made (what people let through by hand) are left out.
    """
    found: dict[str, RecordedCommit] = {}
    for commit in (night.store.inspect(release.ref), *night.store.upstream(release.ref)):
        record = commit_record(commit.message)
        if "stage" in record:
            found.setdefault(str(record["stage"]), RecordedCommit(commit, record))
    return found
