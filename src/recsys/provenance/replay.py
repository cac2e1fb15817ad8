"""A store for doing a recorded piece of work again: reads the real one, writes beside it.

Nothing is ever written to the real store. What a replay commits goes to a scratch store,
and what is newest in a repo is what was newest when the recorded commit was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from recsys.errors import RepoNotFound, StoreError
from recsys.provenance.addresses import split_ref
from recsys.provenance.port import Change, CommitInfo, Damage, DataStore, FileInfo, Purged, Writer


@dataclass(frozen=True)
class ReplayStore:
    """`DataStore` for one recorded commit ``at``, over the ``real`` and a ``scratch`` store.

    ``made`` holds the commits of this replay with their inputs; stores that replay one
    commit after another share it. Only those are listed by ``commits``, so that no work is
    remembered; ``head`` is the past's.
    """

    real: DataStore
    scratch: DataStore
    at: CommitInfo
    made: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def ensure_repo(self, repo: str, description: str = "") -> None:
        """Create the repo in the scratch store unless it is there."""
        self.scratch.ensure_repo(repo, description)

    @contextmanager
    def commit(
        self,
        repo: str,
        *,
        inputs: Sequence[str] = (),
        message: str = "",
        branch: str = "master",
        replace: bool = False,
    ) -> Iterator[Writer]:
        """Commit to the scratch store, which does not know the real inputs: kept here."""
        with self.scratch.commit(repo, message=message, branch=branch, replace=replace) as writer:
            yield writer
        self.made[writer.ref] = tuple(inputs)

    def head(self, repo: str, branch: str = "master") -> CommitInfo | None:
        """The newest commit of the branch when the recorded one was made.

        An input of the recorded commit is the head of its repo, whatever came between.
        """
        inputs = {split_ref(ref)[0]: ref for ref in self.at.inputs}
        if repo in inputs:
            return self.real.inspect(inputs[repo])
        if repo == split_ref(self.at.ref)[0]:
            return None if self.at.parent is None else self.real.inspect(self.at.parent)
        try:
            return next(
                (
                    commit
                    for commit in self.real.commits(repo)
                    if commit.branch == branch and commit.finished <= self.at.started
                ),
                None,
            )
        except RepoNotFound:
            return None

    def inspect(self, ref: str) -> CommitInfo:
        """One commit; of a replayed one with all its inputs."""
        commit = self._of(ref).inspect(ref)
        return replace(commit, inputs=self.made[ref]) if ref in self.made else commit

    def commits(self, repo: str, limit: int | None = None) -> Iterator[CommitInfo]:
        """The replay's own commits, newest first."""
        return (self.inspect(commit.ref) for commit in self.scratch.commits(repo, limit))

    def files(self, ref: str, prefix: str = "/") -> Iterator[FileInfo]:
        """See `DataStore.files`."""
        return self._of(ref).files(ref, prefix)

    def open(self, ref: str, path: str) -> BinaryIO:
        """See `DataStore.open`."""
        return self._of(ref).open(ref, path)

    def materialise(self, ref: str, dest: Path, prefix: str = "/") -> int:
        """See `DataStore.materialise`."""
        return self._of(ref).materialise(ref, dest, prefix)

    def diff(self, new: str, old: str | None = None) -> Iterator[Change]:
        """What changed, within one of the two stores."""
        return self._of(new).diff(new, old)

    def upstream(self, ref: str) -> Iterator[CommitInfo]:
        """Every commit that this one was made of, in either store, nearest first."""
        waiting, seen = [ref], {ref}
        while waiting:
            for source in self.inspect(waiting.pop(0)).inputs:
                if source not in seen:
                    seen.add(source)
                    waiting.append(source)
                    yield self.inspect(source)

    def downstream(self, ref: str) -> Iterator[CommitInfo]:
        """Every commit that was made of this one: the real store's, then the replay's."""
        if ref not in self.made:
            yield from self.real.downstream(ref)
        for made in self.made:
            if ref in (commit.ref for commit in self.upstream(made)):
                yield self.inspect(made)

    def holding(self, repo: str, sha256: str) -> Iterator[tuple[CommitInfo, str]]:
        """The replay's commits with a file of this SHA-256, then the real ones."""
        self.scratch.ensure_repo(repo)
        return chain(self.scratch.holding(repo, sha256), self.real.holding(repo, sha256))

    def purge(self, files: Iterable[tuple[str, str]], why: str) -> Purged:
        """Refused: a replay takes nothing away."""
        raise StoreError("a replay only reads what was; purge from the store itself")

    def verify(self) -> list[Damage]:
        """What is damaged in the scratch store."""
        return self.scratch.verify()

    def _of(self, ref: str) -> DataStore:
        return self.scratch if ref in self.made else self.real
