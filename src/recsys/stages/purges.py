"""The purges so far: what no delivery may bring back."""

from __future__ import annotations

from recsys import names
from recsys.artifacts.base import ARTIFACT_FILE
from recsys.artifacts.digests import canonical_json
from recsys.artifacts.purge import Purge, Purges
from recsys.errors import RepoNotFound
from recsys.stages.night import Night, Opened

__all__ = ["Purge", "Purges", "commit_purges", "current_purges"]


def current_purges(night: Night) -> Opened[Purges]:
    """The newest purges; none, with an empty ref, when nothing was ever purged."""
    try:
        head = night.store.head(names.PURGES)
    except RepoNotFound:
        head = None
    return Opened(Purges(), "") if head is None else night.open(head.ref, Purges)


def commit_purges(night: Night, purges: Purges, purge: Purge) -> Opened[Purges]:
    """Commit the list with this purge in it."""
    updated = purges.adding(purge)
    record = {"stage": "purge_product"} | {
        name: getattr(purge, name) for name in ("product", "who", "when", "why")
    }
    night.store.ensure_repo(names.PURGES)
    with night.store.commit(
        names.PURGES, message=canonical_json(record).decode(), replace=True
    ) as writer:
        writer.put(ARTIFACT_FILE, updated.to_json())
    return Opened(updated, writer.ref)
