"""Releases on trial: before they go live, and in the time after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from recsys import names
from recsys.artifacts.base import Artifact, require
from recsys.artifacts.verdict import Verdict, require_passed, revive_verdict


@dataclass(frozen=True)
class ShadowedRelease(Artifact):
    """A release that answered as well as the live one, and may be deployed.

    ``release`` is the releases commit; ``beside`` the id of the live release it was compared with,
    None when there was none; ``figures`` are those of `recsys.trial.figures`, without what
    could not be said. ``verdict`` is None only where the settings let releases go untried.
    """

    kind: ClassVar[str] = "shadowed_release"

    release: str
    release_id: str
    beside: str | None
    figures: dict[str, float]
    verdict: Verdict | None

    def __post_init__(self) -> None:
        require(names.parse_ref(self.release)[0] == names.RELEASES, "not a releases commit")
        require(names.is_release_id(self.release_id), f"{self.release_id!r} is no release id")
        require(bool(self.figures) == (self.verdict is not None), "figures that nobody judged")
        if self.verdict is not None:
            require_passed(self.verdict)

    @classmethod
    def _revive(cls, fields: dict[str, Any]) -> dict[str, Any]:
        verdict = fields["verdict"]
        return {**fields, "verdict": None if verdict is None else revive_verdict(verdict)}
