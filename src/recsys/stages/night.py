"""What every stage of one night works with: settings, adapters, receipts, progress."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeVar

from recsys import names
from recsys.artifacts.base import ARTIFACT_FILE, Artifact
from recsys.artifacts.receipt import Receipt
from recsys.errors import ArtifactInvalid, FileMissing, RepoNotFound, SettingsInvalid
from recsys.images import ImageLimits
from recsys.provenance import CommitInfo, DataStore, open_store
from recsys.registry import ModelRegistry, open_registry
from recsys.settings import Settings

A = TypeVar("A", bound=Artifact)

# progress(what, total) opens a bar; calling its value with n advances it by n.
Advance = Callable[[int], None]
ProgressBars = Callable[[str, int], AbstractContextManager[Advance]]

# The repo that each stage commits to.
REPO_OF_STAGE = {
    "snapshot_catalog": names.CATALOG,
    "measure_catalog": names.MEASURED,
    "validate_catalog": names.VALIDATED,
    "split_catalog": names.SPLITS,
    "plan_training": names.PLANS,
    "train_model": names.MODELS,
    "evaluate_model": names.EVALUATIONS,
    "probe_model": names.PROBE_REPORTS,
    "check_labels": names.LABEL_REPORTS,
    "approve_model": names.CHAMPIONS,
    "embed_catalog": names.EMBEDDINGS,
    "build_index": names.INDEXES,
    "assemble_release": names.RELEASES,
    "shadow_release": names.SHADOWS,
    "deploy_release": names.DEPLOYMENTS,
    "watch_release": names.WATCHES,
    "watch_service": names.SERVICE_REPORTS,
}


@contextmanager
def no_progress_bars(what: str, total: int) -> Iterator[Advance]:
    """Show nothing: the default away from a terminal."""
    yield lambda _: None


@dataclass(frozen=True)
class Opened(Generic[A]):
    """An artefact and the commit that holds it."""

    artifact: A
    ref: str


@dataclass(frozen=True)
class Night:
    """One night; ``date`` is ``YYYY-MM-DD``.

    ``run`` says who runs it (Airflow's run id and try, say); it is recorded with every commit.
    """

    settings: Settings
    date: str
    receipts: dict[str, Receipt] = field(default_factory=dict)
    progress: ProgressBars = no_progress_bars
    run: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", self.date):
            raise SettingsInvalid(f"a night is named YYYY-MM-DD, not {self.date!r}")

    @cached_property
    def store(self) -> DataStore:
        """Data provenance."""
        return open_store(self.settings)

    @cached_property
    def registry(self) -> ModelRegistry:
        """The model registry."""
        return open_registry(self.settings.mlflow_uri, self.settings.mlflow_dir / "artifacts")

    @property
    def image_limits(self) -> ImageLimits:
        """What an image may be."""
        return ImageLimits(self.settings.max_image_bytes, self.settings.max_image_pixels)

    def seen(self, name: str, look: Callable[[], str]) -> str:
        """What a stage looks up outside of its inputs; a replay sees what was seen then.

        The stage records it in its context under this name.
        """
        return look()

    def result_of(self, stage: str, artifact: type[A]) -> Opened[A]:
        """The artefact of an earlier stage: by its receipt, else the newest of its repo.

        Raises
        ------
        ArtifactInvalid
            The commit holds another artefact than its receipt says.
        FileMissing
            No receipt was given and nothing was committed yet.
        """
        receipt = self.receipts.get(stage)
        if receipt is not None:
            opened = self.open(receipt.ref, artifact)
            if opened.artifact.digest != receipt.artifact_digest:
                raise ArtifactInvalid(
                    f"{receipt.ref} does not hold what the receipt of {stage} names"
                )
            return opened
        newest = self.newest(stage, artifact)
        if newest is None:
            raise FileMissing(f"repo {REPO_OF_STAGE[stage]} is empty: run the stage {stage} first")
        return newest

    def newest(self, stage: str, artifact: type[A]) -> Opened[A] | None:
        """The newest artefact that a stage committed, or None."""
        repo = REPO_OF_STAGE[stage]
        self.store.ensure_repo(repo)
        head = self.store.head(repo)
        return None if head is None else self.open(head.ref, artifact)

    def commits(self, repo: str) -> list[CommitInfo]:
        """A repo's commits, newest first; none when the repo was never made."""
        try:
            return list(self.store.commits(repo))
        except RepoNotFound:
            return []

    def holding(self, repo: str, sha256: str) -> list[tuple[CommitInfo, str]]:
        """A repo's commits with a file of this SHA-256, and its path; none of no repo."""
        try:
            return list(self.store.holding(repo, sha256))
        except RepoNotFound:
            return []

    def open(self, ref: str, artifact: type[A]) -> Opened[A]:
        """The artefact that a commit holds."""
        return Opened(artifact.from_json(self.read(ref, ARTIFACT_FILE)), ref)

    def read(self, ref: str, path: str) -> bytes:
        """One small file of a commit."""
        with self.store.open(ref, path) as stream:
            return stream.read()
