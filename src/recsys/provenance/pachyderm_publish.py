"""How a commit becomes visible: uploaded first, then opened, filled and finished in moments.

A source branch gets its commit by StartCommit. A derived branch is given its inputs by
branches of the input repos that serve this branch alone (``to-…``): one transaction moves
them to the chosen commits, whereupon the server opens exactly one commit on the derived
branch, whose lineage is exactly these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from pachyderm_sdk.api import pfs, transaction

from recsys.errors import BranchBusy, CommitClosed, StoreDamaged, StoreError
from recsys.provenance.addresses import split_ref
from recsys.provenance.pachyderm_commits import Commits, Description, Position, made
from recsys.provenance.pachyderm_server import Server, server_errors


class Target(NamedTuple):
    """Where a commit goes and what it was made of."""

    repo: str
    branch: str
    inputs: Sequence[str]
    position: Position

    @property
    def name(self) -> str:
        """``repo@branch``."""
        return f"{self.repo}@{self.branch}"


class Publisher:
    """The calls that write."""

    def __init__(self, server: Server, commits: Commits) -> None:
        self._server = server
        self._commits = commits

    def upload(self, modifications: Iterator[Any]) -> str | None:
        """Send everything in one stream; returns the file set's id, None for no change.

        The server keeps a file set alive while its stream is open and for ten minutes
        afterwards; it is used at once.
        """
        first = next(modifications, None)
        if first is None:
            return None
        with server_errors():
            answer = self._server.pfs.create_file_set(_chained(first, modifications))
        return str(answer.file_set_id)

    def publish(self, target: Target, file_set: str | None, description: Description) -> str:
        """Make the commit visible; returns its ref.

        Raises
        ------
        BranchBusy
            Another machine's writer was faster; nothing of this commit is visible.
        """
        commit = self._open(target)
        try:
            if not self._commits.lies_on(self._commits.message(commit), target.position.base):
                raise BranchBusy(f"{target.name} moved while the commit was open; commit again")
            self._fill(commit, file_set, description)
        except CommitClosed as error:
            raise BranchBusy(
                f"another writer took {target.name} over, because this one was silent for too"
                " long; commit again"
            ) from error
        except BaseException:
            with suppress(StoreError):
                self._commits.abandon(commit)
            raise
        finished = made(self._commits.finished(commit))
        if finished is None:
            problem = self._commits.message(commit).error
            raise StoreDamaged(f"Pachyderm could not work up {target.name}: {problem}")
        return finished.ref

    def _fill(self, commit: Any, file_set: str | None, description: Description) -> None:
        with server_errors():
            if file_set is not None:
                self._server.pfs.add_file_set(commit=commit, file_set_id=file_set)
            self._server.pfs.finish_commit(commit=commit, description=description.model_dump_json())

    def _open(self, target: Target) -> Any:
        if target.inputs:
            return self._open_derived(target)
        branch = self._server.branch(target.repo, target.branch)
        with server_errors():
            if target.position.provenance:  # what an abandoned first commit left behind
                self._server.pfs.create_branch(branch=branch, provenance=[])
            opened = self._server.pfs.start_commit(branch=branch)
        return self._server.commit(target.repo, opened.id)

    def _open_derived(self, target: Target) -> Any:
        branch = self._server.branch(target.repo, target.branch)
        requests, pins = [], []
        for repo, commit_id in map(split_ref, target.inputs):
            pin = self._server.branch(repo, pin_name(target.repo, target.branch))
            pins.append(pin)
            head = self._server.commit(repo, commit_id)
            requests.append(pfs.CreateBranchRequest(branch=pin, head=head))
        if target.position.provenance != {(pin.repo.name, pin.name) for pin in pins}:
            requests.append(pfs.CreateBranchRequest(branch=branch, provenance=pins))
        with server_errors():
            done = self._server.client.transaction.batch_transaction(
                requests=[transaction.TransactionRequest(create_branch=one) for one in requests]
            )
        return self._server.commit(target.repo, done.transaction.id)


def pin_name(repo: str, branch: str) -> str:
    """The branch of an input repo that serves one derived branch alone."""
    digest = hashlib.sha256(f"{repo}@{branch}".encode()).hexdigest()
    return f"to-{repo[:24]}-{branch[:12]}-{digest[:12]}"


def _chained(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
