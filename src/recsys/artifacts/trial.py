"""Releases on trial: before they go live, and in the time after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from recsys import names
from recsys.artifacts.base import Artifact, require
from recsys.artifacts.verdict import Verdict, require_passed, revive_verdict

Outcome = Literal["kept", "too few requests", "nothing before", "superseded"]
_SAID = {
    "kept": "release {} was watched and is no worse than {}",
    "too few requests": "release {} had too few requests to compare it with {}; it stays",
    "nothing before": "release {} is not watched: no deployment put it in the place of another",
    "superseded": "release {} is not live any more; the watch ends",
}


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


@dataclass(frozen=True)
class WatchedRelease(Artifact):
    """A release whose watch is over, and which it left in place.

    ``release`` is the releases commit, ``previous`` the id of what was live before, ``since`` the
    time of the deployment (ISO 8601, UTC); ``signs`` holds, by what may be wrong, its share of
    the requests before and after.
    """

    kind: ClassVar[str] = "watched_release"

    release: str
    release_id: str
    previous: str | None
    since: str
    outcome: Outcome
    signs: dict[str, tuple[float, float]]

    def __post_init__(self) -> None:
        require(names.parse_ref(self.release)[0] == names.RELEASES, "not a releases commit")
        require(self.outcome in get_args(Outcome), f"unknown outcome {self.outcome!r}")

    @property
    def said(self) -> str:
        """In words."""
        return _SAID[self.outcome].format(self.release_id, self.previous)

    @classmethod
    def _revive(cls, fields: dict[str, Any]) -> dict[str, Any]:
        signs = {sign: (before, after) for sign, (before, after) in fields["signs"].items()}
        return {**fields, "signs": signs}
