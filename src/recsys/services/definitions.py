"""Which services there are, how each is started, and when it is healthy."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from recsys.artifacts.digests import canonical_json, sha256_bytes
from recsys.services import front
from recsys.services.environment import (
    SERVICE_MARK,
    airflow_environment,
    mlflow_environment,
    serving_environment,
    settings_environment,
)
from recsys.services.health import HOST, PROBE_SECONDS, SeldonHealth, answers
from recsys.settings import PROJECT_ROOT, Settings

KEEPER = "keeper"
SERVING_PYTHON = PROJECT_ROOT / ".venv-serving" / "bin" / "python"
SERVE = PROJECT_ROOT / "seldon" / "serve.py"
# The keeper touches its file every second; a busy machine makes that several.
_LATEST_BEAT_SECONDS = 30.0
# Airflow's heart beats every five seconds; a training on every core makes it miss many.
_LATEST_HEARTBEAT_SECONDS = 300.0

# started (seconds since 1970) → whether the process started then is healthy now.
HealthCheck = Callable[[float], bool]


@dataclass(frozen=True)
class Service:
    """One process to keep.

    ``environment`` is added to the caller's; ``ports`` maps the setting that moves a port to
    the port; ``prepare`` names a command that must have succeeded before the first start.

    Three checks, as Kubernetes has them: ``healthy`` is what we tell of it (readiness),
    ``started`` ends its start (as ``healthy`` unless given), and one for which ``alive`` (as
    ``started`` unless given) is false for ``patience_seconds`` on end hangs and is started
    again. Not ready is no reason for that: before the first night there is nothing to serve.

    ``files`` are written before each start; ``soft_stop`` is the signal after which it takes
    nothing new and ends by itself, which it is given time for before any other is stopped.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ports: Mapping[str, int]
    healthy: HealthCheck
    log: Path
    url: str = ""
    prepare: tuple[str, ...] = field(default=())
    started: HealthCheck | None = None
    alive: HealthCheck | None = None
    patience_seconds: float = 60.0
    files: Callable[[], Mapping[Path, str]] = dict
    soft_stop: signal.Signals | None = None

    def is_started(self, created: float) -> bool:
        """Whether the process of this birth (seconds since 1970) is through its start."""
        return (self.started or self.healthy)(created)

    def is_alive(self, created: float) -> bool:
        """Whether the process of this birth (seconds since 1970) still does its work."""
        return (self.alive or self.started or self.healthy)(created)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of command and environment: another one means a restart is due."""
        parts = {"command": list(self.command), "environment": dict(self.environment)}
        return sha256_bytes(canonical_json(parts))


def local_services(settings: Settings) -> tuple[Service, ...]:
    """The services of one machine, in the order of starting."""
    return (*_airflow(settings), _mlflow(settings), *_serving(settings), _keeper(settings))


def known_services(settings: Settings) -> tuple[Service, ...]:
    """The local ones, and those that other settings or a swap may have left running."""
    known = (
        *local_services(settings),
        _seldon(settings),
        front_service(settings),
        *(coloured(settings, colour) for colour in front.COLOURS),
    )
    return tuple({service.name: service for service in known}.values())


def serving_services(settings: Settings) -> tuple[Service, ...]:
    """What answers, and who keeps it."""
    return (*_serving(settings), _keeper(settings))


def _serving(settings: Settings) -> tuple[Service, ...]:
    if settings.serving_front == "none":
        return (_seldon(settings),)
    return (coloured(settings, front.serving_colour(settings)), front_service(settings))


def _airflow(settings: Settings) -> tuple[Service, ...]:
    environment = airflow_environment(settings)
    url = f"http://{HOST}:{settings.airflow_port}"
    airflow = str(_beside_python("airflow"))

    def component(
        name: str,
        *arguments: str,
        healthy: HealthCheck,
        alive: HealthCheck | None = None,
        ports: Mapping[str, int],
        at: str = "",
    ) -> Service:
        return Service(
            name=name,
            command=(airflow, *arguments),
            environment={**environment, SERVICE_MARK: name},
            ports=ports,
            healthy=healthy,
            alive=alive,
            # A training on every core makes its web server slow; a restart would end its tasks.
            patience_seconds=180.0,
            log=settings.logs_dir / f"{name}.log",
            url=at,
            prepare=(airflow, "db", "migrate"),
        )

    return (
        component(
            "airflow-api-server",
            "api-server",
            healthy=lambda _: answers(f"{url}/api/v2/monitor/health"),
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
            alive=lambda started: not _heart_stopped(url, "scheduler", started),
            ports={},
        ),
        component(
            "airflow-dag-processor",
            "dag-processor",
            healthy=lambda started: _heart_beats(url, "dag_processor", started),
            alive=lambda started: not _heart_stopped(url, "dag_processor", started),
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
        healthy=lambda _: answers(f"http://{HOST}:{port}/health"),
        log=settings.logs_dir / f"{name}.log",
        url=f"http://{HOST}:{port}",
    )


def _seldon(settings: Settings) -> Service:
    ports = {"RECSYS_SELDON_PORT": settings.seldon_port}
    return _microservice(settings, "seldon", ports, settings.predictions_url)


def coloured(settings: Settings, colour: front.Colour) -> Service:
    """One of the two microservices behind HAProxy."""
    port = front.port_of(settings, colour)
    ports = {f"RECSYS_SELDON_{colour.upper()}_PORT": port}
    return _microservice(settings, f"seldon-{colour}", ports, f"http://{HOST}:{port}")


def _microservice(settings: Settings, name: str, ports: Mapping[str, int], url: str) -> Service:
    (port,) = ports.values()
    health = SeldonHealth(settings, f"http://{HOST}:{port}")
    environment = {**serving_environment(settings), "RECSYS_SELDON_PORT": str(port)}
    return Service(
        name=name,
        command=(str(SERVING_PYTHON), str(SERVE)),
        environment={**environment, SERVICE_MARK: name},
        ports=ports,
        healthy=health.ready,
        # A release that no worker can open must not keep the night from starting that mends it.
        started=health.answers,
        alive=health.alive,
        patience_seconds=15.0,
        log=settings.logs_dir / f"{name}.log",
        url=url,
    )


def front_service(settings: Settings) -> Service:
    """HAProxy before the microservices."""
    name = "haproxy"
    path = front.configuration_file(settings)

    def files() -> dict[Path, str]:
        front.make_folder(settings)
        return {path: front.configuration(settings, front.serving_colour(settings))}

    # Which colour serves must not make another service of it.
    limits = sha256_bytes(front.configuration(settings, "blue").encode())
    return Service(
        name=name,
        command=(front.haproxy(), "-db", "-f", str(path)),
        environment={
            SERVICE_MARK: name,
            "RECSYS_STATE_DIR": str(settings.state_dir),
            "RECSYS_FRONT_DIGEST": limits,
        },
        ports={"RECSYS_SELDON_PORT": settings.seldon_port},
        healthy=lambda _: answers(f"http://{HOST}:{settings.seldon_port}{front.PING}"),
        files=files,
        soft_stop=signal.SIGUSR1,
        log=settings.logs_dir / f"{name}.log",
        url=settings.predictions_url,
    )


def _keeper(settings: Settings) -> Service:
    name = KEEPER
    return Service(
        name=name,
        command=(sys.executable, "-m", "recsys.services.keeper"),
        environment={**settings_environment(settings), SERVICE_MARK: name},
        ports={},
        healthy=lambda started: _beats(keeper_beat(settings), started),
        log=settings.logs_dir / f"{name}.log",
    )


def keeper_beat(settings: Settings) -> Path:
    """The file that the keeper touches every second."""
    return settings.run_dir / "keeper.beat"


def _beats(path: Path, started: float) -> bool:
    try:
        beat = path.stat().st_mtime
    except OSError:
        return False
    return beat >= started and time.time() - beat < _LATEST_BEAT_SECONDS


def _beside_python(program: str) -> Path:
    """A program of the environment that runs us."""
    return Path(sys.prefix) / "bin" / program


def _heart_beats(url: str, component: str, started: float) -> bool:
    """Whether Airflow tells of a heartbeat later than the start: an older one is another's."""
    report = _heart(url, component)
    beat = report.get(f"latest_{component}_heartbeat")
    if report.get("status") != "healthy" or not beat:
        return False
    return datetime.fromisoformat(beat).timestamp() >= started


def _heart_stopped(url: str, component: str, started: float) -> bool:
    """Whether Airflow tells that no heartbeat came lately; when it cannot tell, we do not know."""
    report = _heart(url, component)
    beat = report.get(f"latest_{component}_heartbeat")
    since = max(started, datetime.fromisoformat(beat).timestamp()) if beat else started
    return bool(report) and time.time() - since > _LATEST_HEARTBEAT_SECONDS


def _heart(url: str, component: str) -> dict[str, Any]:
    """What Airflow's web server knows of a component; empty when it does not answer."""
    try:
        health: dict[str, Any] = httpx.get(
            f"{url}/api/v2/monitor/health", timeout=PROBE_SECONDS, trust_env=False
        ).json()
    except (httpx.HTTPError, ValueError):
        return {}
    report: dict[str, Any] = health.get(component) or {}
    return report
