"""Start what does not run, mend what half runs, stop exactly what was started."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import psutil

from recsys.artifacts.files import write_atomically
from recsys.errors import ServiceUnavailable
from recsys.services.definitions import Service
from recsys.services.environment import inherited_environment
from recsys.services.ports import require_free
from recsys.services.processes import (
    ProcessFile,
    ask_to_end,
    end,
    launch,
    lives,
    processes_of,
    tail,
)
from recsys.services.restarts import Restarts
from recsys.settings import PROJECT_ROOT, Settings

_POLL_SECONDS = 0.5
_LOG_LINES = 15
# Airflow's scheduler waits for its running task when asked to end; a night resumes, so
# nobody has to wait for a training.
_GRACE_SECONDS = 10.0
_REMAINS_GRACE_SECONDS = 2.0
_SOFT_GRACE_SECONDS = 20.0


@dataclass(frozen=True)
class Progress:
    """A service's state changed; ``seconds`` since its start was asked for."""

    service: str
    state: Literal["preparing", "starting", "healthy", "already running", "stopping", "stopped"]
    seconds: float
    detail: str = ""


@dataclass(frozen=True)
class ServiceStatus:
    """What a service does now; ``started`` in seconds since 1970, None when it is down.

    ``restarts`` counts those that the keeper made lately, ``trouble`` says why it made the
    last one, or why it makes no more.
    """

    name: str
    running: bool
    healthy: bool
    pid: int | None
    started: float | None
    processes: int
    memory_bytes: int
    ports: tuple[int, ...]
    url: str
    log: Path
    restarts: int = 0
    trouble: str = ""


OnProgress = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """Show nothing."""


def stop_services(
    settings: Settings, services: Sequence[Service], on_progress: OnProgress = ignore
) -> list[str]:
    """End these, children included; returns the names of those that ran."""
    with only_one(settings):
        return stop(settings, services, on_progress)


def is_running(settings: Settings, service: Service) -> bool:
    """Whether the process that was started for it lives."""
    record = ProcessFile.read(process_file(settings, service))
    return record is not None and record.process() is not None


def start_services(
    settings: Settings, services: Sequence[Service], on_progress: OnProgress = ignore
) -> list[ServiceStatus]:
    """Start those that do not run, and wait until all are healthy.

    Raises
    ------
    PortTaken
        Before anything is started.
    ServiceUnavailable
        A service ended or was not healthy in time; ends with the last lines of its log.
    """
    with only_one(settings):
        begun = time.monotonic()
        missing = []
        for service in services:
            if _runs_as_wanted(settings, service):
                restarts_file(settings, service).unlink(missing_ok=True)
                on_progress(Progress(service.name, "already running", 0))
            else:
                missing.append(service)
        stop(settings, missing, on_progress)
        for service in missing:
            require_free(service)
        for command in dict.fromkeys(service.prepare for service in missing if service.prepare):
            first = next(service for service in missing if service.prepare == command)
            _prepare(settings, first, on_progress)
        for service in missing:
            on_progress(Progress(service.name, "starting", time.monotonic() - begun))
            launch(service).write(process_file(settings, service))
        _await_health(settings, missing, begun, on_progress)
        return [service_status(settings, service) for service in services]


def start_again(settings: Settings, service: Service, record: ProcessFile) -> bool:
    """End what is left of the process that ``record`` names, and start the service anew.

    Returns false, and does nothing, when `up` or `down` is at work or that process is no
    longer the one that is wanted. What runs is given little time: it hangs, or its leader died.

    Raises
    ------
    PortTaken
        Another process took its port meanwhile.
    """
    with only_one(settings, wait=False) as mine:
        if not mine or ProcessFile.read(process_file(settings, service)) != record:
            return False
        for _ in range(2):
            end(_members(settings, service), _REMAINS_GRACE_SECONDS)
        launch_one(settings, service)
        return True


def launch_one(settings: Settings, service: Service) -> ProcessFile:
    """Start a service whose port must be free, and note its process; hold `only_one`."""
    require_free(service)
    record = launch(service)
    record.write(process_file(settings, service))
    return record


def _runs_as_wanted(settings: Settings, service: Service) -> bool:
    """Whether it runs, is healthy, and was started with these settings."""
    record = ProcessFile.read(process_file(settings, service))
    return (
        record is not None
        and record.fingerprint == service.fingerprint
        and record.process() is not None
        and service.is_started(record.created)
    )


def _prepare(settings: Settings, service: Service, on_progress: OnProgress) -> None:
    """Run a service's preparation unless it succeeded before with this Airflow."""
    done = settings.run_dir / f"prepared-airflow-{version('apache-airflow')}"
    key = hashlib.sha256(repr((service.prepare, settings.airflow_dir)).encode()).hexdigest()
    database = settings.airflow_dir / "airflow.db"
    if done.is_file() and done.read_text() == key and database.is_file():
        return
    on_progress(Progress(service.name, "preparing", 0, " ".join(service.prepare[1:])))
    service.log.parent.mkdir(parents=True, exist_ok=True)
    with service.log.open("ab") as log:
        code = subprocess.run(
            service.prepare,
            env={**inherited_environment(), **service.environment},
            cwd=PROJECT_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    if code != 0:
        raise ServiceUnavailable(with_log(f"{' '.join(service.prepare)} failed ({code})", service))
    write_atomically(done, key.encode())


def _await_health(
    settings: Settings, services: Sequence[Service], begun: float, on_progress: OnProgress
) -> None:
    waiting = {service.name: service for service in services}
    while waiting:
        for service in list(waiting.values()):
            record = ProcessFile.read(process_file(settings, service))
            if record is None or record.process() is None:
                stop(settings, [service], on_progress)
                raise ServiceUnavailable(with_log(f"{service.name} ended while starting", service))
            if service.is_started(record.created):
                del waiting[service.name]
                on_progress(Progress(service.name, "healthy", time.monotonic() - begun))
        if waiting and time.monotonic() - begun > settings.start_timeout_seconds:
            service = next(iter(waiting.values()))
            raise ServiceUnavailable(
                with_log(
                    f"{service.name} is not healthy after {settings.start_timeout_seconds:g} s"
                    " (RECSYS_START_TIMEOUT_SECONDS)",
                    service,
                )
            )
        if waiting:
            time.sleep(_POLL_SECONDS)


def with_log(message: str, service: Service) -> str:
    """The message, and the end of the service's log."""
    return f"{message}. The end of {service.log}:\n{tail(service.log, _LOG_LINES)}"


def stop(settings: Settings, services: Sequence[Service], on_progress: OnProgress) -> list[str]:
    """End every process of these services, all at once; the names of those that had one.

    Hold `only_one`.
    """
    begun = time.monotonic()
    ran = [service for service in services if _members(settings, service)]
    for service in ran:
        on_progress(Progress(service.name, "stopping", 0))
    for service in ran:
        if service.soft_stop is not None:
            ask_to_end(_members(settings, service), service.soft_stop, _SOFT_GRACE_SECONDS)
    # Twice: the second time for what a dying process still started.
    for _ in range(2):
        end([process for service in ran for process in _members(settings, service)], _GRACE_SECONDS)
    for service in ran:
        on_progress(Progress(service.name, "stopped", time.monotonic() - begun))
    for service in services:
        process_file(settings, service).unlink(missing_ok=True)
        restarts_file(settings, service).unlink(missing_ok=True)
    return [service.name for service in ran]


def _members(settings: Settings, service: Service) -> list[psutil.Process]:
    record = ProcessFile.read(process_file(settings, service))
    return processes_of(service.name, str(settings.state_dir), record)


def service_status(settings: Settings, service: Service) -> ServiceStatus:
    """What one service does now."""
    record = ProcessFile.read(process_file(settings, service))
    leader = record.process() if record else None
    members = _members(settings, service)
    restarts = Restarts.read(restarts_file(settings, service))
    return ServiceStatus(
        name=service.name,
        running=leader is not None,
        healthy=leader is not None and record is not None and service.healthy(record.created),
        pid=leader.pid if leader else None,
        started=record.created if record and leader else None,
        processes=len(members),
        memory_bytes=sum(_own_memory(process) for process in members),
        ports=tuple(service.ports.values()),
        url=service.url,
        log=service.log,
        restarts=len(restarts.times),
        trouble=f"gave up: {restarts.reason}" if restarts.gave_up else restarts.reason,
    )


def _own_memory(process: psutil.Process) -> int:
    """Bytes that ending the process would free: forked workers share most of theirs."""
    try:
        return int(process.memory_full_info().uss) if lives(process) else 0
    except psutil.Error:
        return 0


def process_file(settings: Settings, service: Service) -> Path:
    """Where the process is noted; while there is one, the service is wanted."""
    return settings.run_dir / f"{service.name}.json"


def restarts_file(settings: Settings, service: Service) -> Path:
    """Where the keeper notes how often it started the service again."""
    return settings.run_dir / f"{service.name}.restarts"


@contextmanager
def only_one(settings: Settings, *, wait: bool = True) -> Iterator[bool]:
    """One `up` or `down` at a time; the lock goes with the process that holds it.

    Without ``wait``, false when somebody has it.
    """
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    with (settings.run_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
