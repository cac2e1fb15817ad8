"""The deployment history: one JSON line an event, only ever appended."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args

from recsys.artifacts.digests import canonical_json
from recsys.errors import BadInput

HISTORY_FILE: Final = "history.jsonl"
EventKind = Literal[
    "deployed", "refused", "rolled_back", "rollback_lifted", "purged", "pinned", "unpinned"
]
# The events after which a release answers.
WENT_LIVE: Final = ("deployed", "rolled_back", "purged")


@dataclass(frozen=True)
class Event:
    """One deployment, refusal, rollback, its lifting, purge, pin, or its end.

    ``release`` is what was made live (or refused, or pinned), ``previous`` was live before,
    ``when`` is UTC in ISO 8601, ``who`` the person, empty when the night did it.
    """

    event: str
    release: str
    previous: str | None
    when: str
    why: str
    who: str = ""


def record_event(
    releases_dir: Path,
    *,
    event: EventKind,
    release: str,
    previous: str | None,
    why: str,
    who: str = "",
) -> Event:
    """Append an event and flush it to disk.

    Raises
    ------
    BadInput
        The event is of no kind that we keep.
    """
    if event not in get_args(EventKind):
        raise BadInput(f"no event {event!r}; the events are {', '.join(get_args(EventKind))}")
    when = datetime.now(UTC).isoformat(timespec="seconds")
    kept = Event(event, release, previous, when, why, who)
    releases_dir.mkdir(parents=True, exist_ok=True)
    with (releases_dir / HISTORY_FILE).open("a+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        line = canonical_json(asdict(kept))
        # A power loss may have torn the last line; the new one must not be lost with it.
        stream.write(line if _ends_whole(stream.fileno()) else b"\n" + line)
        stream.flush()
        os.fsync(stream.fileno())
    return kept


def history(releases_dir: Path) -> list[Event]:
    """Every event, oldest first; a line that a crash tore is passed over."""
    path = releases_dir / HISTORY_FILE
    if not path.is_file():
        return []
    parsed = (_parse(line) for line in path.read_bytes().splitlines())
    return [event for event in parsed if event is not None]


def standing_rollback(events: Iterable[Event]) -> Event | None:
    """The rollback that the next night may not silently undo, or None.

    A rollback stands until a deployment, which had to beat it, or until a person lifts it.
    When its release was replaced by a purge, it stands for the replacement.
    """
    standing: Event | None = None
    for event in events:
        if event.event == "rolled_back":
            standing = event
        elif event.event in ("deployed", "rollback_lifted"):
            standing = None
        elif event.event == "purged" and standing and standing.release == event.previous:
            standing = replace(standing, release=event.release)
    return standing


def _ends_whole(handle: int) -> bool:
    size = os.fstat(handle).st_size
    return size == 0 or os.pread(handle, 1, size - 1) == b"\n"


def _parse(line: bytes) -> Event | None:
    try:
        fields: dict[str, Any] = json.loads(line)
        return Event(**fields)
    except (ValueError, TypeError):
        return None
