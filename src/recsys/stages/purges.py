"""The purges so far: what no delivery may bring back."""

from __future__ import annotations

from recsys import names
from recsys.artifacts.base import ARTIFACT_FILE
from recsys.artifacts.digests import canonical_json
from recsys.artifacts.products import ProductTable
from recsys.artifacts.purge import Purge, Purges
from recsys.artifacts.release import Release
from recsys.changes import Spool
from recsys.errors import ArtifactInvalid, RepoNotFound
from recsys.stages.night import Night, Opened
from recsys.stages.product_facts import products_showing

__all__ = ["Purge", "Purges", "commit_purges", "current_purges", "require_nothing_purged"]

_NAMED = 6


def current_purges(night: Night) -> Opened[Purges]:
    """The newest purges; none, with an empty ref, when nothing was ever purged."""
    try:
        head = night.store.head(names.PURGES)
    except RepoNotFound:
        head = None
    return Opened(Purges(), "") if head is None else night.open(head.ref, Purges)


def commit_purges(night: Night, purges: Purges, purge: Purge) -> Opened[Purges]:
    """Commit the list with this purge in it, and bar the spool of changes accordingly."""
    updated = purges.adding(purge)
    record = {"stage": "purge_product"} | {
        name: getattr(purge, name) for name in ("product", "who", "when", "why")
    }
    night.store.ensure_repo(names.PURGES)
    with night.store.commit(
        names.PURGES, message=canonical_json(record).decode(), replace=True
    ) as writer:
        writer.put(ARTIFACT_FILE, updated.to_json())
    Spool(night.settings.changes_dir).bar(updated.barred_products, updated.barred_pictures)
    return Opened(updated, writer.ref)


def require_nothing_purged(night: Night, bundle: Release) -> None:
    """Keep a night that was under way while somebody purged from putting it back on the shelf.

    Raises
    ------
    ArtifactInvalid
        The release, whose folder is here, holds a product or a picture that is barred.
    """
    purges = current_purges(night).artifact
    if not purges.items:
        return
    table = ProductTable.load(night.settings.releases_dir / bundle.id)
    showing = products_showing(night, bundle.inputs[names.VALIDATED], purges.barred_pictures)
    barred = {product.encode() for product in purges.barred_products.union(showing)}
    held = sorted(product.decode() for product in barred.intersection(table.ids.tolist()))
    if held:
        raise ArtifactInvalid(
            f"release {bundle.id} holds {len(held)} purged products"
            f" ({', '.join(held[:_NAMED])}): it was made before the purge; run the night anew"
        )
