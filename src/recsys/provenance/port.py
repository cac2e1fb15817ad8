"""The port to data provenance: repos of immutable commits, each with its inputs.

Shaped after Pachyderm's PFS so that both adapters honour it exactly; one contract suite
(``tests/contracts``) runs against every adapter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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


@dataclass(frozen=True)
class Purged:
    """What `DataStore.purge` did.

    ``commits`` are refs of commits that are gone altogether (an adapter that cannot take a
    file out of a commit removes the commit, and all that was made of it); ``remains`` says in
    words what the store could not remove.
    """

    files: int
    commits: tuple[str, ...]
    remains: tuple[str, ...]


@dataclass(frozen=True)
class Damage:
    """One thing that `DataStore.verify` found wrong.

    ``file`` is where the store keeps it; ``affected`` names up to three files of commits
    (``repo@id:/path``) and is empty when more than files is damaged.
    """

    file: str
    problem: str
    affected: tuple[str, ...] = ()


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

    def holding(self, repo: str, sha256: str) -> Iterator[tuple[CommitInfo, str]]:
        """The repo's commits with a file of this SHA-256 (hex), newest first, and its path.

        Files whose content was purged or collected are found too: lineage stays.
        """

    def purge(self, files: Iterable[tuple[str, str]], why: str) -> Purged:
        """Remove the content of these files, given as (ref, path), from all history.

        The same content goes wherever else it stands in the store. Opening it afterwards
        raises `ContentRemoved`, which says ``why``; what is no longer there, or was purged
        before, is passed over.
        """

    def verify(self) -> list[Damage]:
        """Read everything again and compare it with its SHA-256."""
