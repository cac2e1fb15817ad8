"""The data store that needs no server: one folder, several processes, nothing lost.

``packs.py`` keeps the bytes, ``catalogue.py`` says which commit holds them, ``writer.py``
is the open commit, ``locks.py`` keeps writers apart; here they meet in the port's verbs.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from recsys.artifacts.files import sync_folder
from recsys.errors import (
    CommitClosed,
    CommitNotFound,
    FileMissing,
    RepoNotFound,
    StoreDamaged,
)
from recsys.provenance.addresses import check_inputs, check_path, check_prefix, split_ref
from recsys.provenance.catalogue import (
    CATALOGUE_FILE,
    Catalogue,
)
from recsys.provenance.changes import changes
from recsys.provenance.compaction import Collected, collected, file_uses, rearrange
from recsys.provenance.database import bring_up_to_date, create
from recsys.provenance.locks import FileLock
from recsys.provenance.packs import (
    FOLDERS,
    NO_FILE,
    Blob,
    PackReader,
    PackWriter,
    disk_errors,
)
from recsys.provenance.port import Change, CommitInfo, Damage, FileInfo, Purged, Writer
from recsys.provenance.publishing import Branch, Publication
from recsys.provenance.reading import ContentReader
from recsys.provenance.turns import Turns
from recsys.provenance.verification import verify
from recsys.provenance.writer import Draft, EmbeddedWriter

_MANIFESTS_KEPT = 4
_OUTSIDE = "copies outside the store: releases, materialised folders, backups"


class EmbeddedStore:
    """`DataStore` in a folder of a local file system, created when it is not there.

    Safe for threads, forked tasks and several processes at once. Reading takes no lock.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._catalogue = Catalogue(root / CATALOGUE_FILE)
        self._packs = PackReader(root, self._catalogue.files)
        self._contents = ContentReader(self._catalogue, self._packs)
        self._turns = Turns(root, self._catalogue)
        # Commits never change, so a manifest once read stays true.
        self._manifest = lru_cache(_MANIFESTS_KEPT)(self._catalogue.manifest)
        if not (root / CATALOGUE_FILE).is_file():
            _create(root)
        bring_up_to_date(root / CATALOGUE_FILE)
        with self._catalogue.reading():
            pass  # another format is refused before anything is asked

    def ensure_repo(self, repo: str, description: str = "") -> None:
        """Create the repo unless it is there."""
        self._catalogue.ensure_repo(repo, description)

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
        self._catalogue.branch(repo, branch)  # an unknown repo leaves no lock file behind
        with self._turns.only_writer(repo, branch), self._turns.beside_writers():
            target = self._catalogue.branch(repo, branch)
            input_seqs = self._check_inputs(repo, target, inputs)
            with self._writer(repo, target, replace) as (commit_id, writer):
                yield writer
                writer.close()
                if os.getpid() != process:
                    raise CommitClosed(f"only process {process}, which opened it, can commit")
                result = writer.draft.result
                changes = writer.draft.changes_to_parent(result)
                blobs = writer.needed_blobs(result)
                packs = writer.packs.publish({blob.file for blob in blobs.values()})
                self._catalogue.publish(
                    Publication(
                        commit_id=commit_id,
                        branch=target,
                        input_seqs=input_seqs,
                        message=message,
                        started=started,
                        packs=packs,
                        blobs=blobs,
                        relied_on=writer.relied_on,
                        changes=changes,
                        result=result,
                    )
                )
                writer.mark_published()

    def head(self, repo: str, branch: str = "master") -> CommitInfo | None:
        """The newest finished commit of the branch, or None."""
        return self._catalogue.head(repo, branch)

    def inspect(self, ref: str) -> CommitInfo:
        """One commit."""
        return self._catalogue.commit(ref)

    def commits(self, repo: str, limit: int | None = None) -> Iterator[CommitInfo]:
        """The repo's commits on every branch, newest first."""
        return iter(self._catalogue.commits(repo, limit))

    def files(self, ref: str, prefix: str = "/") -> Iterator[FileInfo]:
        """The commit's files whose path starts with the prefix, sorted by path."""
        check_prefix(prefix)
        manifest = self._manifest(ref)
        return (
            FileInfo(path, blob.size_bytes, blob.sha256.hex())
            for path, blob in manifest.items()
            if path.startswith(prefix)
        )

    def open(self, ref: str, path: str) -> BinaryIO:
        """A file's bytes as a seekable stream; the caller closes it.

        Up to `PACKED_MAX_BYTES` the content is checked (`StoreDamaged`); a larger file is
        a file on disk, which the caller may map.
        """
        blob = self._manifest(ref).get(check_path(path))
        if blob is None:
            raise FileMissing(f"{ref} holds no file {path}")
        return self._contents.open(f"{ref}:{path}", blob)

    def materialise(self, ref: str, dest: Path, prefix: str = "/") -> int:
        """Copy files under ``dest``, keeping their paths; returns how many.

        Every file is checked, and replaces in one step what was there.
        """
        check_prefix(prefix)
        chosen = [item for item in self._manifest(ref).items() if item[0].startswith(prefix)]
        dest.mkdir(parents=True, exist_ok=True)
        unfinished = dest / f".{secrets.token_hex(8)}.unfinished"
        try:
            for path, blob in chosen:
                self._contents.copy(f"{ref}:{path}", blob, unfinished)
                _move(unfinished, dest / path[1:])
        finally:
            unfinished.unlink(missing_ok=True)
        return len(chosen)

    def diff(self, new: str, old: str | None = None) -> Iterator[Change]:
        """What changed from ``old`` (by default the parent of ``new``), sorted by path."""
        if old is None:
            old = self.inspect(new).parent
        elif split_ref(old)[0] != split_ref(new)[0]:
            raise CommitNotFound(
                f"{old} is not a commit of the repo of {new}; diff within one repo"
            )
        before, after = self._manifest(old) if old else {}, self._manifest(new)
        return changes(before, after)

    def upstream(self, ref: str) -> Iterator[CommitInfo]:
        """Every commit that this one was made of, directly or not, nearest first."""
        return iter(self._catalogue.upstream(ref))

    def downstream(self, ref: str) -> Iterator[CommitInfo]:
        """Every commit that was made of this one, directly or not, nearest first."""
        return iter(self._catalogue.downstream(ref))

    def holding(self, repo: str, sha256: str) -> Iterator[tuple[CommitInfo, str]]:
        """The repo's commits with a file of this SHA-256 (hex), newest first, and its path."""
        try:
            digest = bytes.fromhex(sha256)
        except ValueError:
            digest = b""  # no file has it
        return iter(self._catalogue.holding(repo, digest))

    def purge(self, files: Iterable[tuple[str, str]], why: str) -> Purged:
        """Remove the content of these files, given as (ref, path), from all history.

        Files of the store that held it are written anew without it and overwritten before
        they go. Waits for open commits and lets none begin meanwhile (`BranchBusy` when they
        take too long). Killed in the middle, it has removed all or nothing, and the next
        writer clears up.
        """
        with self._turns.without_writers():
            stored = [blob.sha256 for blob in self._named(files) if blob.file != NO_FILE]
            doomed = set(stored)
            uses = file_uses(self._root, self._catalogue, doomed)
            holding_dead = [use for use in uses if use.holds_dead]
            rearrange(self._root, self._catalogue, doomed, why, holding_dead, overwrite=True)
            self._forget_places()
        return Purged(len(stored), (), (_OUTSIDE,))

    def gc(self, keep: Callable[[], Iterable[str]], *, dry_run: bool = False) -> Collected:
        """Remove the content that only other commits hold than those that ``keep`` names.

        Kept too are what these were made of, and each branch's newest commit; every commit,
        path and arrow stays. ``keep`` is asked when no writer is alive, so that no commit
        can come unseen. Files are written anew where that frees enough. Waits and crashes as
        `purge` does; ``dry_run`` only tells.
        """
        with nullcontext() if dry_run else self._turns.without_writers():
            doomed = self._catalogue.unneeded(keep())
            uses = list(file_uses(self._root, self._catalogue, doomed))
            rewritten = [use for use in uses if use.is_worth_rewriting]
            if not dry_run and (doomed or rewritten):
                why = f"collected on {datetime.now(UTC):%Y-%m-%d}"
                rearrange(self._root, self._catalogue, doomed, why, rewritten, overwrite=False)
                self._forget_places()
        return collected(len(doomed), uses, rewritten)

    def repos(self) -> list[str]:
        """The names of all repos, sorted."""
        return self._catalogue.repos()

    def blob_count(self) -> int:
        """How many contents `verify` reads."""
        return self._catalogue.blob_count()

    def verify(self, on_progress: Callable[[int], None] = lambda _: None) -> list[Damage]:
        """Check the catalogue and re-hash every blob; what is damaged, by file of the store.

        ``on_progress`` is told how many blobs were read since it was told last.
        """
        return verify(self._catalogue, self._contents, on_progress)

    @contextmanager
    def _writer(
        self, repo: str, target: Branch, replace: bool
    ) -> Iterator[tuple[str, EmbeddedWriter]]:
        commit_id, process = secrets.token_hex(16), os.getpid()
        draft = Draft(self._catalogue.head_manifest(target), replace=replace)
        packs = PackWriter(self._root, commit_id)
        writer = EmbeddedWriter(f"{repo}@{commit_id}", draft, packs, self._catalogue.stored())
        try:
            yield commit_id, writer
        finally:
            writer.close()
            if os.getpid() == process:  # a forked child leaves its parent's files alone
                packs.discard()

    def _named(self, files: Iterable[tuple[str, str]]) -> Iterator[Blob]:
        """The blobs of files, given as (ref, path); what is not there is passed over."""
        for ref, path in set(files):
            with suppress(CommitNotFound, RepoNotFound):
                blob = self._catalogue.file(ref, check_path(path))
                if blob is not None:
                    yield blob

    def _forget_places(self) -> None:
        self._manifest.cache_clear()
        self._packs.close()

    def _check_inputs(self, repo: str, target: Branch, inputs: Sequence[str]) -> dict[str, int]:
        """The inputs' numbers in the catalogue, by repo."""
        repos = check_inputs(repo, target.name, inputs, target.input_repos)
        return {name: self._catalogue.seq(ref) for name, ref in zip(repos, inputs, strict=True)}


def _create(root: Path) -> None:
    """Make the folders and the catalogue, which appears whole or not at all."""
    with disk_errors():
        for folder in ("locks", *FOLDERS):
            (root / folder).mkdir(parents=True, exist_ok=True)
        with FileLock(root / "locks" / "create.lock") as lock:
            lock.wait_exclusive()
            if (root / CATALOGUE_FILE).is_file():
                return  # another process was faster
            if any((root / "packs").iterdir()) or any((root / "large").iterdir()):
                raise StoreDamaged(
                    f"{root} holds packs and no {CATALOGUE_FILE}: restore it from a copy,"
                    " or move the folder away to begin anew"
                )
            for leftover in root.glob(f"new-{CATALOGUE_FILE}*"):
                leftover.unlink()
            create(root / f"new-{CATALOGUE_FILE}")
            (root / f"new-{CATALOGUE_FILE}").replace(root / CATALOGUE_FILE)
            sync_folder(root)


def _move(source: Path, target: Path) -> None:
    try:
        source.replace(target)
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
