"""What was taken out of history for good: the tombstones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from recsys.artifacts.base import Artifact, require
from recsys.artifacts.digests import canonical_json, sha256_bytes


@dataclass(frozen=True)
class Purge:
    """One product whose picture and vectors are gone.

    ``pictures`` are the SHA-256s of its pictures' bytes, which no delivery may bring back
    under any id; ``products`` every product that showed one of them. Unless
    ``may_return``, the product itself is barred too. ``releases`` maps each release that held
    it to the one that took its place; ``commits`` are refs of commits that went altogether;
    ``remains`` says in words what could not be removed. ``finished`` is false while a purge
    is under way, or was cut short.
    """

    product: str
    why: str
    who: str
    when: str
    pictures: tuple[str, ...]
    products: tuple[str, ...]
    may_return: bool
    releases: dict[str, str]
    files: int
    commits: tuple[str, ...]
    remains: tuple[str, ...]
    finished: bool

    def __post_init__(self) -> None:
        require(bool(self.why.strip()), "a purge needs a reason")


@dataclass(frozen=True)
class Purges(Artifact):
    """Every purge so far, oldest first; one a product."""

    kind: ClassVar[str] = "purges"

    items: tuple[Purge, ...] = ()

    @property
    def barred_pictures(self) -> frozenset[str]:
        """SHA-256s of bytes that may not come back."""
        return frozenset(digest for item in self.items for digest in item.pictures)

    @property
    def barred_products(self) -> frozenset[str]:
        """Product ids that may not come back, whatever their picture."""
        return frozenset(item.product for item in self.items if not item.may_return)

    @property
    def barred_digest(self) -> str:
        """SHA-256 over all that may not come back."""
        barred = [sorted(self.barred_pictures), sorted(self.barred_products)]
        return sha256_bytes(canonical_json(barred))

    def successor(self, release_id: str) -> str:
        """The release that stands in for this one now: itself unless a purge replaced it."""
        replaced = {old: new for item in self.items for old, new in item.releases.items()}
        while release_id in replaced:
            release_id = replaced[release_id]
        return release_id

    def of(self, product: str) -> Purge | None:
        """The purge of a product, if there was one."""
        return next((item for item in self.items if item.product == product), None)

    def adding(self, purge: Purge) -> Purges:
        """With one more; an earlier purge of the same product is replaced."""
        return Purges((*(item for item in self.items if item.product != purge.product), purge))

    @classmethod
    def _revive(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {"items": tuple(_purge(item) for item in fields["items"])}


def _purge(fields: dict[str, Any]) -> Purge:
    lists = ("pictures", "products", "commits", "remains")
    return Purge(**{**fields, **{name: tuple(fields[name]) for name in lists}})
