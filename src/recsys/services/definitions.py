"""Which services there are, how each is started, and when it is healthy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from recsys.artifacts.digests import canonical_json, sha256_bytes
from recsys.services.environment import (
    SERVICE_MARK,
    airflow_environment,
    mlflow_environment,
    serving_environment,
)
from recsys.settings import PROJECT_ROOT, Settings

HOST = "127.0.0.1"
_PROBE_SECONDS = 5.0

# started (seconds since 1970) → whether the process started then is healthy now.
HealthCheck = Callable[[float], bool]


@dataclass(frozen=True)
class Service:
    """One process to keep.

    ``environment`` is added to the caller's; ``ports`` maps the setting that moves a port to
    the port; ``prepare`` names a command that must have succeeded before the first start.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ports: Mapping[str, int]
    healthy: HealthCheck
    log: Path
    url: str = ""
    prepare: tuple[str, ...] = field(default=())

    @property
    def fingerprint(self) -> str:
        """SHA-256 of command and environment: another one means a restart is due."""
        parts = {"command": list(self.command), "environment": dict(self.environment)}
        return sha256_bytes(canonical_json(parts))


def local_services(settings: Settings) -> tuple[Service, ...]:
    """The services of one machine, in the order of starting."""
    return (*_airflow(settings), _mlflow(settings), _seldon(settings))


def _airflow(settings: Settings) -> tuple[Service, ...]:
    environment = airflow_environment(settings)
    url = f"http://{HOST}:{settings.airflow_port}"
    airflow = str(_beside_python("airflow"))

    def component(
        name: str, *arguments: str, healthy: HealthCheck, ports: Mapping[str, int], at: str = ""
    ) -> Service:
        return Service(
            name=name,
            command=(airflow, *arguments),
            environment={**environment, SERVICE_MARK: name},
            ports=ports,
            healthy=healthy,
            log=settings.logs_dir / f"{name}.log",
            url=at,
            prepare=(airflow, "db", "migrate"),
        )

    return (
        component(
            "airflow-api-server",
            "api-server",
            healthy=lambda _: _answers(f"{url}/api/v2/monitor/health"),
            ports={"RECSYS_AIRFLOW_PORT": settings.airflow_port},
            at=url,
        ),
        # Its log server would listen on every interface; on one machine the web server
        # reads the task logs from disk.
        component(
            "airflow-scheduler",
            "scheduler",
            "--skip-serve-logs",
            healthy=lambda started: _heart_beats(url, "scheduler", started),
            ports={},
        ),
        component(
            "airflow-dag-processor",
            "dag-processor",
            healthy=lambda started: _heart_beats(url, "dag_processor", started),
            ports={},
        ),
    )


def _mlflow(settings: Settings) -> Service:
    name, port = "mlflow", settings.mlflow_port
    artifacts = settings.mlflow_dir / "artifacts"
    return Service(
        name=name,
        command=(
            *(str(_beside_python("mlflow")), "server", "--host", HOST, "--port", str(port)),
            *("--workers", "1", "--backend-store-uri", settings.mlflow_uri),
            *("--default-artifact-root", artifacts.as_uri()),
            *("--artifacts-destination", artifacts.as_uri()),
        ),
        environment={**mlflow_environment(settings), SERVICE_MARK: name},
        ports={"RECSYS_MLFLOW_PORT": port},
        healthy=lambda _: _answers(f"http://{HOST}:{port}/health"),
        log=settings.logs_dir / f"{name}.log",
        url=f"http://{HOST}:{port}",
    )


def _seldon(settings: Settings) -> Service:
    name, port = "seldon", settings.seldon_port
    return Service(
        name=name,
        command=(
            str(PROJECT_ROOT / ".venv-serving" / "bin" / "python"),
            str(PROJECT_ROOT / "seldon" / "serve.py"),
        ),
        environment={**serving_environment(settings), SERVICE_MARK: name},
        ports={"RECSYS_SELDON_PORT": port},
        # Before the first night it has no release and is not ready; that a worker answers
        # is what we can ask for.
        healthy=lambda _: _answers(f"http://{HOST}:{port}/health/ping"),
        log=settings.logs_dir / f"{name}.log",
        url=settings.predictions_url,
    )


def _beside_python(program: str) -> Path:
    """A program of the environment that runs us."""
    return Path(sys.prefix) / "bin" / program


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=_PROBE_SECONDS, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _heart_beats(url: str, component: str, started: float) -> bool:
    """Whether Airflow tells of a heartbeat later than the start: an older one is another's."""
    try:
        health: dict[str, Any] = httpx.get(
            f"{url}/api/v2/monitor/health", timeout=_PROBE_SECONDS, trust_env=False
        ).json()
    except (httpx.HTTPError, ValueError):
        return False
    report = health.get(component) or {}
    beat = report.get(f"latest_{component}_heartbeat")
    if report.get("status") != "healthy" or not beat:
        return False
    return datetime.fromisoformat(beat).timestamp() >= started
