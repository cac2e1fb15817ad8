"""Files written anew without what is dead in them: removed content, and what nobody needed.

Runs while no writer is alive. Living blobs are copied to new files, one transaction says
where everything is from then on, and only then the old files go; a crash in between leaves
files that the catalogue does not list, for the sweep.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from recsys.provenance.catalogue import Catalogue, Rearrangement
from recsys.provenance.packs import Blob, PackWriter, disk_errors, sweep

_CHUNK_BYTES = 1 << 20
_WORTHWHILE_SHARE = 0.25


@dataclass(frozen=True)
class FileUse:
    """A pack or large file: its number, its size on disk, and which of its blobs live on.

    ``size_bytes`` is None if the file is missing.
    """

    number: int
    name: str
    size_bytes: int | None
    living: Sequence[Blob]
    dying: Sequence[Blob]

    @property
    def dead_bytes(self) -> int:
        """How many bytes nobody needs; never negative, also when the file was cut."""
        return max((self.size_bytes or 0) - sum(blob.size_bytes for blob in self.living), 0)

    @property
    def holds_dead(self) -> bool:
        """Whether there is anything to take out of it; a large file is one blob, or none."""
        if not self.living:
            return True
        return bool(self.dying or self.dead_bytes) and self.name.startswith("packs/")

    @property
    def is_worth_rewriting(self) -> bool:
        """Whether writing it anew frees enough for the copying of what lives."""
        dead_bytes = self.dead_bytes
        return self.holds_dead and dead_bytes >= _WORTHWHILE_SHARE * (self.size_bytes or 0)


@dataclass(frozen=True)
class Collected:
    """What a collection removed, or would: contents, and the files of the store on disk."""

    blobs: int
    bytes_before: int
    bytes_after: int
    files_before: int
    files_after: int


def file_uses(root: Path, catalogue: Catalogue, doomed: Collection[bytes]) -> Iterator[FileUse]:
    """Every file that the catalogue lists, as it will be used without the doomed blobs."""
    names = catalogue.files()
    for number, group in groupby(catalogue.blobs(), key=lambda blob: blob.file):
        blobs = list(group)
        living = [blob for blob in blobs if blob.sha256 not in doomed]
        dying = [blob for blob in blobs if blob.sha256 in doomed]
        name = names.pop(number)
        yield FileUse(number, name, _size(root / name), living, dying)
    for number, name in names.items():  # nothing in them lives, and nothing did before
        yield FileUse(number, name, _size(root / name), (), ())


def collected(blobs: int, uses: Sequence[FileUse], rewritten: Sequence[FileUse]) -> Collected:
    """What it comes to when so many blobs go and these of the files are written anew."""
    bytes_before = sum(use.size_bytes or 0 for use in uses)
    return Collected(
        blobs,
        bytes_before,
        bytes_before - sum(use.dead_bytes for use in rewritten),
        len(uses),
        len(uses) - sum(not use.living for use in rewritten),
    )


def rearrange(
    root: Path,
    catalogue: Catalogue,
    doomed: Collection[bytes],
    why: str,
    files: Iterable[FileUse],
    *,
    overwrite: bool,
) -> None:
    """Remove the doomed blobs, and write the given files anew without what is dead in them.

    ``overwrite`` puts zeros over the dead bytes first, for whoever still has the file open.
    """
    retired, packs = [], {}
    try:
        for file in files:
            if file.size_bytes is not None and file.living:
                name, offsets = _written_anew(root, file)
                packs[name] = offsets
            if file.size_bytes is not None or not file.living:
                retired.append(file)  # what is left of a missing file stays told as damaged
        catalogue.rearrange(Rearrangement(doomed, why, packs, [file.number for file in retired]))
        if overwrite:
            for file in retired:
                _overwrite_dead(root, file)
    finally:
        sweep(root, set(catalogue.files().values()))


def _written_anew(root: Path, file: FileUse) -> tuple[str, dict[bytes, int]]:
    """Name of the new file, and where in it each living blob is."""
    writer = PackWriter(root, secrets.token_hex(16))
    try:
        with disk_errors(), (root / file.name).open("rb") as source:
            offsets = {
                # Damaged bytes stay as they are: `verify` goes on finding them.
                blob.sha256: writer.append(
                    os.pread(source.fileno(), blob.size_bytes, blob.offset).ljust(
                        blob.size_bytes, b"\0"
                    )
                ).offset
                for blob in file.living
            }
        (name,) = writer.publish({0}).values()
    finally:
        writer.discard()
    return name, offsets


def _overwrite_dead(root: Path, file: FileUse) -> None:
    if file.size_bytes is None:
        return
    with disk_errors(), (root / file.name).open("r+b", buffering=0) as target:
        for start, end in _gaps(file.size_bytes, file.living):
            for at in range(start, end, _CHUNK_BYTES):
                os.pwrite(target.fileno(), bytes(min(_CHUNK_BYTES, end - at)), at)
        os.fsync(target.fileno())


def _gaps(size_bytes: int, living: Sequence[Blob]) -> Iterator[tuple[int, int]]:
    at = 0
    for blob in living:
        if blob.offset > at:
            yield at, blob.offset
        at = max(at, blob.offset + blob.size_bytes)
    if size_bytes > at:
        yield at, size_bytes


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
