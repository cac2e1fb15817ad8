"""What stands in a Pachyderm commit, read as ours; and who may open the next one.

A commit is ours when it finished without an error and its description is the JSON that
`Description` checks. Anything else in a repo (the empty commits that the server makes for a
new branch, abandoned ones, ones still open) is no commit of the port.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from pachyderm_sdk.api import pfs
from pydantic import BaseModel, ConfigDict, ValidationError

from recsys.errors import (
    BranchBusy,
    CommitClosed,
    CommitNotFound,
    StoreDamaged,
    StoreError,
)
from recsys.provenance.addresses import UUID4, split_ref
from recsys.provenance.pachyderm_server import Server, is_missing, moment, server_errors
from recsys.provenance.port import CommitInfo

ABANDONED = "abandoned"


class Description(BaseModel):
    """The JSON that a commit of ours carries as its description, set when it is finished."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    recsys: Literal[1] = 1
    branch: str
    message: str
    started: datetime
    parent: str | None
    files: int
    manifest: str


class Made(NamedTuple):
    """One commit of ours: the server's message and what its description says."""

    info: Any
    description: Description

    @property
    def ref(self) -> str:
        """``repo@id``."""
        return f"{self.info.commit.repo.name}@{self.info.commit.id}"


def made(info: Any) -> Made | None:
    """The commit, if it is one of ours."""
    if moment(info.finished) is None or info.error or not info.description.startswith("{"):
        return None
    try:
        return Made(info, Description.model_validate_json(info.description))
    except ValidationError:
        return None


class Position(NamedTuple):
    """Where a branch stands for its next writer.

    ``provenance`` are the (repo, branch) pairs that the server derives it from.
    """

    base: Made | None
    provenance: frozenset[tuple[str, str]]


class Commits:
    """The questions about commits; each is a call or two."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def one(self, ref: str) -> Made:
        """A commit of ours, or `CommitNotFound`, or `RepoNotFound`."""
        repo, commit_id = split_ref(ref)
        missing = CommitNotFound(f"no commit {commit_id} in repo {repo!r}")
        if not UUID4.fullmatch(commit_id):  # the server would take it for a branch
            self._server.check_repo(repo)
            raise missing
        try:
            found = made(self.message(self._server.commit(repo, commit_id)))
        except StoreError as error:
            if not is_missing(error.__cause__):
                raise
            self._server.check_repo(repo)
            raise missing from error
        # Asked for a commit of another repo, the server answers with an input of it.
        if found is None or found.ref != ref:
            raise missing
        return found

    def message(self, commit: Any, wait: Any = pfs.CommitState.COMMIT_STATE_UNKNOWN) -> Any:
        """The server's own words about a commit."""
        with server_errors():
            return self._server.pfs.inspect_commit(commit=commit, wait=wait)

    def finished(self, commit: Any) -> Any:
        """The same, once the server has worked the commit up."""
        return self.message(commit, pfs.CommitState.FINISHED)

    def every(self, repo: str) -> Iterator[Made]:
        """A repo's commits of ours, newest first."""
        # A stream that is refused makes the SDK write into the log, beside raising.
        self._server.check_repo(repo)
        with server_errors():
            for info in self._server.pfs.list_commit(repo=self._server.repo(repo)):
                found = made(info)
                if found is not None:
                    yield found

    def head(self, repo: str, branch: str) -> Made | None:
        """The newest commit of ours on a branch."""
        info = self.branch(repo, branch)
        for older in self._lineage(info.head) if info else ():
            found = made(older)
            if found is not None:
                return found
        return None

    def branch(self, repo: str, branch: str) -> Any | None:
        """The server's words about a branch; None for one that is not there."""
        message = self._server.branch(repo, branch)
        try:
            with server_errors():
                return self._server.pfs.inspect_branch(branch=message)
        except StoreError as error:
            if not is_missing(error.__cause__):
                raise
        self._server.check_repo(repo)
        return None

    def told(self, found: Made) -> CommitInfo:
        """The commit as the port tells it."""
        info, description = found
        finished = moment(info.finished)
        started = description.started.astimezone(UTC)
        return CommitInfo(
            ref=found.ref,
            branch=description.branch,
            parent=self._parent(found),
            inputs=tuple(sorted(f"{one.repo.name}@{one.id}" for one in info.direct_provenance)),
            message=description.message,
            started=started,
            # The server's clock may be behind ours.
            finished=max(finished, started) if finished else started,
        )

    def reached(self, ref: str, *, up: bool) -> Iterator[Made]:
        """What a commit was made of, or what was made of it, nearest first."""
        self.one(ref)
        for info in self.reached_messages(ref, up=up):
            found = made(info)
            if found is not None:
                yield found

    def reached_messages(self, ref: str, *, up: bool) -> Iterator[Any]:
        """The same in the server's words, abandoned commits included."""
        calls = self._server.pfs
        walk = calls.walk_commit_provenance if up else calls.walk_commit_subvenance
        with server_errors():
            # Without a number the server stops at 10,000.
            yield from walk(start=[self._server.picker(*split_ref(ref))], max_commits=1 << 40)

    def position(self, repo: str, branch: str, lease: timedelta) -> Position:
        """Where the branch stands, after commits that dead writers left open are abandoned.

        Raises
        ------
        BranchBusy
            An open commit is younger than the lease: its writer may be alive.
        StoreDamaged
            The newest commit was put there by somebody else.
        """
        info = self.branch(repo, branch)
        if info is None:
            return Position(None, frozenset())
        # An open commit may keep a later one from being worked up: nothing waits before it ends.
        opened = [older for older in self._until_ours(info.head) if not moment(older.finishing)]
        for left_open in reversed(opened):
            self._abandon(left_open, f"{repo}@{branch}", lease)
        base = None
        for older in self._until_ours(info.head, wait=True):
            base = made(older)
            if base is None:
                self._refuse_strangers(older, f"{repo}@{branch}")
        provenance = frozenset((one.repo.name, one.name) for one in info.direct_provenance)
        return Position(base, provenance)

    def lies_on(self, info: Any, base: Made | None) -> bool:
        """Whether nothing of ours or of anybody's came between a new commit and its base."""
        for older in self._lineage(info.parent_commit):
            if base is not None and older.commit.id == base.info.commit.id:
                return True
            if moment(older.finishing) is None or (not older.error and not _is_automatic(older)):
                return False
        return base is None

    def abandon(self, commit: Any) -> None:
        """Finish a commit so that it shows nothing; one that somebody finished is left alone."""
        with suppress(CommitClosed), server_errors():
            self._server.pfs.finish_commit(commit=commit, error=ABANDONED)

    def _abandon(self, info: Any, branch: str, lease: timedelta) -> None:
        opened = moment(info.started)
        if opened is not None and datetime.now(UTC) - opened < lease:
            raise BranchBusy(
                f"another writer is publishing to {branch} (commit {info.commit.id});"
                f" try again in {lease.total_seconds():.0f} s"
            )
        self.abandon(info.commit)

    def _refuse_strangers(self, info: Any, branch: str) -> None:
        if not info.error and not _is_automatic(info):
            raise StoreDamaged(
                f"{info.commit.repo.name}@{info.commit.id} on {branch} was not committed by this"
                " platform and has no manifest: move the branch back to the commit before it"
            )

    def _lineage(self, commit: Any, *, wait: bool = False) -> Iterator[Any]:
        """A commit and those before it; ``wait`` for those that are being worked up."""
        while commit.id:
            info = self.message(commit)
            if wait and moment(info.finishing) is not None and moment(info.finished) is None:
                info = self.finished(commit)
            yield info
            commit = info.parent_commit

    def _until_ours(self, commit: Any, *, wait: bool = False) -> Iterator[Any]:
        """A commit and those before it, up to the first of ours."""
        for info in self._lineage(commit, wait=wait):
            yield info
            if made(info) is not None:
                return

    def _parent(self, found: Made) -> str | None:
        """The commit of ours before it; abandoned ones between them do not count."""
        parent = found.info.parent_commit
        if parent.id and f"{parent.repo.name}@{parent.id}" == found.description.parent:
            return found.description.parent
        for older in self._lineage(parent):
            before = made(older)
            if before is not None:
                return before.ref
        return None


def _is_automatic(info: Any) -> bool:
    """Whether the server made the commit itself, to give a branch an empty head."""
    return bool(info.origin.kind == pfs.OriginKind.AUTO) and not info.description
