"""The data store on a Pachyderm server: PFS only, lineage by pinned input branches.

``pachyderm_server.py`` speaks to the server; ``pachyderm_commits.py`` says which commits are
ours and where a branch stands; ``pachyderm_manifest.py`` keeps the SHA-256s;
``pachyderm_contents.py`` reads files back; ``pachyderm_writer.py`` is the open commit,
``pachyderm_publish.py`` makes it visible, ``pachyderm_purge.py`` takes commits away. Here
they meet in the port's verbs. ``docs/decisions/0010-pachyderm.md`` says why it is so.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from recsys.errors import (
    BranchBusy,
    CommitClosed,
    CommitNotFound,
    FileMissing,
    StoreDamaged,
)
from recsys.provenance import pachyderm_manifest as manifest
from recsys.provenance.addresses import check_inputs, check_path, check_prefix, split_ref
from recsys.provenance.changes import changes
from recsys.provenance.locks import FileLock
from recsys.provenance.pachyderm_commits import Commits, Description, Made, made
from recsys.provenance.pachyderm_contents import Contents
from recsys.provenance.pachyderm_manifest import Entry
from recsys.provenance.pachyderm_publish import Publisher, Target
from recsys.provenance.pachyderm_purge import OUTSIDE, Removal, kept_apart, message_of_purged
from recsys.provenance.pachyderm_server import Server, already_there, server_errors
from recsys.provenance.pachyderm_writer import PachydermWriter, Spool
from recsys.provenance.packs import disk_errors
from recsys.provenance.port import Change, CommitInfo, Damage, FileInfo, Purged, Writer

_LEASE = timedelta(seconds=60)
_AFFECTED_SHOWN = 3
_SHA256 = re.compile(r"[0-9a-f]{64}")


class PachydermStore:
    """`DataStore` on one project of a Pachyderm server.

    Parameters
    ----------
    server
        The connection.
    scratch
        A folder for spooled contents and for the locks between this machine's writers.
    lease
        How old an open commit must be before its writer counts as dead. Upload comes before
        a commit is opened, so a living writer holds one open for moments.
    """

    def __init__(self, server: Server, scratch: Path, lease: timedelta = _LEASE) -> None:
        self._server = server
        self._scratch = scratch / "pachyderm"
        self._lease = lease
        self._commits = Commits(server)
        self._contents = Contents(server, self._commits, self._scratch)
        self._publisher = Publisher(server, self._commits)
        self._removal = Removal(server, self._commits, self._contents)

    def ensure_repo(self, repo: str, description: str = "") -> None:
        """Create the repo unless it is there."""
        with server_errors(), already_there():
            self._server.pfs.create_repo(repo=self._server.repo(repo), description=description)

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
        """Open a commit; see `DataStore.commit`. A busy branch is refused at once."""
        started, process = datetime.now(UTC), os.getpid()
        self._commits.branch(repo, branch)  # an unknown repo leaves no lock file behind
        with self._only_writer(repo, branch):
            position = self._commits.position(repo, branch, self._lease)
            self._check_inputs(repo, branch, position.base, inputs)
            base = None if position.base is None else self._contents.manifest(position.base.ref)
            with Spool(self._scratch) as spool:
                writer = PachydermWriter(base, spool, replace=replace)
                try:
                    yield writer
                finally:
                    writer.close()
                if os.getpid() != process:
                    raise CommitClosed(f"only process {process}, which opened it, can commit")
                result = writer.result()
                description = Description(
                    branch=branch,
                    message=message,
                    started=started,
                    parent=None if position.base is None else position.base.ref,
                    files=len(result),
                    manifest=manifest.digest(result.items()),
                )
                file_set = self._publisher.upload(writer.modifications(result))
                target = Target(repo, branch, inputs, position)
                writer.mark_published(self._publisher.publish(target, file_set, description))

    def head(self, repo: str, branch: str = "master") -> CommitInfo | None:
        """The newest finished commit of the branch, or None."""
        found = self._commits.head(repo, branch)
        return None if found is None else self._commits.told(found)

    def inspect(self, ref: str) -> CommitInfo:
        """One commit."""
        return self._commits.told(self._commits.one(ref))

    def commits(self, repo: str, limit: int | None = None) -> Iterator[CommitInfo]:
        """The repo's commits on every branch, newest first."""
        most = None if limit is None else max(limit, 0)
        return map(self._commits.told, islice(self._commits.every(repo), most))

    def files(self, ref: str, prefix: str = "/") -> Iterator[FileInfo]:
        """The commit's files whose path starts with the prefix, sorted by path."""
        return (
            FileInfo(path, entry.size_bytes, entry.sha256.hex())
            for path, entry in self._chosen(ref, prefix).items()
        )

    def open(self, ref: str, path: str) -> BinaryIO:
        """A file's bytes, checked, as a seekable stream; the caller closes it."""
        entry = self._contents.manifest(ref).get(check_path(path))
        if entry is None:
            raise FileMissing(f"{ref} holds no file {path}")
        return self._contents.open(ref, path, entry)

    def materialise(self, ref: str, dest: Path, prefix: str = "/") -> int:
        """Copy files under ``dest``, keeping their paths; returns how many.

        Every file is checked, and replaces in one step what was there.
        """
        missing = dict(self._chosen(ref, prefix))
        count = len(missing)
        dest.mkdir(parents=True, exist_ok=True)
        unfinished = dest / f".{secrets.token_hex(8)}.unfinished"
        try:
            for path, entry, source in self._contents.each(ref, dict(missing)):
                with unfinished.open("wb") as target:
                    self._contents.copy(ref, path, entry, source, target)
                (dest / path[1:]).parent.mkdir(parents=True, exist_ok=True)
                unfinished.replace(dest / path[1:])
                del missing[path]
        finally:
            unfinished.unlink(missing_ok=True)
        if missing:
            raise StoreDamaged(f"{ref} lacks {len(missing)} files of its manifest: {min(missing)}")
        return count

    def diff(self, new: str, old: str | None = None) -> Iterator[Change]:
        """What changed from ``old`` (by default the parent of ``new``), sorted by path."""
        if old is None:
            old = self.inspect(new).parent
        elif split_ref(old)[0] != split_ref(new)[0]:
            raise CommitNotFound(
                f"{old} is not a commit of the repo of {new}; diff within one repo"
            )
        before = self._contents.manifest(old) if old else {}
        return changes(before, self._contents.manifest(new))

    def upstream(self, ref: str) -> Iterator[CommitInfo]:
        """Every commit that this one was made of, directly or not, nearest first."""
        return map(self._commits.told, self._commits.reached(ref, up=True))

    def downstream(self, ref: str) -> Iterator[CommitInfo]:
        """Every commit that was made of this one, directly or not, nearest first."""
        return map(self._commits.told, self._commits.reached(ref, up=False))

    def holding(self, repo: str, sha256: str) -> Iterator[tuple[CommitInfo, str]]:
        """The repo's commits with a file of this SHA-256 (hex), newest first, and its path.

        What was purged is not found: its commits are gone.
        """
        wanted = {bytes.fromhex(sha256)} if _SHA256.fullmatch(sha256) else set()
        for found in self._commits.every(repo):
            for path in self._contents.holding(found, wanted):
                yield self._commits.told(found), path

    def purge(self, files: Iterable[tuple[str, str]], why: str) -> Purged:
        """Remove the commits that hold this content, and all that was made of them.

        A branch whose head holds it, and is made of nothing that goes, gets a new head without
        it first. Interrupted, it can be called again for what is still there.

        Raises
        ------
        BranchBusy
            A branch that needs a new head is being written; nothing was removed.
        """
        contents = self._removal.named(files)
        if not contents:
            return Purged(0, (), ())
        holders = self._removal.holders(contents)
        doomed = self._removal.with_descendants(holders)
        for head in self._heads(holders):
            if kept_apart(head, doomed):
                self._commit_without(head, set(contents), why)
        ours = {found.ref for found in filter(None, map(made, doomed))}
        gone, remains = self._removal.remove(doomed)
        self._contents.manifest.cache_clear()
        commits = tuple(ref for ref in gone if ref in ours)
        return Purged(len(contents), commits, (*remains, OUTSIDE))

    def verify(self) -> list[Damage]:
        """Read every content once, in the newest commit that holds it, and hash it again."""
        found: list[Damage] = []
        seen: set[bytes] = set()
        for repo in self._server.repos():
            for commit in self._commits.every(repo):
                found += self._damage(commit.ref, seen)
        return found

    def _heads(self, holders: Mapping[str, Made]) -> Iterator[Made]:
        branches = {(split_ref(ref)[0], one.description.branch) for ref, one in holders.items()}
        for repo, branch in sorted(branches):
            head = self._commits.head(repo, branch)
            if head is not None and head.ref in holders:
                yield head

    def _commit_without(self, head: Made, contents: set[bytes], why: str) -> None:
        told = self._commits.told(head)
        entries = self._contents.manifest(head.ref)
        doomed = [path for path, entry in entries.items() if entry.sha256 in contents]
        with self.commit(
            split_ref(head.ref)[0],
            inputs=told.inputs,
            branch=told.branch,
            message=message_of_purged(told.message, why),
        ) as writer:
            for path in doomed:
                writer.delete(path)

    def _damage(self, ref: str, seen: set[bytes]) -> Iterator[Damage]:
        try:
            entries = self._contents.manifest(ref)
        except StoreDamaged as error:
            yield Damage(ref, str(error))
            return
        unread = {path: entry for path, entry in entries.items() if entry.sha256 not in seen}
        damaged = set(unread)
        try:
            for path, entry, source in self._contents.each(ref, unread):
                if self._contents.is_whole(entry, source):
                    damaged.discard(path)
        except FileMissing:
            pass  # the files that could not be read are told below
        seen.update(entry.sha256 for path, entry in unread.items() if path not in damaged)
        if damaged:
            problem = f"{len(damaged)} of {len(unread)} files are missing or changed"
            affected = tuple(f"{ref}:{path}" for path in sorted(damaged)[:_AFFECTED_SHOWN])
            yield Damage(ref, problem, affected)

    def _chosen(self, ref: str, prefix: str) -> dict[str, Entry]:
        check_prefix(prefix)
        entries = self._contents.manifest(ref)
        return {path: entry for path, entry in entries.items() if path.startswith(prefix)}

    @contextmanager
    def _only_writer(self, repo: str, branch: str) -> Iterator[None]:
        """Keep this machine's other writers away; those elsewhere are found when publishing."""
        place = f"{self._server.place}-{repo}@{branch}.lock"
        with disk_errors():
            (self._scratch / "locks").mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._scratch / "locks" / place)
        with lock:
            if not lock.try_exclusive():
                raise BranchBusy(f"another writer holds {repo}@{branch}; try again when it is done")
            yield

    def _check_inputs(
        self, repo: str, branch: str, base: Made | None, inputs: Sequence[str]
    ) -> None:
        settled = None
        if base is not None:
            settled = sorted(one.repo.name for one in base.info.direct_provenance)
        check_inputs(repo, branch, inputs, settled)
        for ref in inputs:
            self._commits.one(ref)
