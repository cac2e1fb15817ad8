"""The bytes: small blobs side by side in one pack per commit, a large one in its own file.

Files are written under ``staging/`` and renamed into ``packs/`` or ``large/`` when their
commit is published; a file that the catalogue does not list is nobody's and is swept when
no writer is alive. A file holds blobs and nothing else, so a large one can be mapped.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from recsys.artifacts.files import sync_folder
from recsys.errors import StoreDamaged, StoreUnavailable

PACKED_MAX_BYTES = 256 * 1024
NO_FILE = 0  # the catalogue counts files from 1
FOLDERS = ("staging", "packs", "large")

_CHUNK_BYTES = 1 << 20
_OPEN_FILES = 64
_RESTORE = "restore the file from a copy of the store"
_OURS = re.compile(r"[0-9a-f]{32}(-[0-9]+\.blob|\.pack)")


class Blob(NamedTuple):
    """Where a blob's bytes are.

    ``file`` is the catalogue's number of the pack or large file, `NO_FILE` if the content was
    removed.
    """

    sha256: bytes
    size_bytes: int
    file: int
    offset: int


class NewBlob(NamedTuple):
    """A blob that an open commit has written; ``file`` counts from 0 within the commit."""

    size_bytes: int
    file: int
    offset: int


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn the disk's refusals into `StoreUnavailable`."""
    try:
        yield
    except OSError as error:
        raise _disk_refused(error) from error


def _disk_refused(error: OSError) -> StoreUnavailable:
    return StoreUnavailable(f"the data store's disk refused: {error}")


class PackWriter:
    """The files of one open commit."""

    def __init__(self, root: Path, commit_id: str) -> None:
        self._root = root
        self._commit_id = commit_id
        self._names: list[str] = []
        self._pack: BinaryIO | None = None
        self._pack_number = 0
        self._pack_bytes = 0

    def append(self, data: bytes) -> NewBlob:
        """Add a small blob to the commit's pack."""
        try:  # `disk_errors` in short: this is done for every picture
            if self._pack is None:
                name = f"packs/{self._commit_id}.pack"
                self._pack_number, self._pack = self._create(name, buffering=_CHUNK_BYTES)
            self._pack.write(data)
        except OSError as error:
            raise _disk_refused(error) from error
        blob = NewBlob(len(data), self._pack_number, self._pack_bytes)
        self._pack_bytes += len(data)
        return blob

    def write_large(self, chunks: Iterable[bytes]) -> tuple[bytes, NewBlob]:
        """Write a file of its own; returns its SHA-256 first, known only at the end."""
        with disk_errors():
            name = f"large/{self._commit_id}-{len(self._names)}.blob"
            number, target = self._create(name, buffering=0)
        digest, size = hashlib.sha256(), 0
        with target:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                with disk_errors():
                    _write_all(target, chunk)
            with disk_errors():
                os.fsync(target.fileno())
        return digest.digest(), NewBlob(size, number, 0)

    def drop(self, blob: NewBlob) -> None:
        """Remove a large file that turned out to be stored already."""
        with disk_errors():
            self._staged(blob.file).unlink()

    def publish(self, used: Collection[int]) -> dict[int, str]:
        """Bring the used files to disk under their final names, which it returns.

        The catalogue may name them only afterwards.
        """
        with disk_errors():
            if self._pack is not None:
                self._finish_pack(self._pack)
            for number in used:
                self._staged(number).replace(self._root / self._names[number])
            for folder in {self._names[number].partition("/")[0] for number in used}:
                sync_folder(self._root / folder)
        return {number: self._names[number] for number in used}

    def discard(self) -> None:
        """Remove what has no final name; what has one is the sweep's, which asks the catalogue."""
        if self._pack is not None:
            with suppress(OSError):  # a full disk: what was buffered is not wanted any more
                self._pack.close()
        for number in range(len(self._names)):
            self._staged(number).unlink(missing_ok=True)

    def _finish_pack(self, pack: BinaryIO) -> None:
        pack.flush()
        os.fsync(pack.fileno())
        size = os.fstat(pack.fileno()).st_size
        pack.close()
        if size != self._pack_bytes:  # a write failed, and its error was swallowed outside
            raise StoreUnavailable(
                f"the commit's pack has {size} bytes, expected {self._pack_bytes}; commit again"
            )

    def _create(self, name: str, buffering: int) -> tuple[int, BinaryIO]:
        self._names.append(name)
        number = len(self._names) - 1
        path = self._staged(number)
        return number, path.open("xb", buffering)

    def _staged(self, number: int) -> Path:
        return self._root / "staging" / self._names[number].partition("/")[2]


def _write_all(target: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:  # an unbuffered file may take less than it is given
        rest = rest[target.write(rest) :]


class _OpenFile:
    """A file handle that closes when the last reader lets go of it."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self.handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            os.close(self.handle)


class PackReader:
    """Reads blobs; keeps the last files open, so that reading a whole commit is one sweep."""

    def __init__(self, root: Path, names: Callable[[], Mapping[int, str]]) -> None:
        self._root = root
        self._list_names = names
        self._names: dict[int, str] = {}  # a number means one file for ever
        self._files: OrderedDict[int, _OpenFile] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, blob: Blob) -> BinaryIO:
        """A small blob from memory, checked; a large one as its file, only its size checked."""
        if blob.size_bytes <= PACKED_MAX_BYTES:
            return io.BytesIO(self.read(blob))
        name = self._file(blob.file).name
        with _opening(name):
            stream = (self._root / name).open("rb")
        size = os.fstat(stream.fileno()).st_size
        if size != blob.size_bytes:
            stream.close()
            raise StoreDamaged(f"{name}: {size} bytes, expected {blob.size_bytes}; {_RESTORE}")
        return stream

    def read(self, blob: Blob) -> bytes:
        """A blob's bytes, checked against its SHA-256 (`StoreDamaged`)."""
        file = self._file(blob.file)
        with disk_errors():
            data = os.pread(file.handle, blob.size_bytes, blob.offset)
        if hashlib.sha256(data).digest() != blob.sha256:
            raise _damaged(file.name, blob)
        return data

    def copy(self, blob: Blob, target: BinaryIO) -> None:
        """Copy a blob of any size to a raw file, in bounded memory, checked (`StoreDamaged`)."""
        if blob.size_bytes <= PACKED_MAX_BYTES:
            _write_all(target, self.read(blob))
            return
        file = self._file(blob.file)
        digest = hashlib.sha256()
        for chunk in _chunks(file, blob):
            digest.update(chunk)
            _write_all(target, chunk)
        if digest.digest() != blob.sha256:
            raise _damaged(file.name, blob)

    def is_damaged(self, blob: Blob) -> bool:
        """Whether a blob's bytes are missing or do not have its SHA-256."""
        try:
            return _sha256(_chunks(self._file(blob.file), blob)) != blob.sha256
        except StoreDamaged:
            return True

    def close(self) -> None:
        """Let go of the files that nobody reads; they are opened again when asked for."""
        with self._lock:
            self._files.clear()

    def _file(self, number: int) -> _OpenFile:
        with self._lock:
            file = self._files.get(number)
            if file is None:
                name = self._name(number)
                with _opening(name):
                    file = self._files[number] = _OpenFile(self._root / name, name)
                if len(self._files) > _OPEN_FILES:
                    self._files.popitem(last=False)
            else:
                self._files.move_to_end(number)
            return file

    def _name(self, number: int) -> str:
        if number not in self._names:
            self._names.update(self._list_names())
        if number not in self._names:
            raise StoreDamaged(f"the catalogue does not list the file {number} that it names")
        return self._names[number]


@contextmanager
def _opening(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise StoreDamaged(f"{name} is missing; {_RESTORE}") from error
    except OSError as error:
        raise StoreUnavailable(f"{name} cannot be opened: {error}") from error


def _chunks(file: _OpenFile, blob: Blob) -> Iterator[bytes]:
    at, end = blob.offset, blob.offset + blob.size_bytes
    while at < end:
        with disk_errors():
            chunk = os.pread(file.handle, min(_CHUNK_BYTES, end - at), at)
        if not chunk:
            return  # the file is too short; the digest tells
        yield chunk
        at += len(chunk)


def _sha256(chunks: Iterable[bytes]) -> bytes:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()


def _damaged(name: str, blob: Blob) -> StoreDamaged:
    return StoreDamaged(
        f"{name}: the {blob.size_bytes} bytes at {blob.offset} do not have the SHA-256"
        f" {blob.sha256.hex()[:12]}…; {_RESTORE}"
    )


def sweep(root: Path, listed: Collection[str]) -> int:
    """Remove the files that killed writers left; returns how many.

    Only while no writer is alive. Touches nothing but regular files named as ours.
    """
    removed = 0
    with disk_errors():
        for folder in FOLDERS:
            for entry in list(os.scandir(root / folder)):
                ours = _OURS.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
                if ours and f"{folder}/{entry.name}" not in listed:
                    Path(entry.path).unlink()
                    removed += 1
    return removed
