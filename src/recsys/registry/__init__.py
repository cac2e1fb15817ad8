"""The model registry: runs, versions, and which version is champion.

`open_registry` gives the adapter behind the `ModelRegistry` port; MLflow is loaded then.
"""

from __future__ import annotations

from pathlib import Path

from recsys.registry.port import (
    SAMPLE_SECONDS,
    ModelRegistry,
    OpenRun,
    RecordedRun,
    RegisteredModel,
)

__all__ = [
    "SAMPLE_SECONDS",
    "ModelRegistry",
    "OpenRun",
    "RecordedRun",
    "RegisteredModel",
    "open_registry",
]


def open_registry(uri: str, artifact_dir: Path) -> ModelRegistry:
    """Open the MLflow registry at ``uri``; a new SQLite one is migrated first (seconds, once).

    ``artifact_dir`` takes the files of runs and models; it counts when the experiment is
    made, later the experiment's own folder does.

    Raises
    ------
    ServiceUnavailable
        The database or server cannot be reached.
    """
    from recsys.registry.mlflow_adapter import MlflowRegistry

    return MlflowRegistry(uri, artifact_dir)
