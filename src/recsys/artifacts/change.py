"""One change of the shelf between two nights: a product that is new, other or gone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, ClassVar

from recsys.artifacts.base import Artifact, require
from recsys.artifacts.soundness import usable_id
from recsys.errors import ArtifactInvalid

IMAGE_SUFFIXES: tuple[str, ...] = (".jpg", ".jpeg", ".png", ".webp")


class Action(StrEnum):
    """What a change does to a product: put it on the shelf, take it off, or unsay the above."""

    UPSERT = "upsert"
    DELIST = "delist"
    WITHDRAW = "withdraw"


@dataclass(frozen=True)
class Change(Artifact):
    """One numbered change; later ones of the same product take its place.

    An upsert has ``row``, the product's columns as delivered, and the file name and SHA-256 of
    its picture, ``image`` and ``sha256``; the others have none. After a withdrawal the product
    is as the release has it. ``who`` made it, ``when`` in UTC (ISO 8601).
    """

    kind: ClassVar[str] = "change"

    number: int
    action: Action
    product: str
    row: dict[str, str]
    image: str
    sha256: str
    who: str
    when: str

    def __post_init__(self) -> None:
        require(self.number > 0, f"changes are numbered from 1, not {self.number}")
        require(usable_id(self.product), f"{self.product[:80]!r} cannot be a product's id")
        require(_is_utf8([*self.row, *self.row.values()]), "the row is not UTF-8")
        if self.action is Action.UPSERT:
            image = PurePosixPath(self.image)
            require(
                image.name == self.image
                and image.stem == self.product
                and image.suffix.lower() in IMAGE_SUFFIXES,
                f"the picture of {self.product} is called {self.image[:80]!r};"
                f" expected {self.product} with {', '.join(IMAGE_SUFFIXES)}",
            )
            require(self.row.get("id") == self.product, "the row is another product's")
        else:
            require(
                not (self.row or self.image or self.sha256),
                f"a change that is no {Action.UPSERT} brings no row and no picture",
            )

    @classmethod
    def _revive(cls, fields: dict[str, Any]) -> dict[str, Any]:
        try:
            action = Action(fields["action"])
        except ValueError as error:
            raise ArtifactInvalid(f"{cls.kind}: {error}") from error
        row = fields["row"]
        texts = ("product", "image", "sha256", "who", "when")
        require(
            isinstance(row, dict)
            and all(isinstance(value, str) for value in row.values())
            and all(isinstance(fields[name], str) for name in texts)
            and type(fields["number"]) is int,
            f"{cls.kind}: a value of the wrong type",
        )
        return {**fields, "action": action}


@dataclass(frozen=True)
class FoldedChanges(Artifact):
    """The changes that a night laid over its delivery, by number.

    The commit holds ``/changes/<number>/<image>``, the picture of each upsert.
    """

    kind: ClassVar[str] = "folded_changes"

    changes: tuple[Change, ...]

    def __post_init__(self) -> None:
        numbers = [change.number for change in self.changes]
        require(
            bool(numbers) and numbers == sorted(set(numbers)), "changes are folded in by number"
        )

    @property
    def holding(self) -> dict[str, Change]:
        """Product → the change that holds."""
        return last_of_each(self.changes)

    @classmethod
    def _revive(cls, fields: dict[str, Any]) -> dict[str, Any]:
        given = ({"kind": "change", "schema_version": 1, **item} for item in fields["changes"])
        return {"changes": tuple(Change.from_data(item) for item in given)}


def picture_path(change: Change) -> str:
    """Where a commit of folded changes holds the picture of an upsert."""
    return f"/changes/{change.number:010d}/{change.image}"


def _is_utf8(texts: Iterable[str]) -> bool:
    """Whether no text holds half of a surrogate pair, which JSON may bring."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def last_of_each(changes: Iterable[Change]) -> dict[str, Change]:
    """Product → the one of these changes (ascending) that holds, by product."""
    found = {change.product: change for change in changes}
    return {product: found[product] for product in sorted(found)}
