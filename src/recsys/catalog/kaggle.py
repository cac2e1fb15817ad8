"""The Kaggle layout: ``styles.csv`` with a folder of pictures, or with tars of them."""

from __future__ import annotations

import itertools
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from recsys.catalog.delivery import (
    MAX_STYLES_BYTES,
    check_image_count,
    check_image_name,
    check_image_size,
    digest_of_files,
    is_image_name,
    read_bounded,
    refuse_escape,
)
from recsys.errors import DeliveryUnreadable

STYLES = "styles.csv"
IMAGES = "images"
# Extended tar headers are read whole by tarfile; a real one has a few hundred bytes.
_MAX_HEADER_BYTES = 1_000_000


@dataclass(frozen=True)
class FolderDelivery:
    """``styles.csv`` and ``images/``; ``names`` are the pictures, sorted."""

    root: Path
    names: tuple[str, ...]
    max_image_bytes: int
    layout: str = "kaggle"

    @property
    def source_digest(self) -> str:
        """SHA-256 over the CSV and every picture."""
        files = {f"{IMAGES}/{name}": self.root / IMAGES / name for name in self.names}
        return digest_of_files({STYLES: _styles_path(self.root), **files})

    def styles_csv(self) -> bytes:
        """The CSV as delivered."""
        return read_bounded(_styles_path(self.root), MAX_STYLES_BYTES)

    def images(self) -> Iterator[tuple[str, bytes]]:
        """Every picture, sorted by name."""
        for name in self.names:
            yield name, read_bounded(self.root / IMAGES / name, self.max_image_bytes)


@dataclass(frozen=True)
class TarDelivery:
    """``styles.csv`` and uncompressed tars whose members are the pictures."""

    root: Path
    tars: tuple[Path, ...]
    max_image_bytes: int
    layout: str = "kaggle"

    @property
    def source_digest(self) -> str:
        """SHA-256 over the CSV and the tars as they are."""
        return digest_of_files(
            {STYLES: _styles_path(self.root), **{path.name: path for path in self.tars}}
        )

    def styles_csv(self) -> bytes:
        """The CSV as delivered."""
        return read_bounded(_styles_path(self.root), MAX_STYLES_BYTES)

    def images(self) -> Iterator[tuple[str, bytes]]:
        """Every picture, tar by tar in the order of members; unsafe members are refused."""
        seen: set[str] = set()
        for path in self.tars:
            for name, data in self._members(path):
                if name in seen:
                    raise DeliveryUnreadable(f"{path}: {name} is delivered twice")
                seen.add(name)
                check_image_count(len(seen), path)
                yield name, data

    def _members(self, path: Path) -> Iterator[tuple[str, bytes]]:
        try:
            with path.open("rb") as raw, _open_tar(raw, self.max_image_bytes) as tar:
                for count in itertools.count(1):
                    member = tar.next()
                    if member is None:
                        break
                    check_image_count(count, path)
                    name = _member_name(member, path)
                    if name is not None:
                        check_image_size(member.size, self.max_image_bytes, name, path)
                        yield name, _read_at(raw, member.offset_data, member.size)
                    tar.members.clear()  # type: ignore[attr-defined]  # else every header is kept
                _require_end_marker(raw, tar.offset)
        except tarfile.TarError as error:
            raise DeliveryUnreadable(f"{path}: not a sound uncompressed tar ({error})") from error
        except OSError as error:
            raise DeliveryUnreadable(f"{path}: cannot be read ({error})") from error


def list_tars(root: Path) -> list[Path]:
    """The tars of a delivery, sorted by name; links that lead outside are refused."""
    tars = sorted(root.glob("*.tar"))
    for path in tars:
        refuse_escape(path, root)
    return tars


def list_images(root: Path, max_image_bytes: int) -> tuple[str, ...]:
    """The names of the pictures in ``images/``, sorted and checked; other files are no part."""
    folder = root / IMAGES
    refuse_escape(folder, root)
    names: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not is_image_name(entry.name):
                continue
            check_image_name(entry.name, folder)
            if entry.is_symlink():
                refuse_escape(Path(entry.path), root)
            if not entry.is_file():
                raise DeliveryUnreadable(f"{entry.path}: not a regular file")
            check_image_size(entry.stat().st_size, max_image_bytes, entry.name, folder)
            names.append(entry.name)
            check_image_count(len(names), folder)
    return tuple(sorted(names))


def _styles_path(root: Path) -> Path:
    path = root / STYLES
    refuse_escape(path, root)
    if not path.is_file():
        raise DeliveryUnreadable(f"{path}: not a regular file")
    return path


class _BoundedReads:
    """A stream that refuses one read larger than any member may be."""

    def __init__(self, stream: BinaryIO, most: int) -> None:
        self._stream = stream
        self._most = most
        self.seek = stream.seek
        self.tell = stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._most:
            raise DeliveryUnreadable(
                f"{self._stream.name}: a tar header asks for {size:,} bytes;"
                f" at most {self._most:,} are accepted"
            )
        return self._stream.read(size)


def _open_tar(raw: BinaryIO, max_image_bytes: int) -> tarfile.TarFile:
    bounded = _BoundedReads(raw, max(max_image_bytes, _MAX_HEADER_BYTES))
    return tarfile.open(fileobj=bounded, mode="r:")  # type: ignore[call-overload,no-any-return]


def _member_name(member: tarfile.TarInfo, place: Path) -> str | None:
    """The picture's file name, or None for a member that is no picture."""
    path = PurePosixPath(member.name)  # drops "./"
    if path.is_absolute() or ".." in path.parts or "\\" in member.name:
        raise DeliveryUnreadable(f"{place}: the member {member.name[:80]!r} leads outside")
    if member.isdir():
        return None
    plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
    if not plain or member.size < 0:
        raise DeliveryUnreadable(
            f"{place}: the member {member.name[:80]!r} is a link, a device or sparse;"
            " only plain files are accepted"
        )
    if not is_image_name(path.name):
        return None
    if path.parts[:-1] not in ((), (IMAGES,)):
        raise DeliveryUnreadable(
            f"{place}: the member {member.name[:80]!r} lies in a folder;"
            f" expected <id>.jpg or {IMAGES}/<id>.jpg"
        )
    check_image_name(path.name, place)
    return path.name


def _read_at(raw: BinaryIO, offset: int, size: int) -> bytes:
    raw.seek(offset)
    data = raw.read(size)
    if len(data) != size:
        raise tarfile.ReadError(f"cut short at byte {offset + len(data):,}")
    return data


def _require_end_marker(raw: BinaryIO, offset: int) -> None:
    """A tar ends with a block of zeros; tarfile takes a damaged header for the end as well."""
    if _read_at(raw, offset, tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"damaged at byte {offset:,}")
