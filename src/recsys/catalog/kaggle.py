"""The Kaggle layout: ``styles.csv`` with a folder of pictures, or with tars of them.

With a ``removed.csv`` beside it (a header ``id`` and the ids to take out, perhaps none) it
is a delta: rows and pictures are only those that are new or changed.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from recsys.catalog.delivery import (
    MAX_STYLES_BYTES,
    check_image_count,
    check_image_name,
    check_image_size,
    check_styles,
    digest_of_files,
    is_image_name,
    is_of,
    read_bounded,
    refuse_escape,
)
from recsys.catalog.removed import read_removed
from recsys.catalog.tar import TarMember, read_content, tar_members
from recsys.errors import DeliveryUnreadable

STYLES = "styles.csv"
REMOVED = "removed.csv"
IMAGES = "images"


@dataclass(frozen=True)
class FolderDelivery:
    """``styles.csv`` and ``images/``; ``names`` are the pictures, sorted."""

    root: Path
    names: tuple[str, ...]
    max_image_bytes: int
    layout: str = "kaggle"
    is_delta: bool = False

    @property
    def source_digest(self) -> str:
        """SHA-256 over the CSVs and every picture."""
        files = {f"{IMAGES}/{name}": self.root / IMAGES / name for name in self.names}
        return digest_of_files(_tables(self.root, self.is_delta) | files)

    def removed(self) -> tuple[str, ...]:
        """The ids of ``removed.csv``."""
        return read_removed(self.root / REMOVED) if self.is_delta else ()

    def styles_csv(self) -> bytes:
        """The CSV as delivered."""
        return _styles(self.root)

    def images(self, only: Container[str] | None = None) -> Iterator[tuple[str, bytes]]:
        """Every picture, or those of some products, sorted by name."""
        for name in self.names:
            if is_of(name, only):
                yield name, read_bounded(self.root / IMAGES / name, self.max_image_bytes)


@dataclass(frozen=True)
class TarDelivery:
    """``styles.csv`` and uncompressed tars whose members are the pictures."""

    root: Path
    tars: tuple[Path, ...]
    max_image_bytes: int
    layout: str = "kaggle"
    is_delta: bool = False

    @property
    def source_digest(self) -> str:
        """SHA-256 over the CSVs and the tars as they are."""
        files = {path.name: path for path in self.tars}
        return digest_of_files(_tables(self.root, self.is_delta) | files)

    def removed(self) -> tuple[str, ...]:
        """The ids of ``removed.csv``."""
        return read_removed(self.root / REMOVED) if self.is_delta else ()

    def styles_csv(self) -> bytes:
        """The CSV as delivered."""
        return _styles(self.root)

    def images(self, only: Container[str] | None = None) -> Iterator[tuple[str, bytes]]:
        """Every picture, or those of some products, tar by tar in the order of members.

        Unsafe members are refused, whichever are asked for.
        """
        seen: set[str] = set()
        for path in self.tars:
            for name, data in self._members(path, only):
                if name in seen:
                    raise DeliveryUnreadable(f"{path}: {name} is delivered twice")
                seen.add(name)
                check_image_count(len(seen), path)
                yield name, data

    def _members(self, path: Path, only: Container[str] | None) -> Iterator[tuple[str, bytes]]:
        try:
            with path.open("rb") as raw:
                for count, member in enumerate(tar_members(raw, path), 1):
                    check_image_count(count, path)
                    name = _member_name(member, path)
                    if name is not None and is_of(name, only):
                        check_image_size(member.size_bytes, self.max_image_bytes, name, path)
                        yield name, read_content(raw, member, path)
        except OSError as error:
            raise DeliveryUnreadable(f"{path}: cannot be read ({error})") from error


def list_tars(root: Path) -> list[Path]:
    """The tars of a delivery, sorted by name; links that lead outside are refused."""
    tars = sorted(path for path in root.glob("*.tar") if not path.name.startswith("."))
    for path in tars:
        _require_regular(path, root)
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


def find_removed(root: Path) -> bool:
    """Whether the delivery says that it is a delta; a dangling link says so too."""
    path = root / REMOVED
    if not (path.is_symlink() or path.exists()):
        return False
    _require_regular(path, root)
    return True


def _tables(root: Path, is_delta: bool) -> dict[str, Path]:
    names = (STYLES, REMOVED) if is_delta else (STYLES,)
    return {name: _require_regular(root / name, root) for name in names}


def _styles(root: Path) -> bytes:
    path = _require_regular(root / STYLES, root)
    return check_styles(read_bounded(path, MAX_STYLES_BYTES), path)


def _require_regular(path: Path, root: Path) -> Path:
    """Opening a named pipe would wait for ever."""
    refuse_escape(path, root)
    if not path.is_file():
        raise DeliveryUnreadable(f"{path}: not a regular file")
    return path


def _member_name(member: TarMember, place: Path) -> str | None:
    """The picture's file name, or None for a member that is no picture."""
    path = PurePosixPath(member.name)  # drops "./"
    if path.is_absolute() or ".." in path.parts or "\\" in member.name:
        raise DeliveryUnreadable(f"{place}: the member {member.name[:80]!r} leads outside")
    if member.is_folder:
        return None
    if not member.is_plain:
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
