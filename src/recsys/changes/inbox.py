"""Where other systems put changes: one folder each, moved in by a rename.

::

    changes/inbox/<any name>/
        change.json     {"action": "upsert", "product": "10010", "row": {"id": "10010", …}}
                        or {"action": "delist", "product": "10010"}
        10010.jpg       the picture, of an upsert: .jpg, .jpeg, .png or .webp

``row`` has the columns of ``styles.csv`` as texts. Names that begin with a dot are not looked
at. The serving workers take the folders in, in the order of their names, one worker at a
time; what cannot be taken in is set aside with the reason.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from recsys.artifacts.catalog import DELIVERY_COLUMNS, LABEL_COLUMN, NAME_COLUMN, STOCK_COLUMN
from recsys.artifacts.change import IMAGE_SUFFIXES, Action
from recsys.artifacts.soundness import ProductFacts, judge_product, usable_id
from recsys.changes.spool import CHANGE_FILE, Draft, Spool, set_aside
from recsys.errors import ArtifactInvalid, BadInput, ImageRejected
from recsys.images import ImageLimits, decode
from recsys.images.figures import figures_of

INBOX: Final = "inbox"
_LOCK: Final = ".lock"
_DONE: Final = ".done-"
_MAX_JSON_BYTES: Final = 100_000
_MAX_FIELD_CHARACTERS: Final = 2_000
_WHO: Final = "inbox"


@dataclass(frozen=True)
class Inbox:
    """The inbox of a spool; ``limits`` are of pictures, ``most`` of changes in effect."""

    spool: Spool
    limits: ImageLimits
    most: int

    def take_in(self, folded: int) -> int:
        """Number what lies there, unless another process is at it; returns how many were sound.

        ``folded`` as in `Spool.add`.

        Raises
        ------
        OSError
            Something could be neither taken in nor set aside; the others were.
        """
        if not self._waiting():
            return 0
        taken, failures = 0, []
        with self._alone() as alone:
            for place in self._waiting() if alone else ():
                try:
                    taken += self._take(place, folded)
                except OSError as error:  # the others are still to be taken in
                    failures.append(error)
        if failures:
            raise failures[0]
        return taken

    def _take(self, place: Path, folded: int) -> bool:
        try:
            draft = _draft(place, self.limits)
            self.spool.add([draft], _WHO, folded=folded, most=self.most)
        except (BadInput, ArtifactInvalid) as error:
            set_aside(place, self.spool.folder, str(error))
            return False
        # Renamed first: a folder that we may not empty must not be taken in again and again.
        done = place.with_name(f"{_DONE}{secrets.token_hex(8)}")
        place.rename(done)
        shutil.rmtree(done, ignore_errors=True)
        return True

    def _waiting(self) -> list[Path]:
        try:
            found = sorted((self.spool.folder / INBOX).iterdir())
        except FileNotFoundError:
            return []
        return [path for path in found if not path.name.startswith(".")]

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        with (self.spool.folder / INBOX / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True


def _draft(place: Path, limits: ImageLimits) -> Draft:
    """What a folder of the inbox asks for, checked as the night checks a product."""
    if place.is_symlink() or not place.is_dir():
        raise BadInput(f"the inbox takes folders, each with a {CHANGE_FILE}")
    asked = _asked(_read(place / CHANGE_FILE, _MAX_JSON_BYTES))
    product, action = asked["product"], asked["action"]
    pictures = _files_beside(place)
    if action is Action.DELIST:
        if pictures or asked["row"]:
            raise BadInput(f"to {action} {product} needs neither a row nor {_listed(pictures)}")
        return Draft(action, product)
    allowed = [f"{product}{suffix}" for suffix in IMAGE_SUFFIXES]
    if len(pictures) != 1 or pictures[0] not in allowed:
        raise BadInput(
            f"beside {CHANGE_FILE} is {_listed(pictures)}; expected one of {_listed(allowed)}"
        )
    picture = _read(place / pictures[0], limits.max_bytes)
    _require_sound(product, asked["row"], picture, limits)
    return Draft(action, product, asked["row"], pictures[0], picture)


def _files_beside(place: Path) -> list[str]:
    try:
        return sorted(path.name for path in place.iterdir() if path.name != CHANGE_FILE)
    except OSError as error:
        raise BadInput(f"the folder cannot be read ({error.strerror})") from error


def _asked(content: bytes) -> dict[str, Any]:
    try:
        said = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{CHANGE_FILE} is not JSON: {error}") from error
    if not isinstance(said, dict) or not {"action", "product"} <= set(said) <= {
        "action",
        "product",
        "row",
    }:
        raise BadInput(f"{CHANGE_FILE} holds an object with action, product and, to upsert, row")
    row = said.get("row", {})
    well = isinstance(row, dict) and all(
        isinstance(value, str) and len(value) <= _MAX_FIELD_CHARACTERS for value in row.values()
    )
    if not well:
        raise BadInput(f"row must be an object of texts, each at most {_MAX_FIELD_CHARACTERS} long")
    if said["action"] not in (Action.UPSERT, Action.DELIST):
        raise BadInput(f"action is {str(said['action'])[:80]!r}; allowed: upsert, delist")
    if not isinstance(said["product"], str) or not usable_id(said["product"]):
        raise BadInput(
            f"{str(said['product'])[:80]!r} is no product id: letters, digits, '.', '_' and '-'"
        )
    return {"action": Action(said["action"]), "product": said["product"], "row": row}


def _require_sound(product: str, row: dict[str, str], picture: bytes, limits: ImageLimits) -> None:
    if row.get("id") != product:
        raise BadInput(f"row has the id {str(row.get('id'))[:80]!r}, not {product}")
    if missing := [column for column in DELIVERY_COLUMNS if column not in row]:
        raise BadInput(f"row of {product} lacks the columns {', '.join(missing)}")
    error, figures = "", {"width": 0, "height": 0, "contrast": 0.0}
    try:
        figures = figures_of([decode(picture, limits)])[0]
    except ImageRejected as rejected:
        error = str(rejected)
    reason, detail = judge_product(
        ProductFacts(
            id=product,
            label=row.get(LABEL_COLUMN, ""),
            name=row.get(NAME_COLUMN, ""),
            stock=row.get(STOCK_COLUMN, ""),
            repeated=False,
            has_image=True,
            decodes=not error,
            error=error,
            width=int(figures["width"]),
            height=int(figures["height"]),
            contrast=float(figures["contrast"]),
        )
    )
    if reason:
        raise BadInput(f"product {product}: {reason}: {detail}")


def _read(path: Path, max_bytes: int) -> bytes:
    """A plain file of bounded size; no link is followed, no pipe waited for."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise BadInput(f"{path.name} cannot be read ({error.strerror})") from error
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise BadInput(f"{path.name} is no plain file")
        content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise BadInput(f"{path.name} has more than {max_bytes} bytes, the most accepted")
    return content


def _listed(items: list[str]) -> str:
    return ", ".join(item[:80] for item in items[:6]) or "nothing"
