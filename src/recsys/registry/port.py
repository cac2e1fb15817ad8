"""The port to the model registry: runs with their figures, versions with their aliases.

One contract suite (``tests/contracts/test_model_registry.py``) runs against every adapter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

# Tags that the registry itself writes on a version.
TAG_MODEL_DIGEST: Final = "model_digest"
TAG_DECISION: Final = "decision"
TAG_REASONS: Final = "reasons"
TAG_REPLACED_BY: Final = "replaced_by"
DECISION_PROMOTED: Final = "promoted"
DECISION_REFUSED: Final = "refused"


@dataclass(frozen=True)
class RegisteredModel:
    """One version; ``tags`` hold ``model_digest`` and whatever was given at `register`."""

    version: str
    run_id: str
    tags: Mapping[str, str]

    @property
    def model_digest(self) -> str:
        """SHA-256 of the version's ``embedder.tflite``."""
        return self.tags[TAG_MODEL_DIGEST]


class ModelRegistry(Protocol):
    """Runs of one experiment and versions of one registered model (both in `recsys.names`).

    Raises `ServiceUnavailable` when the registry cannot be reached, `OutsideFailed` when it
    refuses, `BadInput` for files that are not there.
    """

    def record_run(
        self,
        *,
        run_name: str,
        parameters: Mapping[str, object],
        metrics_per_epoch: Sequence[Mapping[str, float]],
        tags: Mapping[str, str],
        dataset: tuple[str, str],
    ) -> str:
        """Record one finished training run; returns its id.

        Metrics get the steps 1, 2, …. ``dataset`` is (name, ``repo@commit``): the commit
        becomes the digest of the run's dataset.
        """

    def log_figures(self, run_id: str, figures: Mapping[str, float]) -> None:
        """Add final figures to a run."""

    def attach(self, run_id: str, path: Path) -> None:
        """Add a file, or a folder with all it holds, to a run."""

    def register(
        self, run_id: str, files: Path, metrics: Mapping[str, float], tags: Mapping[str, str]
    ) -> str:
        """Register the folder's ``embedder.tflite`` as the new challenger; returns the version.

        The same file registered again, by a stage that was run again, gives the version
        that it has; the champion never becomes a challenger by that.
        """

    def promote(self, version: str) -> None:
        """Make a version the champion; the one before it is tagged ``replaced_by``."""

    def refuse(self, version: str, reasons: Sequence[str]) -> None:
        """Tag a version as refused, and why; it stays the challenger."""

    def champion(self) -> RegisteredModel | None:
        """The reigning version, or None."""

    def challenger(self) -> RegisteredModel | None:
        """The newest version that is not champion, or None."""
