"""What one task hands the next: which commit holds the artefact, and its digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from recsys import names
from recsys.artifacts.base import Artifact, require


@dataclass(frozen=True)
class Receipt(Artifact):
    """Small enough for XCom and an asset event; the artefact stays in the store.

    ``artifact`` is the artefact's kind, ``ref`` the commit (``repo@id``), ``artifact_digest``
    the SHA-256 of the artefact's JSON, ``fresh`` whether the stage did the work just now
    (false: the same inputs were committed before, and that commit is meant).
    """

    kind: ClassVar[str] = "receipt"

    artifact: str
    ref: str
    artifact_digest: str
    fresh: bool

    def __post_init__(self) -> None:
        names.parse_ref(self.ref)
        require(len(self.artifact_digest) == 64, "artifact_digest is not a SHA-256")
