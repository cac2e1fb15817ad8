"""The open commit on Pachyderm: kept on this machine until it is whole, then sent in one stream.

Nothing reaches the server before the block ends, so an exception inside it costs nothing,
a put that failed half way leaves no trace, and only what changed is sent.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

from pachyderm_sdk.api import pfs

from recsys.errors import CommitClosed
from recsys.provenance import pachyderm_manifest as manifest
from recsys.provenance.addresses import check_path
from recsys.provenance.pachyderm_manifest import Entry
from recsys.provenance.packs import disk_errors
from recsys.provenance.writer import Draft

_CHUNK_BYTES = 1 << 20


class _Piece(NamedTuple):
    offset: int
    size_bytes: int


class Spool:
    """Contents by their SHA-256, in one unnamed file that goes when the process does."""

    def __init__(self, folder: Path) -> None:
        with disk_errors():
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close()
        self._pieces: dict[bytes, _Piece] = {}
        self._end = 0

    def keep(self, stream: BinaryIO, inherited: bytes | None) -> Entry:
        """Read a stream to its end; content that is here, or inherited, is not kept again."""
        digest, end = hashlib.sha256(), self._end
        self._file.seek(end)
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            with disk_errors():
                self._file.write(chunk)
            end += len(chunk)
        entry = Entry(digest.digest(), end - self._end)
        if entry.sha256 not in self._pieces and entry.sha256 != inherited:
            self._pieces[entry.sha256] = _Piece(self._end, entry.size_bytes)
            self._end = end  # what lies behind the end is written over by the next content
        return entry

    def chunks(self, sha256: bytes) -> Iterator[bytes]:
        """The content, in pieces of bounded size."""
        piece = self._pieces[sha256]
        at, end = piece.offset, piece.offset + piece.size_bytes
        while at < end:
            self._file.seek(at)
            chunk = self._file.read(min(_CHUNK_BYTES, end - at))
            yield chunk
            at += len(chunk)

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PachydermWriter:
    """What is put and deleted; ``base`` is what the branch's head holds, None without one."""

    def __init__(self, base: Mapping[str, Entry] | None, spool: Spool, *, replace: bool) -> None:
        self._base = base or {}
        self._old_shards = {} if base is None else manifest.shards(base)
        self._spool = spool
        self._draft = Draft(self._base, replace=replace)
        self._sizes = {entry.sha256: entry.size_bytes for entry in self._base.values()}
        self._ref: str | None = None
        self._open = True

    @property
    def ref(self) -> str:
        """The commit's reference once it is published; raises `CommitClosed` before."""
        if self._ref is None:
            raise CommitClosed("the commit has no reference: it is still open, or was abandoned")
        return self._ref

    def put(self, path: str, content: bytes | BinaryIO | Path) -> None:
        """Add or replace one file. Streams are read in bounded memory."""
        self._check_open(path)
        self._draft.check_place(check_path(path))
        if isinstance(content, Path):
            with content.open("rb") as stream:
                entry = self._keep(path, stream)
        elif isinstance(content, bytes | bytearray | memoryview):
            entry = self._keep(path, io.BytesIO(content))
        else:
            entry = self._keep(path, content)
        self._sizes[entry.sha256] = entry.size_bytes
        self._draft.put(path, entry.sha256)

    def delete(self, path: str) -> None:
        """Remove one file that the parent or this commit holds (`FileMissing` otherwise)."""
        self._check_open(path)
        self._draft.delete(check_path(path))

    def close(self) -> None:
        """Take nothing more."""
        self._open = False

    def mark_published(self, ref: str) -> None:
        """Let the reference be seen."""
        self._ref = ref

    def result(self) -> dict[str, Entry]:
        """Every file of the commit, sorted by path."""
        return {
            path: Entry(sha256, self._sizes[sha256])
            for path, sha256 in sorted(self._draft.result.items())
        }

    def modifications(self, result: Mapping[str, Entry]) -> Iterator[Any]:
        """The one stream that makes the base's files into the result's, manifest included.

        Adding to a path that is there would append, so it is deleted first.
        """
        shards, old_shards = manifest.shards(result), self._old_shards
        for path in [*(self._base.keys() - result.keys()), *(old_shards.keys() - shards.keys())]:
            yield _delete(path)
        for path, content in shards.items():
            if old_shards.get(path) != content:
                yield from _add(path, _sliced(content), there=path in old_shards)
        for path, entry in result.items():
            if self._base.get(path) != entry:
                yield from _add(path, self._spool.chunks(entry.sha256), there=path in self._base)

    def _keep(self, path: str, stream: BinaryIO) -> Entry:
        inherited = self._base.get(path)
        return self._spool.keep(stream, inherited.sha256 if inherited else None)

    def _check_open(self, path: str) -> None:
        if not self._open:
            raise CommitClosed(f"{path[:120]}: the commit is closed; open another one")


class AddFile:
    """``ModifyFileRequest(add_file=AddFile(path, raw))``, encoded here.

    The SDK takes half a millisecond for each, which is most of the time of a commit.
    """

    def __init__(self, path: str, raw: bytes) -> None:
        self._path = path
        self._raw = raw

    def __bytes__(self) -> bytes:
        value = _field(1, self._raw) if self._raw else b""
        return _field(2, _field(1, self._path.encode()) + _field(3, value))


def _field(number: int, value: bytes) -> bytes:
    """A field of bytes in protobuf's encoding: its tag, its length, itself."""
    length, size = bytearray(), len(value)
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return bytes([number << 3 | 2, *length]) + value


def _sliced(content: bytes) -> Iterator[bytes]:
    return (content[at : at + _CHUNK_BYTES] for at in range(0, len(content), _CHUNK_BYTES))


def _delete(path: str) -> Any:
    return pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path=path))


def _add(path: str, chunks: Iterator[bytes], *, there: bool) -> Iterator[Any]:
    if there:
        yield _delete(path)
    empty = True
    for chunk in chunks:
        empty = False
        yield AddFile(path, chunk)
    if empty:
        yield AddFile(path, b"")
