"""A release that went live, and what the probe queries said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from recsys import names
from recsys.artifacts.base import Artifact, require
from recsys.artifacts.verdict import Verdict, require_passed, revive_verdict


@dataclass(frozen=True)
class DeployedRelease(Artifact):
    """``release`` is the releases commit, ``release_id`` the folder that is live."""

    kind: ClassVar[str] = "deployed_release"

    release: str
    release_id: str
    verdict: Verdict

    def __post_init__(self) -> None:
        require(names.parse_ref(self.release)[0] == names.RELEASES, "not a releases commit")
        require(names.is_release_id(self.release_id), f"{self.release_id!r} is no release id")
        require_passed(self.verdict)

    @classmethod
    def _revive(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "verdict": revive_verdict(fields["verdict"])}
