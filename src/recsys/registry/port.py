"""The port to the model registry: runs with their figures, versions with their aliases.

One contract suite (``tests/contracts/test_model_registry.py``) runs against every adapter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

# Tags that the registry itself writes on a version.
TAG_MODEL_DIGEST: Final = "model_digest"
TAG_DECISION: Final = "decision"
TAG_DECIDED: Final = "decided"
TAG_REASONS: Final = "reasons"
TAG_REPLACES: Final = "replaces"
TAG_REPLACED_BY: Final = "replaced_by"
DECISION_PROMOTED: Final = "promoted"
DECISION_REFUSED: Final = "refused"
# On a run that did not come to its end.
TAG_FAILURE: Final = "failure"
# In front of the figures of the machine: processor, memory, disk, network.
SYSTEM_FIGURES: Final = "system/"
SAMPLE_SECONDS: Final = 10.0


@dataclass(frozen=True)
class RegisteredModel:
    """One version; ``tags`` hold ``model_digest`` and whatever was given at `register`.

    ``created_seconds`` counts from 1970 (UTC); ``description`` is Markdown.
    """

    version: str
    run_id: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...] = ()
    created_seconds: float = 0.0
    description: str = ""

    @property
    def model_digest(self) -> str:
        """SHA-256 of the version's ``embedder.tflite``."""
        return self.tags[TAG_MODEL_DIGEST]

    @property
    def decision(self) -> str:
        """Promoted, refused, or empty before a gate decided."""
        return self.tags.get(TAG_DECISION, "")

    @property
    def reasons(self) -> str:
        """Why it was decided so; may be empty."""
        return self.tags.get(TAG_REASONS, "")


@dataclass(frozen=True)
class RecordedRun:
    """What a run holds: ``figures`` are the last of each, those of the machine left out.

    ``status`` is RUNNING, FINISHED, FAILED, or KILLED (a person stopped it); ``parent`` the
    run that it is a part of, or empty.
    """

    run_id: str
    name: str
    status: str
    parent: str
    parameters: Mapping[str, str]
    figures: Mapping[str, float]
    tags: Mapping[str, str]


class OpenRun(Protocol):
    """A run that is under way."""

    @property
    def id(self) -> str:
        """The run's id."""

    def log_epoch(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Add the figures of one epoch (from 1).

        While the registry cannot be reached they are kept, and sent with a later epoch's or
        at the end: a training of an hour does not die of a lock.
        """

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run."""


class ModelRegistry(Protocol):
    """Runs of one experiment and versions of one registered model (both in `recsys.names`).

    Raises `ServiceUnavailable` when the registry cannot be reached, `OutsideFailed` when it
    refuses, `BadInput` for files that are not there.
    """

    def run(
        self,
        *,
        name: str,
        parameters: Mapping[str, object],
        tags: Mapping[str, str],
        dataset: tuple[str, str],
        parent: str = "",
        again: str = "",
        sample_seconds: float = SAMPLE_SECONDS,
    ) -> AbstractContextManager[OpenRun]:
        """Open a run before the work begins; it ends with the block.

        An exception ends it as FAILED, an interruption by a person as KILLED, both with the
        tag ``failure``. A run whose process died is marked as FAILED when the registry is
        next opened on that machine.

        Parameters
        ----------
        dataset
            (name, ``repo@commit``): the commit becomes the digest of the run's dataset.
        parent
            The run that this one is a part of.
        again
            A run that ended and goes on; its parameters must be the same.
        sample_seconds
            How often processor and memory are measured (`SYSTEM_FIGURES`); 0: never.
        """

    def log_figures(self, run_id: str, figures: Mapping[str, float]) -> None:
        """Add final figures to a run."""

    def attach(self, run_id: str, path: Path, folder: str = "") -> None:
        """Add a file, or a folder with all it holds, to a run; ``folder`` is where."""

    def detach(self, run_id: str, folder: str) -> bool:
        """Remove a folder that was attached to a run; returns whether there was one."""

    def read_run(self, run_id: str) -> RecordedRun:
        """One run."""

    def register(
        self,
        run_id: str,
        files: Path,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        description: str = "",
    ) -> str:
        """Register the folder's ``embedder.tflite`` as the new challenger; returns the version.

        The same file registered again, by a stage that was run again, gives the version
        that it has; the champion never becomes a challenger by that. The description gets a
        last section that says what was decided, when and why.
        """

    def promote(self, version: str, reasons: Sequence[str] = ()) -> None:
        """Make a version the champion; the one before it is tagged ``replaced_by``."""

    def refuse(self, version: str, reasons: Sequence[str]) -> None:
        """Tag a version as refused, and why; it stays the challenger."""

    def champion(self) -> RegisteredModel | None:
        """The reigning version, or None."""

    def challenger(self) -> RegisteredModel | None:
        """The newest version that is not champion, or None."""

    def versions(self) -> list[RegisteredModel]:
        """Every version, newest first."""
