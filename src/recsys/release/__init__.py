"""Releases: model, index and product table under one id, and what became of them."""

from recsys.release.assemble import assemble
from recsys.release.history import WENT_LIVE, Event, history, record_event, standing_rollback
from recsys.release.pins import carry_pin, pin, pins, unpin
from recsys.release.shelf import list_releases, remove_release

__all__ = [
    "WENT_LIVE",
    "Event",
    "assemble",
    "carry_pin",
    "history",
    "list_releases",
    "pin",
    "pins",
    "record_event",
    "remove_release",
    "standing_rollback",
    "unpin",
]
