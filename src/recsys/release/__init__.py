"""Releases: model, index and product table under one id, and what became of them."""

from recsys.release.assemble import assemble
from recsys.release.history import Event, history, record_event, standing_rollback
from recsys.release.shelf import list_releases, remove_release

__all__ = [
    "Event",
    "assemble",
    "history",
    "list_releases",
    "record_event",
    "remove_release",
    "standing_rollback",
]
