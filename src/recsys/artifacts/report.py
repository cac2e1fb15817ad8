"""What the service did in one window of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from recsys import names
from recsys.artifacts.base import Artifact, require
from recsys.artifacts.verdict import Verdict, require_passed, revive_verdict


@dataclass(frozen=True)
class ServiceReport(Artifact):
    """Figures from the request log between two instants (ISO 8601, UTC)."""

    kind: ClassVar[str] = "service_report"

    release: str
    since: str
    until: str
    figures: dict[str, float]
    verdict: Verdict

    def __post_init__(self) -> None:
        require(names.parse_ref(self.release)[0] == names.RELEASES, "not a release commit")
        require_passed(self.verdict)

    @classmethod
    def _revive(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "verdict": revive_verdict(fields["verdict"])}
