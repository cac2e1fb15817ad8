"""The port to data provenance: repos of immutable commits, each with its inputs.

Shaped after Pachyderm's PFS so that both adapters honour it exactly; one contract suite
(``tests/contracts``) runs against every adapter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Literal, Protocol


@dataclass(frozen=True)
class CommitInfo:
    """One finished commit. ``ref`` is ``repo@id``; ``inputs`` are refs; times are UTC.

    ``parent`` is the ref of the commit before it on its branch, or None.
    """

    ref: str
    branch: str
    parent: str | None
    inputs: tuple[str, ...]
    message: str
    started: datetime
    finished: datetime


@dataclass(frozen=True)
class FileInfo:
    """One file of a commit; ``path`` starts with a slash."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Change:
    """One difference between two commits of a repo."""

    path: str
    change: Literal["added", "changed", "removed"]


class Writer(Protocol):
    """The open commit inside ``with store.commit(…) as writer``."""

    @property
    def ref(self) -> str:
        """The commit's reference once it is published; raises `CommitClosed` before."""

    def put(self, path: str, content: bytes | BinaryIO | Path) -> None:
        """Add or replace one file. Streams are read in bounded memory."""

    def delete(self, path: str) -> None:
        """Remove one file that the parent or this commit holds (`FileMissing` otherwise)."""


class DataStore(Protocol):
    """Versioned repos with exact provenance.

    A branch is a source (no inputs) or derived (the same input repos every time). An
    exception inside ``commit`` publishes nothing. Raises the `StoreError` tree only.
    """

    def ensure_repo(self, repo: str, description: str = "") -> None:
        """Create the repo unless it is there."""

    def commit(
        self,
        repo: str,
        *,
        inputs: Sequence[str] = (),
        message: str = "",
        branch: str = "master",
        replace: bool = False,
    ) -> AbstractContextManager[Writer]:
        """Open a commit on top of the branch's head; it is published when the block ends.

        ``replace`` starts from no files instead of the parent's. ``inputs`` are the
        commits that the content was made of. Writers of one branch exclude each other:
        `BranchBusy`.
        """

    def head(self, repo: str, branch: str = "master") -> CommitInfo | None:
        """The newest finished commit of the branch, or None."""

    def inspect(self, ref: str) -> CommitInfo:
        """One commit."""

    def commits(self, repo: str, limit: int | None = None) -> Iterator[CommitInfo]:
        """The repo's commits on every branch, newest first."""

    def files(self, ref: str, prefix: str = "/") -> Iterator[FileInfo]:
        """The commit's files whose path starts with the prefix, sorted by path."""

    def open(self, ref: str, path: str) -> BinaryIO:
        """A file's bytes as a seekable stream; the caller closes it."""

    def materialise(self, ref: str, dest: Path, prefix: str = "/") -> int:
        """Copy files under ``dest``, keeping their paths; returns how many."""

    def diff(self, new: str, old: str | None = None) -> Iterator[Change]:
        """What changed from ``old`` (by default the parent of ``new``), sorted by path."""

    def upstream(self, ref: str) -> Iterator[CommitInfo]:
        """Every commit that this one was made of, directly or not, nearest first."""

    def downstream(self, ref: str) -> Iterator[CommitInfo]:
        """Every commit that was made of this one, directly or not, nearest first."""
