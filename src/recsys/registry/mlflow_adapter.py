"""The model registry on MLflow, by its client: no global tracking URI, no active run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recsys import names
from recsys.artifacts.digests import sha256_file
from recsys.errors import BadInput
from recsys.registry.decision import with_decision
from recsys.registry.mlflow_client import Tracking, connect, errors_of_ours, metrics_of
from recsys.registry.mlflow_model import MODEL_FILE, save
from recsys.registry.mlflow_runs import MlflowRun, end_abandoned, open_run, read_run
from recsys.registry.port import (
    DECISION_PROMOTED,
    DECISION_REFUSED,
    SAMPLE_SECONDS,
    TAG_DECIDED,
    TAG_DECISION,
    TAG_MODEL_DIGEST,
    TAG_REASONS,
    TAG_REPLACED_BY,
    TAG_REPLACES,
    RecordedRun,
    RegisteredModel,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LONGEST_REASONS = 5000
_OF_OURS = f"name='{names.REGISTERED_MODEL}'"
_DESCRIPTION = f"""\
Turns product pictures into embeddings: near vectors are products that look alike.

A version is a model of one night, with the run that trained it, its figures on held-out
products, and what the gates decided. `{names.ALIAS_CHAMPION}` is the version that the newest
release is made with; `{names.ALIAS_CHALLENGER}` the newest that is not.

Load one with `mlflow.pyfunc.load_model("models:/{names.REGISTERED_MODEL}@{names.ALIAS_CHAMPION}")`:
uint8 [n, height, width, 3] RGB in, float32 [n, dimension] of unit norm out."""


class MlflowRegistry:
    """`ModelRegistry` on an MLflow database (``sqlite:///…``) or server (``http://…``)."""

    def __init__(self, uri: str, artifact_dir: Path) -> None:
        """Connect, make experiment and registered model unless they are there, tidy up.

        Raises
        ------
        ServiceUnavailable
            The database or server cannot be reached.
        """
        with errors_of_ours(uri):
            self._client = connect(uri)
            self._uri = uri
            experiment_id = _ensure_experiment(self._client, artifact_dir)
            self._tracking = Tracking(self._client, uri, experiment_id)
            self._ensure_registered_model()
            end_abandoned(self._tracking)

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
    ) -> AbstractContextManager[MlflowRun]:
        """See the port."""
        return open_run(
            self._tracking,
            name=name,
            parameters=parameters,
            tags=tags,
            dataset=dataset,
            parent=parent,
            again=again,
            sample_seconds=sample_seconds,
        )

    def log_figures(self, run_id: str, figures: Mapping[str, float]) -> None:
        """See the port."""
        with errors_of_ours(self._uri):
            self._tracking.log_metrics(run_id, metrics_of(figures, 0))

    def attach(self, run_id: str, path: Path, folder: str = "") -> None:
        """See the port."""
        if not path.exists():
            raise BadInput(f"nothing to attach to run {run_id}: {path} does not exist")
        with errors_of_ours(self._uri):
            if path.is_dir():
                self._client.log_artifacts(run_id, str(path), folder or path.name)
            else:
                self._client.log_artifact(run_id, str(path), folder or None)

    def detach(self, run_id: str, folder: str) -> bool:
        """See the port."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with errors_of_ours(self._uri):
            found = self._client.get_run(run_id).info.artifact_uri
            attached: Any = get_artifact_repository(found, tracking_uri=self._uri)
            if not attached.list_artifacts(folder):
                return False
            attached.delete_artifacts(folder)
            return True

    def read_run(self, run_id: str) -> RecordedRun:
        """See the port."""
        with errors_of_ours(self._uri):
            return read_run(self._tracking, run_id)

    def register(
        self,
        run_id: str,
        files: Path,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        description: str = "",
    ) -> str:
        """See the port."""
        model = files / MODEL_FILE
        if not model.is_file():
            raise BadInput(f"nothing to register: {files} holds no {MODEL_FILE}")
        digest = sha256_file(model)
        with errors_of_ours(self._uri):
            version = self._version_of(digest)
            if version is None:
                version = self._create_version(
                    run_id, model, {**tags, TAG_MODEL_DIGEST: digest}, metrics, description
                )
            if version != self._alias(names.ALIAS_CHAMPION):
                self._set_alias(names.ALIAS_CHALLENGER, version)
        return version

    def promote(self, version: str, reasons: Sequence[str] = ()) -> None:
        """See the port."""
        with errors_of_ours(self._uri):
            self._client.get_model_version(names.REGISTERED_MODEL, version)
            previous = self._alias(names.ALIAS_CHAMPION)
            replaces = {}
            # Tags first: a crash before the alias moves leaves the old champion reigning, and
            # promoting again completes.
            if previous not in (None, version):
                self._tag(str(previous), {TAG_REPLACED_BY: version})
                self._describe(str(previous))
                replaces = {TAG_REPLACES: str(previous)}
            self._untag(version, TAG_REPLACED_BY, TAG_REASONS)
            self._decide(version, DECISION_PROMOTED, reasons, replaces)
            self._set_alias(names.ALIAS_CHAMPION, version)
            if self._alias(names.ALIAS_CHALLENGER) == version:
                self._client.delete_registered_model_alias(
                    names.REGISTERED_MODEL, names.ALIAS_CHALLENGER
                )

    def refuse(self, version: str, reasons: Sequence[str]) -> None:
        """See the port."""
        with errors_of_ours(self._uri):
            self._decide(version, DECISION_REFUSED, reasons, {})

    def champion(self) -> RegisteredModel | None:
        """See the port."""
        with errors_of_ours(self._uri):
            return self._by_alias(names.ALIAS_CHAMPION)

    def challenger(self) -> RegisteredModel | None:
        """See the port."""
        with errors_of_ours(self._uri):
            return self._by_alias(names.ALIAS_CHALLENGER)

    def versions(self) -> list[RegisteredModel]:
        """See the port."""
        with errors_of_ours(self._uri):
            aliases = self._client.get_registered_model(names.REGISTERED_MODEL).aliases
            page = self._client.search_model_versions(_OF_OURS)
            found = list(page)
            while page.token:
                page = self._client.search_model_versions(_OF_OURS, page_token=page.token)
                found += page
        models = [_registered(item, aliases) for item in found]
        return sorted(models, key=lambda model: int(model.version), reverse=True)

    def _ensure_registered_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(names.REGISTERED_MODEL, description=_DESCRIPTION)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _version_of(self, digest: str) -> str | None:
        found = self._client.search_model_versions(
            f"{_OF_OURS} and tags.{TAG_MODEL_DIGEST}='{digest}'"
        )
        return min((str(item.version) for item in found), key=int, default=None)

    def _create_version(
        self,
        run_id: str,
        model: Path,
        tags: Mapping[str, str],
        metrics: Mapping[str, float],
        description: str,
    ) -> str:
        from mlflow.entities import LoggedModelOutput

        logged = self._client.create_logged_model(
            self._tracking.experiment_id,
            name=names.REGISTERED_MODEL,
            source_run_id=run_id,
            tags=dict(tags),
            model_type="pyfunc",
        )
        status: Literal["READY", "FAILED"] = "FAILED"
        try:
            with tempfile.TemporaryDirectory(prefix="recsys-mlflow-") as scratch:
                folder = Path(scratch) / "model"
                save(model, folder, run_id, logged.model_id, logged.artifact_location)
                self._client.log_model_artifacts(logged.model_id, str(folder))
            status = "READY"
        finally:
            self._client.finalize_logged_model(logged.model_id, status)
        self._client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        self.log_figures(run_id, metrics)
        self._tracking.tag_run(run_id, tags)
        version = self._client.create_model_version(
            names.REGISTERED_MODEL,
            source=logged.artifact_location,
            run_id=run_id,
            tags=dict(tags),
            description=description,
            model_id=logged.model_id,
        )
        return str(version.version)

    def _decide(
        self, version: str, decision: str, reasons: Sequence[str], more: Mapping[str, str]
    ) -> None:
        """Write a decision on the version, into its description and on its run."""
        tags = {
            TAG_DECISION: decision,
            TAG_DECIDED: datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            **more,
        }
        if reasons:
            tags[TAG_REASONS] = "; ".join(reasons)[:_LONGEST_REASONS]
        self._tag(version, tags)
        # A run keeps no reasons of an earlier decision.
        self._tracking.tag_run(self._describe(version), {TAG_REASONS: "", **tags})

    def _describe(self, version: str) -> str:
        """Bring the description up to what the tags say; returns the version's run id."""
        found = self._client.get_model_version(names.REGISTERED_MODEL, version)
        self._client.update_model_version(
            names.REGISTERED_MODEL, version, with_decision(found.description or "", found.tags)
        )
        return str(found.run_id)

    def _alias(self, alias: str) -> str | None:
        aliases = self._client.get_registered_model(names.REGISTERED_MODEL).aliases
        version = aliases.get(alias)
        return None if version is None else str(version)

    def _by_alias(self, alias: str) -> RegisteredModel | None:
        aliases = self._client.get_registered_model(names.REGISTERED_MODEL).aliases
        version = aliases.get(alias)
        if version is None:
            return None
        found = self._client.get_model_version(names.REGISTERED_MODEL, str(version))
        return _registered(found, aliases)

    def _set_alias(self, alias: str, version: str) -> None:
        self._client.set_registered_model_alias(names.REGISTERED_MODEL, alias, version)

    def _tag(self, version: str, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            self._client.set_model_version_tag(names.REGISTERED_MODEL, version, key, value)

    def _untag(self, version: str, *keys: str) -> None:
        tags = self._client.get_model_version(names.REGISTERED_MODEL, version).tags
        for key in set(keys) & set(tags):
            self._client.delete_model_version_tag(names.REGISTERED_MODEL, version, key)


def _ensure_experiment(client: MlflowClient, artifact_dir: Path) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(names.EXPERIMENT)
    if found is None:
        location = artifact_dir.absolute().as_uri()
        try:
            return str(client.create_experiment(names.EXPERIMENT, location))
        except MlflowException:
            # Another process may have made it in between.
            found = client.get_experiment_by_name(names.EXPERIMENT)
            if found is None:
                raise
    return str(found.experiment_id)


def _registered(found: Any, aliases: Mapping[str, str]) -> RegisteredModel:
    """MLflow's version as ours; ``aliases`` are those of the whole model."""
    version = str(found.version)
    return RegisteredModel(
        version,
        str(found.run_id),
        dict(found.tags),
        tuple(sorted(name for name, named in aliases.items() if str(named) == version)),
        found.creation_timestamp / 1000,
        found.description or "",
    )
