"""The port to where releases are served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict


@dataclass(frozen=True)
class Deployment:
    """A release that every worker answers with.

    ``previous`` was live before, ``seconds`` is how long the change took, ``workers`` how
    many processes, or pods on a cluster, answer. ``changed`` is false when the release was
    live already.
    """

    release: str
    previous: str | None
    seconds: float
    workers: int
    changed: bool


class ProbeRow(TypedDict):
    """How the service answered one probe query; a row of the deployment gate's table.

    ``top_score`` is the closest neighbour's cosine, None without results.
    """

    product_id: str
    status_code: int
    release_matches: bool
    results: int
    top_score: float | None
    self_returned: bool


class DeploymentTarget(Protocol):
    """Puts a release into service and takes it back."""

    def deploy(self, release_id: str) -> Deployment:
        """Make a release answer, or leave the one before it in place.

        Raises
        ------
        ReleaseUnknown
            No such release.
        DeployFailed
            It is damaged, or not every worker could take it up; the previous one is live.
        ServiceUnavailable
            Nothing runs that could serve it.
        ClusterRefused
            The cluster does not allow it, or cannot; nothing was changed there.
        """

    def probe(self, product_ids: Sequence[str], release: str) -> list[ProbeRow]:
        """Ask for each product's recommendations, and whether this release gave them."""

    def roll_back(self, to: str) -> Deployment:
        """As `deploy`, for a release that was live before."""

    def withdraw(self) -> None:
        """Serve nothing: of a release that was refused and had none before it."""
