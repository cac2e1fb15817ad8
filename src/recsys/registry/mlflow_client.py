"""How every part of the adapter reaches MLflow: by its client, with our errors."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.errors import OutsideFailed, ServiceUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient

_METRICS_A_CALL = 1000  # MLflow's limits
_PARAMETERS_A_CALL = 100


@dataclass(frozen=True)
class Tracking:
    """A client, the URI that it speaks to, and the experiment of our runs."""

    client: MlflowClient
    uri: str
    experiment_id: str

    def log_metrics(self, run_id: str, metrics: Sequence[Any]) -> None:
        """Add MLflow metrics to a run, in as many calls as it takes."""
        for at in range(0, len(metrics), _METRICS_A_CALL):
            self.client.log_batch(run_id, metrics=metrics[at : at + _METRICS_A_CALL])

    def log_parameters(self, run_id: str, parameters: Mapping[str, object]) -> None:
        """Add parameters to a run, in as many calls as it takes."""
        from mlflow.entities import Param

        params = [Param(name, str(value)) for name, value in parameters.items()]
        for at in range(0, len(params), _PARAMETERS_A_CALL):
            self.client.log_batch(run_id, params=params[at : at + _PARAMETERS_A_CALL])

    def tag_run(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""
        from mlflow.entities import RunTag

        self.client.log_batch(run_id, tags=[RunTag(name, text) for name, text in tags.items()])


def connect(uri: str) -> MlflowClient:
    """A client; the database's folder is made, nothing global is set but two quiet loggers."""
    # MLflow reads these when it is first imported; we send nothing home.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns that an environment made by uv holds no pip; the logged requirements are ours.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def metrics_of(figures: Mapping[str, float], step: int) -> list[Any]:
    """Figures as MLflow's metrics of this moment."""
    from mlflow.entities import Metric

    now = time.time_ns() // 1_000_000
    return [Metric(name, float(value), now, step) for name, value in figures.items()]


@contextmanager
def errors_of_ours(uri: str) -> Iterator[None]:
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
