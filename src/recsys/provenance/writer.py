"""The open commit: what is put and deleted, before anybody else can see it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from recsys.errors import CommitClosed, FileMissing, InvalidPath
from recsys.provenance.addresses import check_path, folders_of
from recsys.provenance.catalogue import StoredBlobs
from recsys.provenance.changes import Content
from recsys.provenance.packs import PACKED_MAX_BYTES, NewBlob, PackWriter

_CHUNK_BYTES = 1 << 20
_HEAD_BYTES = 1 << 16  # most pictures are shorter; to ask for more costs memory each time


class Draft:
    """The paths that the commit will hold: those it inherits, with its changes laid over."""

    def __init__(self, parent: Mapping[str, Content], *, replace: bool = False) -> None:
        self._parent = parent
        self._inherited = {} if replace else parent
        self._laid_over: dict[str, bytes | None] = {}
        self._folders = Counter(folder for path in self._inherited for folder in folders_of(path))

    @property
    def result(self) -> dict[str, bytes]:
        """Every path with its SHA-256."""
        files = {path: blob.sha256 for path, blob in self._inherited.items()}
        for path, sha256 in self._laid_over.items():
            if sha256 is None:
                del files[path]
            else:
                files[path] = sha256
        return files

    def changes_to_parent(self, result: Mapping[str, bytes]) -> dict[str, bytes | None]:
        """The paths of a result that the parent has not, or otherwise; None for those it lost."""
        if self._inherited is self._parent:
            return self._laid_over
        changes: dict[str, bytes | None] = dict.fromkeys(self._parent.keys() - result.keys())
        for path, sha256 in result.items():
            before = self._parent.get(path)
            if before is None or before.sha256 != sha256:
                changes[path] = sha256
        return changes

    def __contains__(self, path: str) -> bool:
        if path in self._laid_over:
            return self._laid_over[path] is not None
        return path in self._inherited

    def check_place(self, path: str) -> None:
        """Raise `InvalidPath` if the path is a folder, or lies in what is a file."""
        if path in self._folders:
            raise InvalidPath(f"{path} is a folder of this commit; a path is a file or a folder")
        for folder in folders_of(path):
            if folder in self:
                raise InvalidPath(f"{path}: {folder} is a file of this commit, not a folder")

    def put(self, path: str, sha256: bytes) -> None:
        """Add or replace; what the parent already holds is no change."""
        if path not in self:
            self._folders.update(folders_of(path))
        inherited = self._inherited.get(path)
        if inherited is not None and inherited.sha256 == sha256:
            self._laid_over.pop(path, None)
        else:
            self._laid_over[path] = sha256

    def delete(self, path: str) -> None:
        """Remove, or raise `FileMissing`."""
        if path not in self:
            raise FileMissing(f"{path} cannot be deleted: it is not in this commit")
        if path in self._inherited:
            self._laid_over[path] = None
        else:
            del self._laid_over[path]
        for folder in folders_of(path):
            self._folders[folder] -= 1
            if not self._folders[folder]:
                del self._folders[folder]


class EmbeddedWriter:
    """Puts content into packs as it comes; content that the store has is not written again."""

    def __init__(
        self,
        ref: str,
        draft: Draft,
        packs: PackWriter,
        stored: StoredBlobs,
    ) -> None:
        self._ref = ref
        self._published = False
        self._open = True
        self.packs = packs
        self._stored = stored
        self.draft = draft
        self.blobs: dict[bytes, NewBlob] = {}
        self.relied_on: set[bytes] = set()

    @property
    def ref(self) -> str:
        """The commit's reference once it is published; raises `CommitClosed` before."""
        if not self._published:
            raise CommitClosed("the commit has no reference: it is still open, or was abandoned")
        return self._ref

    def put(self, path: str, content: bytes | BinaryIO | Path) -> None:
        """Add or replace one file. Streams are read in bounded memory."""
        self._check_open(path)
        self.draft.check_place(check_path(path))
        if isinstance(content, Path):
            sha256 = self._put_path(content)
        elif isinstance(content, bytes | bytearray | memoryview):
            sha256 = self._put_bytes(bytes(content))
        else:
            sha256 = self._put_stream(content)
        self.draft.put(path, sha256)

    def delete(self, path: str) -> None:
        """Remove one file that the parent or this commit holds (`FileMissing` otherwise)."""
        self._check_open(path)
        self.draft.delete(check_path(path))

    def close(self) -> None:
        """Take nothing more, and let go of the catalogue.

        Before the commit is published: the last one that closes the catalogue writes its log
        back, and only somebody who writes can.
        """
        self._open = False
        self._stored.close()

    def mark_published(self) -> None:
        """Let the reference be seen."""
        self._published = True

    def needed_blobs(self, result: Mapping[str, bytes]) -> dict[bytes, NewBlob]:
        """What was written and is still the content of some path."""
        needed = set(result.values())
        return {sha256: blob for sha256, blob in self.blobs.items() if sha256 in needed}

    def _check_open(self, path: str) -> None:
        if not self._open:
            raise CommitClosed(f"{path[:120]}: the commit is closed; open another one")

    def _put_bytes(self, data: bytes) -> bytes:
        sha256 = hashlib.sha256(data).digest()
        if not self._is_known(sha256):
            if len(data) > PACKED_MAX_BYTES:
                _, self.blobs[sha256] = self.packs.write_large([data])
            else:
                self.blobs[sha256] = self.packs.append(data)
        return sha256

    def _put_path(self, path: Path) -> bytes:
        with path.open("rb", buffering=0) as stream:  # which reads a small file in one go
            if os.fstat(stream.fileno()).st_size <= PACKED_MAX_BYTES:
                return self._put_bytes(stream.readall())
            return self._put_stream(stream)

    def _put_stream(self, stream: BinaryIO) -> bytes:
        head = _read_up_to(stream, PACKED_MAX_BYTES + 1)
        if len(head) <= PACKED_MAX_BYTES:
            return self._put_bytes(head)
        sha256, blob = self.packs.write_large(_chunks(head, stream))
        if self._is_known(sha256):
            self.packs.drop(blob)
        else:
            self.blobs[sha256] = blob
        return sha256

    def _is_known(self, sha256: bytes) -> bool:
        if sha256 in self.blobs:
            return True
        if sha256 not in self._stored:
            return False
        self.relied_on.add(sha256)
        return True


def _read_up_to(stream: BinaryIO, size_bytes: int) -> bytes:
    """Read until the stream ends or so many bytes have come; raw streams give less at once."""
    data = b""
    while len(data) < size_bytes:
        more = stream.read(min(_HEAD_BYTES, size_bytes - len(data)))
        if not more:
            break
        data += more
    return data


def _chunks(head: bytes, stream: BinaryIO) -> Iterator[bytes]:
    while head:
        yield head
        head = stream.read(_CHUNK_BYTES)
