"""The model registry on MLflow, by its client: no global tracking URI, no active run."""

from __future__ import annotations

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recsys import names
from recsys.artifacts.digests import canonical_json, sha256_file
from recsys.errors import BadInput, OutsideFailed, ServiceUnavailable
from recsys.registry.port import (
    DECISION_PROMOTED,
    DECISION_REFUSED,
    TAG_DECISION,
    TAG_MODEL_DIGEST,
    TAG_REASONS,
    TAG_REPLACED_BY,
    RegisteredModel,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

_MODEL_FILE = "embedder.tflite"
_CODE_FILE = Path(__file__).with_name("pyfunc_embedder.py")
# What running the logged model takes; versions are those of the locks. Given, so that MLflow
# does not spend 16 s on loading the model in a process of its own to find out.
_REQUIREMENTS = ("mlflow==3.17.2", "ai-edge-litert==2.3.0", "numpy")
_METRICS_A_CALL = 1000  # MLflow's limits
_PARAMETERS_A_CALL = 100
_LONGEST_REASONS = 5000


class MlflowRegistry:
    """`ModelRegistry` on an MLflow database (``sqlite:///…``) or server (``http://…``)."""

    def __init__(self, uri: str, artifact_dir: Path) -> None:
        """Connect, and make experiment and registered model unless they are there.

        Raises
        ------
        ServiceUnavailable
            The database or server cannot be reached.
        """
        # MLflow reads this when it is first imported; we send nothing home.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        with _errors_of_ours(uri):
            if uri.startswith("sqlite:///"):
                Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            self._client = _connect(uri)
            self._uri = uri
            self._experiment_id = self._ensure_experiment(artifact_dir)
            self._ensure_registered_model()

    def record_run(
        self,
        *,
        run_name: str,
        parameters: Mapping[str, object],
        metrics_per_epoch: Sequence[Mapping[str, float]],
        tags: Mapping[str, str],
        dataset: tuple[str, str],
    ) -> str:
        """See the port."""
        from mlflow.entities import Metric, Param

        now = _now_ms()
        metrics = [
            Metric(name, float(value), now, step)
            for step, epoch in enumerate(metrics_per_epoch, start=1)
            for name, value in epoch.items()
        ]
        params = [Param(name, str(value)) for name, value in parameters.items()]
        with _errors_of_ours(self._uri):
            run = self._client.create_run(
                self._experiment_id,
                run_name=run_name,
                tags={**tags, "dataset": dataset[1]},
            )
            run_id = str(run.info.run_id)
            status = "FAILED"
            try:
                for at in range(0, len(params), _PARAMETERS_A_CALL):
                    self._client.log_batch(run_id, params=params[at : at + _PARAMETERS_A_CALL])
                self._log_metrics(run_id, metrics)
                self._client.log_inputs(run_id, [_dataset_input(*dataset)])
                status = "FINISHED"
            finally:
                self._client.set_terminated(run_id, status)
        return run_id

    def log_figures(self, run_id: str, figures: Mapping[str, float]) -> None:
        """See the port."""
        from mlflow.entities import Metric

        now = _now_ms()
        with _errors_of_ours(self._uri):
            self._log_metrics(
                run_id, [Metric(name, float(value), now, 0) for name, value in figures.items()]
            )

    def attach(self, run_id: str, path: Path) -> None:
        """See the port."""
        if not path.exists():
            raise BadInput(f"nothing to attach to run {run_id}: {path} does not exist")
        with _errors_of_ours(self._uri):
            if path.is_dir():
                self._client.log_artifacts(run_id, str(path), path.name)
            else:
                self._client.log_artifact(run_id, str(path))

    def register(
        self, run_id: str, files: Path, metrics: Mapping[str, float], tags: Mapping[str, str]
    ) -> str:
        """See the port."""
        model = files / _MODEL_FILE
        if not model.is_file():
            raise BadInput(f"nothing to register: {files} holds no {_MODEL_FILE}")
        digest = sha256_file(model)
        with _errors_of_ours(self._uri):
            version = self._version_of(digest)
            if version is None:
                version = self._create_version(
                    run_id, model, {**tags, TAG_MODEL_DIGEST: digest}, metrics
                )
            if version != self._alias(names.ALIAS_CHAMPION):
                self._set_alias(names.ALIAS_CHALLENGER, version)
        return version

    def promote(self, version: str) -> None:
        """See the port."""
        with _errors_of_ours(self._uri):
            self._client.get_model_version(names.REGISTERED_MODEL, version)
            previous = self._alias(names.ALIAS_CHAMPION)
            # Tags first: a crash before the alias moves leaves the old champion reigning, and
            # promoting again completes.
            if previous not in (None, version):
                self._tag(str(previous), {TAG_REPLACED_BY: version})
            self._untag(version, TAG_REPLACED_BY, TAG_REASONS)
            self._tag(version, {TAG_DECISION: DECISION_PROMOTED})
            self._set_alias(names.ALIAS_CHAMPION, version)
            if self._alias(names.ALIAS_CHALLENGER) == version:
                self._client.delete_registered_model_alias(
                    names.REGISTERED_MODEL, names.ALIAS_CHALLENGER
                )

    def refuse(self, version: str, reasons: Sequence[str]) -> None:
        """See the port."""
        text = "; ".join(reasons)[:_LONGEST_REASONS]
        with _errors_of_ours(self._uri):
            self._tag(version, {TAG_DECISION: DECISION_REFUSED, TAG_REASONS: text})

    def champion(self) -> RegisteredModel | None:
        """See the port."""
        with _errors_of_ours(self._uri):
            return self._by_alias(names.ALIAS_CHAMPION)

    def challenger(self) -> RegisteredModel | None:
        """See the port."""
        with _errors_of_ours(self._uri):
            return self._by_alias(names.ALIAS_CHALLENGER)

    def _ensure_experiment(self, artifact_dir: Path) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(names.EXPERIMENT)
        if found is None:
            location = artifact_dir.absolute().as_uri()
            try:
                return str(self._client.create_experiment(names.EXPERIMENT, location))
            except MlflowException:
                # Another process may have made it in between.
                found = self._client.get_experiment_by_name(names.EXPERIMENT)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _ensure_registered_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(
                names.REGISTERED_MODEL,
                description="Embeds product images; the alias champion is what serving runs.",
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _log_metrics(self, run_id: str, metrics: Sequence[Any]) -> None:
        for at in range(0, len(metrics), _METRICS_A_CALL):
            self._client.log_batch(run_id, metrics=metrics[at : at + _METRICS_A_CALL])

    def _version_of(self, digest: str) -> str | None:
        found = self._client.search_model_versions(
            f"name='{names.REGISTERED_MODEL}' and tags.{TAG_MODEL_DIGEST}='{digest}'"
        )
        return min((str(item.version) for item in found), key=int, default=None)

    def _create_version(
        self, run_id: str, model: Path, tags: Mapping[str, str], metrics: Mapping[str, float]
    ) -> str:
        from mlflow.entities import LoggedModelOutput

        logged = self._client.create_logged_model(
            self._experiment_id,
            name=names.REGISTERED_MODEL,
            source_run_id=run_id,
            tags=dict(tags),
            model_type="pyfunc",
        )
        status: Literal["READY", "FAILED"] = "FAILED"
        try:
            with tempfile.TemporaryDirectory(prefix="recsys-mlflow-") as scratch:
                folder = Path(scratch) / "model"
                _save(model, folder, run_id, logged.model_id, logged.artifact_location)
                self._client.log_model_artifacts(logged.model_id, str(folder))
            status = "READY"
        finally:
            self._client.finalize_logged_model(logged.model_id, status)
        self._client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        self.log_figures(run_id, metrics)
        version = self._client.create_model_version(
            names.REGISTERED_MODEL,
            source=logged.artifact_location,
            run_id=run_id,
            tags=dict(tags),
            model_id=logged.model_id,
        )
        return str(version.version)

    def _alias(self, alias: str) -> str | None:
        aliases = self._client.get_registered_model(names.REGISTERED_MODEL).aliases
        version = aliases.get(alias)
        return None if version is None else str(version)

    def _by_alias(self, alias: str) -> RegisteredModel | None:
        version = self._alias(alias)
        if version is None:
            return None
        found = self._client.get_model_version(names.REGISTERED_MODEL, version)
        return RegisteredModel(version, str(found.run_id), dict(found.tags))

    def _set_alias(self, alias: str, version: str) -> None:
        self._client.set_registered_model_alias(names.REGISTERED_MODEL, alias, version)

    def _tag(self, version: str, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            self._client.set_model_version_tag(names.REGISTERED_MODEL, version, key, value)

    def _untag(self, version: str, *keys: str) -> None:
        tags = self._client.get_model_version(names.REGISTERED_MODEL, version).tags
        for key in set(keys) & set(tags):
            self._client.delete_model_version_tag(names.REGISTERED_MODEL, version, key)


def _connect(uri: str) -> MlflowClient:
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns that an environment made by uv holds no pip; the logged requirements are ours.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _dataset_input(name: str, ref: str) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    repo, commit = names.parse_ref(ref)
    source = canonical_json({"repo": repo, "commit": commit}).decode()
    return DatasetInput(
        Dataset(name=name, digest=commit, source_type="recsys", source=source),
        [InputTag("mlflow.data.context", "training")],
    )


def _save(model: Path, folder: Path, run_id: str, model_id: str, location: str) -> None:
    """Write the pyfunc model to a local folder."""
    with warnings.catch_warnings():
        # Said by MLflow about its own classes, when it is imported.
        warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType", UserWarning)
        # Not "from mlflow import pyfunc": that gives a stand-in which imports later.
        import mlflow.pyfunc
        from mlflow.models import Model

    signature, example = _signature(model)
    mlflow.pyfunc.save_model(
        str(folder),
        mlflow_model=Model(artifact_path=location, run_id=run_id, model_id=model_id),
        python_model=str(_CODE_FILE),
        artifacts={"embedder": str(model)},
        signature=signature,
        input_example=example,
        pip_requirements=list(_REQUIREMENTS),
    )


def _signature(model: Path) -> tuple[ModelSignature, Any]:
    """The signature that the file itself declares, and one white image as the example."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    try:
        interpreter = Interpreter(model_path=str(model))
        given = interpreter.get_input_details()[0]
        returned = interpreter.get_output_details()[0]
    except ValueError as error:
        raise BadInput(f"nothing to register: {model} is not a LiteRT file ({error})") from error
    images = (-1, *(int(size) for size in given["shape"][1:]))
    vectors = (-1, int(returned["shape"][-1]))
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype(given["dtype"]), images)]),
        Schema([TensorSpec(np.dtype(returned["dtype"]), vectors)]),
    )
    return signature, np.full((1, *images[1:]), 255, given["dtype"])


@contextmanager
def _errors_of_ours(uri: str) -> Iterator[None]:
    """Turn what MLflow and its database raise into `OutsideFailed` or `ServiceUnavailable`."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as error:
        unreachable = error.error_code == "TEMPORARILY_UNAVAILABLE" or isinstance(
            error.__cause__, OSError
        )
        kind = ServiceUnavailable if unreachable else OutsideFailed
        raise kind(f"MLflow at {uri}: {str(error)[:500]}") from error
    except (SQLAlchemyError, OSError) as error:  # requests' errors are OSErrors
        raise ServiceUnavailable(
            f"MLflow at {uri} cannot be used ({str(error)[:500]}); check that the path is"
            " writable or that the server runs"
        ) from error
