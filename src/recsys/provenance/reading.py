"""Content, wherever it is by now: packs are written anew while others read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from recsys.errors import ContentRemoved, StoreDamaged
from recsys.provenance.catalogue import Catalogue, Removal
from recsys.provenance.packs import NO_FILE, Blob, PackReader

T = TypeVar("T")


class ContentReader:
    """Reads blobs whose places may be out of date.

    A manifest that was read earlier, or a file that is held open, may tell of a place that a
    blob has left. So what seems damaged or missing is looked up again, and only what is
    damaged at its newest place is.
    """

    def __init__(self, catalogue: Catalogue, packs: PackReader) -> None:
        self._catalogue = catalogue
        self._packs = packs

    def open(self, file: str, blob: Blob) -> BinaryIO:
        """A blob as a stream; ``file`` names it in errors (`ContentRemoved`, `StoreDamaged`)."""
        return self._wherever(file, blob, self._packs.open)

    def copy(self, file: str, blob: Blob, dest: Path) -> None:
        """Write a blob of any size to a path of its own, checked."""

        def write(blob: Blob) -> None:
            with dest.open("wb", buffering=0) as target:
                self._packs.copy(blob, target)

        self._wherever(file, blob, write)

    def is_damaged(self, blob: Blob) -> bool:
        """Whether a blob is missing or changed, also where it is now."""
        while self._packs.is_damaged(blob):
            now = self._catalogue.place(blob.sha256)
            if isinstance(now, Removal):
                return False
            if now == blob:
                return True
            blob = now
        return False

    def _wherever(self, file: str, blob: Blob, read: Callable[[Blob], T]) -> T:
        if blob.file == NO_FILE:
            blob = self._place(file, blob)  # it may have been put again
        while True:
            try:
                return read(blob)
            except StoreDamaged:
                now = self._place(file, blob)
                if now == blob:
                    raise
                blob = now

    def _place(self, file: str, blob: Blob) -> Blob:
        now = self._catalogue.place(blob.sha256)
        if isinstance(now, Removal):
            raise ContentRemoved(
                f"{file}: its content was removed on {now.when:%Y-%m-%d %H:%M} UTC: {now.why}"
            )
        return now
