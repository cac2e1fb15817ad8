"""Reading files back from Pachyderm, each checked against its SHA-256."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, BinaryIO

from recsys.errors import FileMissing, StoreDamaged
from recsys.provenance import pachyderm_manifest as manifest
from recsys.provenance.addresses import folders_of, split_ref
from recsys.provenance.pachyderm_commits import Commits, Made
from recsys.provenance.pachyderm_manifest import Entry
from recsys.provenance.pachyderm_server import Download, Server
from recsys.provenance.packs import disk_errors

_MANIFESTS_KEPT = 4
_IN_MEMORY_MAX_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20
# So many files and fewer are asked for one by one; more come as one archive of their folder.
_SINGLY_MAX_FILES = 16


class Contents:
    """Manifests and files of commits; ``folder`` is where larger files are kept while open."""

    def __init__(self, server: Server, commits: Commits, folder: Path) -> None:
        self._server = server
        self._commits = commits
        self._folder = folder
        # Commits never change, so a manifest once read stays true.
        self.manifest = lru_cache(_MANIFESTS_KEPT)(self._manifest)

    def holding(self, found: Made, wanted: Collection[bytes]) -> list[str]:
        """The paths of a commit's files with one of these contents; reads no other shards."""
        sharded = manifest.is_sharded(found.description.files)
        paths: list[str] = []
        for shard in sorted({manifest.shard_path(sha256, sharded) for sha256 in wanted}):
            entries = manifest.read_shard(found.ref, self._download(found.ref, shard).read())
            paths += [path for path, entry in entries.items() if entry.sha256 in wanted]
        return sorted(paths)

    def open(self, ref: str, path: str, entry: Entry) -> BinaryIO:
        """A file as a seekable stream, on disk when it is large."""
        target: BinaryIO = io.BytesIO()
        if entry.size_bytes > _IN_MEMORY_MAX_BYTES:
            with disk_errors():
                self._folder.mkdir(parents=True, exist_ok=True)
                target = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - the caller's
        try:
            self.copy(ref, path, entry, self._download(ref, path), target)
        except BaseException:
            target.close()
            raise
        target.seek(0)
        return target

    def copy(self, ref: str, path: str, entry: Entry, source: IO[bytes], target: IO[bytes]) -> None:
        """Copy a file in bounded memory; `StoreDamaged` if its bytes are not the entry's."""
        if not self.is_whole(entry, source, target):
            raise StoreDamaged(
                f"{ref}:{path} does not have the {entry.size_bytes} bytes of SHA-256"
                f" {entry.sha256.hex()[:12]}… of its manifest; restore Pachyderm from a copy"
            )

    def is_whole(self, entry: Entry, source: IO[bytes], target: IO[bytes] | None = None) -> bool:
        """Read a file to its end, perhaps into another, and say whether it is the entry's."""
        digest, size = hashlib.sha256(), 0
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            if target is not None:
                with disk_errors():
                    target.write(chunk)
        return (digest.digest(), size) == entry

    def each(
        self, ref: str, entries: Mapping[str, Entry]
    ) -> Iterator[tuple[str, Entry, IO[bytes]]]:
        """The files with their bytes, in any order; a stream lasts until the next is asked for."""
        if len(entries) <= _SINGLY_MAX_FILES:
            for path, entry in entries.items():
                yield path, entry, self._download(ref, path)
            return
        for path, stream in self._archive(ref, _common_folder(entries)):
            if path in entries:
                yield path, entries[path], stream

    def _manifest(self, ref: str) -> dict[str, Entry]:
        found = self._commits.one(ref)
        entries: dict[str, Entry] = {}
        try:
            for _, stream in self._archive(ref, manifest.FOLDER):
                entries.update(manifest.read_shard(ref, stream.read()))
        except FileMissing as error:
            raise StoreDamaged(f"{ref} holds no manifest: {error}") from error
        entries = dict(sorted(entries.items()))
        if manifest.digest(entries.items()) != found.description.manifest:
            raise StoreDamaged(f"{ref}: its manifest is not the one that its description names")
        return entries

    def _download(self, ref: str, path: str) -> IO[bytes]:
        """One file, to be read once; `FileMissing` comes at the first read."""
        if "\\" in path:  # a file is asked for by a glob, in which this would be an escape
            for found, stream in self._archive(ref, path):
                if found == path:
                    return stream
            raise FileMissing(f"{ref} holds no file {path}")
        messages = self._server.pfs.get_file(file=self._file(ref, path))
        return _reader(messages, FileMissing(f"{ref} holds no file {path}"))

    def _archive(self, ref: str, folder: str) -> Iterator[tuple[str, IO[bytes]]]:
        """The files in a folder of a commit, read from one stream, and perhaps some others."""
        messages = self._server.pfs.get_file_tar(file=self._file(ref, folder.replace("\\", "?")))
        source = _reader(messages, FileMissing(f"{ref} holds no folder {folder}"))
        try:
            with tarfile.open(fileobj=source, mode="r|") as archive:
                while (member := archive.next()) is not None:
                    # Or every member that was read would be remembered.
                    archive.members.clear()  # type: ignore[attr-defined]
                    stream = archive.extractfile(member)
                    if stream is not None:
                        yield f"/{member.name.lstrip('/')}", stream
        except tarfile.TarError as error:
            raise StoreDamaged(f"{ref}: the archive of {folder} is broken: {error}") from error

    def _file(self, ref: str, path: str) -> Any:
        return self._server.file(*split_ref(ref), path)


def _reader(messages: Iterator[Any], missing: FileMissing) -> io.BufferedReader:
    return io.BufferedReader(Download(messages, missing), _CHUNK_BYTES)


def _common_folder(paths: Mapping[str, Entry]) -> str:
    """The deepest folder that holds all of these files."""
    first, last = min(paths), max(paths)
    for folder in folders_of(first):
        if last.startswith(f"{folder}/"):
            return folder
    return "/"
