"""What a gate said: which suite, over what, with which failures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from recsys.artifacts.base import Artifact, require

Severity = Literal["critical", "warning", "info"]


@dataclass(frozen=True)
class Failure:
    """One expectation that did not hold, in words a person can act on."""

    expectation: str
    column: str
    severity: Severity
    observed: str
    reason: str

    def __post_init__(self) -> None:
        require(self.severity in get_args(Severity), f"unknown severity {self.severity!r}")


@dataclass(frozen=True)
class Verdict(Artifact):
    """The result of one suite over one table.

    ``subject`` is the digest or reference of what was judged, ``evaluated`` the number of
    expectations that ran (never 0), ``docs`` the Data Docs page relative to the Data Docs
    folder. A critical failure refuses; a warning or info failure is kept and told.
    """

    kind: ClassVar[str] = "verdict"

    suite: str
    suite_digest: str
    subject: str
    evaluated: int
    failures: tuple[Failure, ...]
    docs: str

    def __post_init__(self) -> None:
        require(self.evaluated > 0, f"suite {self.suite} ran no expectation: that is not a verdict")
        require(len(self.failures) <= self.evaluated, "more failures than expectations")

    @property
    def passed(self) -> bool:
        """Whether nothing critical failed."""
        return not any(failure.severity == "critical" for failure in self.failures)

    @classmethod
    def _revive(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "failures": tuple(Failure(**item) for item in fields["failures"])}


def revive_verdict(data: dict[str, Any]) -> Verdict:
    """A verdict from the plain data that `dataclasses.asdict` makes of it inside an artefact."""
    return Verdict(**{**data, "failures": tuple(Failure(**item) for item in data["failures"])})


def require_passed(verdict: Verdict) -> None:
    """Refuse to build an artefact on a verdict that did not pass."""
    require(
        verdict.passed,
        f"the gate {verdict.suite} refused {verdict.subject}: nothing may be built on it",
    )
