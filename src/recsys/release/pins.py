"""Pins: releases that stay until somebody lets them go, however many nights pass."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from recsys import names
from recsys.errors import BadInput, ReleaseUnknown
from recsys.release.history import Event, history, record_event


def pins(events: Iterable[Event]) -> dict[str, Event]:
    """The pinned releases, and each one's last pinning."""
    standing: dict[str, Event] = {}
    for event in events:
        if event.event == "pinned":
            standing[event.release] = event
        elif event.event == "unpinned":
            standing.pop(event.release, None)
    return standing


def pin(releases_dir: Path, release_id: str, who: str, why: str) -> Event:
    """Keep a release until `unpin`; one that is pinned already gets another reason.

    Raises
    ------
    BadInput
        No ``why``.
    ReleaseUnknown
        It is not on this machine.
    """
    if not why.strip():
        raise BadInput("a pin needs a reason (--why): it stands until somebody lifts it")
    if not names.is_release_id(release_id) or not (releases_dir / release_id).is_dir():
        raise ReleaseUnknown(
            f"no release {release_id[:80]!r} in {releases_dir}; see `recsys releases`"
        )
    return record_event(
        releases_dir, event="pinned", release=release_id, previous=None, why=why, who=who
    )


def unpin(releases_dir: Path, release_id: str, who: str, why: str) -> Event:
    """Let a release go with its age again.

    Raises
    ------
    BadInput
        It is not pinned.
    """
    if release_id not in pins(history(releases_dir)):
        raise BadInput(f"{release_id[:80]!r} is not pinned; `recsys releases` says what is")
    return record_event(
        releases_dir, event="unpinned", release=release_id, previous=None, why=why, who=who
    )


def carry_pin(releases_dir: Path, old: str, new: str) -> None:
    """Pin what a purge puts in a release's place, if that was pinned."""
    standing = pins(history(releases_dir)).get(old)
    if standing is not None:
        pin(releases_dir, new, standing.who, standing.why)
        unpin(releases_dir, old, standing.who, f"a purge put {new} in its place")
