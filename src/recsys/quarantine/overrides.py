"""What a person let through by hand, with who, when and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd

from recsys.artifacts.base import Artifact, require


@dataclass(frozen=True)
class Override:
    """One product let through for one reason, as long as its picture stays the same.

    ``sha256_bytes`` is the picture's; another picture is judged anew.
    """

    id: str
    reason: str
    sha256_bytes: str
    note: str
    who: str
    when: str

    def __post_init__(self) -> None:
        require(bool(self.note.strip()), "a release by hand needs a note that says why")


@dataclass(frozen=True)
class Overrides(Artifact):
    """Every release by hand so far, oldest first."""

    kind: ClassVar[str] = "overrides"

    items: tuple[Override, ...] = ()

    def adding(self, override: Override) -> Overrides:
        """With one more; the same product and reason are replaced."""
        others = [
            item for item in self.items if (item.id, item.reason) != (override.id, override.reason)
        ]
        return Overrides((*others, override))

    @classmethod
    def _revive(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {"items": tuple(Override(**item) for item in fields["items"])}


def without_released(
    failures: pd.DataFrame, pictures: pd.Series, overrides: Overrides
) -> pd.DataFrame:
    """The failures that no person let through.

    Parameters
    ----------
    failures
        Columns id and reason.
    pictures
        SHA-256 of each product's picture tonight, by id.
    """
    released = {(item.id, item.reason, item.sha256_bytes) for item in overrides.items}
    keep = [
        (product, reason, pictures.get(product, "")) not in released
        for product, reason in zip(failures["id"], failures["reason"], strict=True)
    ]
    return failures[pd.Series(keep, failures.index, dtype="bool")]
