"""The numbered changes on disk, which every serving worker follows.

::

    changes/
        last                    the number of the last change; what is beyond is not there yet
        0000000007/
            change.json         `recsys.artifacts.change.Change`
            10010.jpg           the picture, of an upsert
        rejected/<name>/        what could not be used, and <name>.txt says why
        barred.json             what was purged and may not come back
        inbox/                  where other systems put changes (`recsys.changes.inbox`)

A writer holds the lock, lays its changes down and then moves ``last``, so that several
changes are in effect together or not at all.
"""

from __future__ import annotations

import fcntl
import json
import logging
import re
import secrets
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from recsys.artifacts.base import require
from recsys.artifacts.change import Action, Change, last_of_each
from recsys.artifacts.digests import canonical_json, sha256_bytes
from recsys.artifacts.files import sync_folder, write_atomically
from recsys.artifacts.products import ProductTable
from recsys.artifacts.release import read_manifest
from recsys.errors import ArtifactInvalid, BadInput

_LOG = logging.getLogger(__name__)
CHANGE_FILE: Final = "change.json"
REJECTED: Final = "rejected"
_LAST: Final = "last"
_LOCK: Final = ".lock"
_BARRED: Final = "barred.json"
_WRITING: Final = ".writing-"
_NUMBER: Final = re.compile(r"[0-9]{10}")


@dataclass(frozen=True)
class Draft:
    """A change before it has a number; fields as in `Change`, ``picture`` the file's bytes."""

    action: Action
    product: str
    row: dict[str, str] = field(default_factory=dict)
    image: str = ""
    picture: bytes = b""


class Spool:
    """The changes of one state folder; safe to use from several processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def last(self) -> int:
        """The number of the last change ever made here, 0 before the first.

        Raises
        ------
        ArtifactInvalid
            The file that says so holds something else.
        """
        try:
            text = (self.folder / _LAST).read_text("ascii", "replace").strip()
        except FileNotFoundError:
            return 0
        require(text.isdecimal(), f"{self.folder / _LAST} holds {text[:20]!r}, not a number")
        return int(text)

    def after(self, number: int, through: int) -> list[Change]:
        """The changes numbered above ``number``, up to ``through``, ascending.

        One that cannot be read is set aside.
        """
        found = []
        for place in self._numbers():
            if number < place <= through:
                try:
                    found.append(self._read(place))
                except ArtifactInvalid as error:
                    self.set_aside(place, str(error))
                except FileNotFoundError:
                    continue  # went while we looked
        return found

    def delisted(self, folded: int) -> frozenset[str]:
        """The products that changes above this number took off the shelf."""
        holding = last_of_each(self.after(folded, self.last()))
        return frozenset(
            product for product, change in holding.items() if change.action is Action.DELIST
        )

    def products_shown(self, release: Path) -> list[str]:
        """The products in a release's folder, in its order, less those delisted since.

        Raises
        ------
        ArtifactInvalid
            The folder holds no release.
        """
        gone = self.delisted(read_manifest(release).changes_through)
        ids = (bytes(item).decode() for item in ProductTable.load(release).ids)
        return [product for product in ids if product not in gone]

    def picture(self, change: Change) -> bytes:
        """The picture of an upsert.

        Raises
        ------
        ArtifactInvalid
            It is missing, or not the one that the change names.
        FileNotFoundError
            The whole change went: folded in, or purged.
        """
        folder = self._place(change.number)
        try:
            content = (folder / change.image).read_bytes()
        except FileNotFoundError:
            if not folder.is_dir():
                raise
            raise ArtifactInvalid(f"change {change.number}: {change.image} is missing") from None
        require(
            sha256_bytes(content) == change.sha256,
            f"change {change.number}: {change.image} is not the picture that was put there",
        )
        return content

    def add(self, drafts: Sequence[Draft], who: str, *, folded: int, most: int) -> list[Change]:
        """Number these changes and put them in effect together.

        Parameters
        ----------
        folded
            The number that the live release has folded in; later ones are in effect.
        most
            How many may be in effect.

        Raises
        ------
        BadInput
            More than ``most`` would be in effect, or a draft brings back what was purged.
        """
        with self._locked():
            last = max(self.last(), folded)
            waiting = sum(folded < number <= last for number in self._numbers())
            if waiting + len(drafts) > most:
                raise BadInput(
                    f"{waiting} changes are in effect already, and {len(drafts)} more would be more"
                    f" than {most} (RECSYS_MAX_CHANGES): run the night, which folds them in"
                )
            self._require_not_barred(drafts)
            return self._lay_down(drafts, who, last)

    def withdraw(self, products: Collection[str], pictures: Collection[str], who: str) -> int:
        """Remove all changes of these products, or with these pictures (SHA-256), bytes and all.

        Returns the number through which workers must be to know.
        """
        with self._locked():
            last = self.last()
            gone = [
                change
                for change in self.after(0, last)
                if change.product in products or change.sha256 in pictures
            ]
            for change in gone:
                shutil.rmtree(self._place(change.number), ignore_errors=True)
            for path in (self.folder / REJECTED).glob("*/*"):
                if path.stem in products:
                    path.unlink()
            if gone:
                unsaid = sorted({change.product for change in gone})
                self._lay_down([Draft(Action.WITHDRAW, product) for product in unsaid], who, last)
            return self.last()

    def bar(self, products: Collection[str], pictures: Collection[str]) -> None:
        """Say what may not come back: product ids, and SHA-256s of pictures."""
        barred = {"products": sorted(products), "pictures": sorted(pictures)}
        write_atomically(self.folder / _BARRED, canonical_json(barred))

    def prune(self, through: int) -> int:
        """Drop the changes up to a number that every release has folded in; returns how many."""
        with self._locked():
            old = [number for number in self._numbers() if number <= min(through, self.last())]
            for number in old:
                shutil.rmtree(self._place(number), ignore_errors=True)
        return len(old)

    def set_aside(self, number: int, why: str) -> None:
        """Move a change that cannot be used out of the way, with the reason beside it."""
        set_aside(self._place(number), self.folder, why)

    def rejected(self) -> list[tuple[str, str]]:
        """(name, why) of what was set aside."""
        reasons = sorted((self.folder / REJECTED).glob("*.txt"))
        return [(path.stem, path.read_text("utf-8", "replace").strip()) for path in reasons]

    def _numbers(self) -> list[int]:
        try:
            names = [path.name for path in self.folder.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if _NUMBER.fullmatch(name))

    def _place(self, number: int) -> Path:
        return self.folder / f"{number:010d}"

    def _read(self, number: int) -> Change:
        folder = self._place(number)
        try:
            change = Change.from_json((folder / CHANGE_FILE).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            if not (folder.exists() or folder.is_symlink()):
                raise
            raise ArtifactInvalid(f"change {number} has no {CHANGE_FILE}") from None
        require(change.number == number, f"change {number} says that it is {change.number}")
        return change

    def _lay_down(self, drafts: Sequence[Draft], who: str, last: int) -> list[Change]:
        self._sweep(last)
        when = datetime.now(UTC).isoformat(timespec="seconds")
        made = []
        for number, draft in enumerate(drafts, last + 1):
            digest = sha256_bytes(draft.picture) if draft.action is Action.UPSERT else ""
            change = Change(
                number, draft.action, draft.product, draft.row, draft.image, digest, who, when
            )
            self._write(change, draft.picture)
            made.append(change)
        sync_folder(self.folder)
        if made:
            write_atomically(self.folder / _LAST, f"{made[-1].number}\n".encode())
        return made

    def _sweep(self, last: int) -> None:
        """Remove what a writer left that was killed before it moved ``last``."""
        for number in self._numbers():
            if number > last:
                shutil.rmtree(self._place(number))
        for path in self.folder.glob(f"{_WRITING}*"):
            shutil.rmtree(path)

    def _write(self, change: Change, picture: bytes) -> None:
        writing = self.folder / f"{_WRITING}{change.number}"
        writing.mkdir()
        if change.image:
            write_atomically(writing / change.image, picture)
        write_atomically(writing / CHANGE_FILE, change.to_json())
        writing.rename(self._place(change.number))

    def _require_not_barred(self, drafts: Sequence[Draft]) -> None:
        try:
            barred = json.loads((self.folder / _BARRED).read_bytes())
        except FileNotFoundError:
            return
        for draft in drafts:
            if draft.action is Action.UPSERT and (
                draft.product in barred["products"]
                or sha256_bytes(draft.picture) in barred["pictures"]
            ):
                raise BadInput(
                    f"product {draft.product} or its picture was purged and may not come back;"
                    " `recsys trace` shows why"
                )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def set_aside(place: Path, folder: Path, why: str) -> None:
    """Move a file or folder to ``folder``'s rejected ones, with the reason beside it."""
    home = folder / REJECTED
    home.mkdir(parents=True, exist_ok=True)
    target = home / f"{place.name[:100]}-{secrets.token_hex(4)}"
    try:
        place.rename(target)
    except FileNotFoundError:
        return  # another process was faster
    write_atomically(target.with_name(f"{target.name}.txt"), f"{why}\n".encode())
    _LOG.warning("set aside %r: %s", place.name[:100], why)
