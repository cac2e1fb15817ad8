"""Taking content out of all history, as far as Pachyderm can: whole commits go.

A commit there never changes, so one that holds the content goes altogether, and with it all
that was made of it. From the middle of a branch a commit is squashed, at its end dropped,
the newest first, so that no call takes away more than it was asked to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from recsys.artifacts.digests import canonical_json
from recsys.errors import CommitNotFound, RepoNotFound, StoreError
from recsys.provenance.addresses import check_path
from recsys.provenance.pachyderm_commits import Commits, Made
from recsys.provenance.pachyderm_contents import Contents
from recsys.provenance.pachyderm_server import Server, server_errors

OUTSIDE = (
    "the bytes in pachd's object storage: as long as a commit stands that came after them on"
    " their branch (a new head without them does), and else until its garbage collection, half an"
    " hour after they were written; and whatever backups and copies were made of them"
)


class Removal:
    """What must go with a content, and its going."""

    def __init__(self, server: Server, commits: Commits, contents: Contents) -> None:
        self._server = server
        self._commits = commits
        self._contents = contents

    def named(self, files: Iterable[tuple[str, str]]) -> list[bytes]:
        """The SHA-256 of each file, given as (ref, path); what is not there is passed over."""
        found = []
        for ref, path in sorted(set(files)):
            with suppress(CommitNotFound, RepoNotFound):
                entry = self._contents.manifest(ref).get(check_path(path))
                if entry is not None:
                    found.append(entry.sha256)
        return found

    def holders(self, contents: Iterable[bytes]) -> dict[str, Made]:
        """Every commit of the project that holds one of these contents, by ref."""
        wanted = set(contents)
        return {
            found.ref: found
            for repo in self._server.repos()
            for found in self._commits.every(repo)
            if self._contents.holding(found, wanted)
        }

    def with_descendants(self, holders: Iterable[str]) -> list[Any]:
        """These commits and all that was made of them, abandoned ones too, newest first."""
        doomed = {}
        for ref in holders:
            for info in (
                self._commits.one(ref).info,
                *self._commits.reached_messages(ref, up=False),
            ):
                doomed[info.commit.repo.name, info.commit.id] = info
        return sorted(doomed.values(), key=lambda info: info.started, reverse=True)

    def remove(self, doomed: Sequence[Any]) -> tuple[list[str], list[str]]:
        """Remove commits, newest first; (refs of those that went, what stays and why)."""
        gone, remains = [], []
        for repo in {info.commit.repo.name for info in doomed}:
            self._set_loose(repo)
        for info in doomed:
            ref = f"{info.commit.repo.name}@{info.commit.id}"
            try:
                self._remove(info.commit)
            except StoreError as error:
                remains.append(f"{ref}: {error}")
            else:
                gone.append(ref)
        return gone, remains

    def _set_loose(self, repo: str) -> None:
        """Make the repo's derived branches sources, until their next commit gives them inputs.

        Or the server would give one that loses its last commit an empty one, made of the very
        commits that are to go.
        """
        with server_errors():
            listed = self._server.pfs.inspect_repo(repo=self._server.repo(repo)).branches
            for branch in listed:
                if self._server.pfs.inspect_branch(branch=branch).direct_provenance:
                    self._server.pfs.create_branch(branch=branch, provenance=[])

    def _remove(self, commit: Any) -> None:
        calls = self._server.pfs
        has_children = self._commits.message(commit).child_commits
        with server_errors():
            (calls.squash_commit if has_children else calls.drop_commit)(commit=commit)


def kept_apart(holding: Made, doomed: Iterable[Any]) -> bool:
    """Whether a commit that must go was made of nothing that must go."""
    gone = {(info.commit.repo.name, info.commit.id) for info in doomed}
    return all((one.repo.name, one.id) not in gone for one in holding.info.direct_provenance)


def message_of_purged(message: str, why: str) -> str:
    """The message of a head without the content: the old one's, which still describes the rest."""
    try:
        record = json.loads(message)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        return f"{message}\npurged: {why}".lstrip()
    return canonical_json({**record, "purged": why}).decode()
