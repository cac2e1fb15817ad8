"""Microservices of their own for single releases, which no shopper is led to."""

from __future__ import annotations

import fcntl
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from recsys.artifacts.live import POINTER, living_workers
from recsys.errors import DeployFailed, ServiceUnavailable, SettingsInvalid
from recsys.services.definitions import SERVE, SERVING_PYTHON, Service
from recsys.services.environment import SERVICE_MARK, serving_environment
from recsys.services.health import HOST, answers
from recsys.services.processes import ProcessFile, end, launch, processes_of, tail
from recsys.settings import Settings

_NAME: Final = "shadow"
_POLL_SECONDS: Final = 0.1
_GRACE_SECONDS: Final = 5.0
_LOG_LINES: Final = 15


@contextmanager
def served_apart(settings: Settings, release_ids: Sequence[str]) -> Iterator[list[str]]:
    """Serve each release by a process of one worker; yields where each answers predictions.

    They see the releases' very folders, but neither the live pointer, the changes between nights
    nor the request log. One trial at a time; what a killed one left is ended first, and
    everything ends with the block.

    Raises
    ------
    SettingsInvalid
        There is no serving environment on this machine.
    DeployFailed
        A release cannot be opened; says why.
    ServiceUnavailable
        A process ended, or was not healthy within ``deploy_timeout_seconds``.
    """
    if not SERVING_PYTHON.is_file():
        raise SettingsInvalid(
            f"no serving environment at {SERVING_PYTHON}: `make env` makes it; or set"
            " RECSYS_SHADOW=false where releases are to go live untried"
        )
    home = settings.scratch_dir / _NAME
    with _only_one(settings):
        begun: list[ProcessFile] = []
        states = [home / str(number) for number in range(len(release_ids))]
        _end(states, begun)
        try:
            services = []
            for release_id, state in zip(release_ids, states, strict=True):
                _lay_out(settings, release_id, state)
                services.append(_service(settings, state))
                begun.append(launch(services[-1]))
            for release_id, service, state, process in zip(
                release_ids, services, states, begun, strict=True
            ):
                _await(settings, release_id, service, state, process)
            yield [f"{service.url}/api/v1.0/predictions" for service in services]
        finally:
            _end(states, begun)
            shutil.rmtree(home, ignore_errors=True)


def _lay_out(settings: Settings, release_id: str, state: Path) -> None:
    """A state folder whose live pointer names the release, which is there by a link."""
    shutil.rmtree(state, ignore_errors=True)
    releases = state / "releases"
    releases.mkdir(parents=True)
    (releases / release_id).symlink_to(settings.releases_dir / release_id)
    (releases / POINTER).symlink_to(release_id)


def _service(settings: Settings, state: Path) -> Service:
    apart = settings.model_copy(
        update={
            "state_dir": state,
            "seldon_port": _free_port(),
            "serving_workers": 1,
            "sample_requests": 0,
        }
    )
    url = f"http://{HOST}:{apart.seldon_port}"
    return Service(
        name=_NAME,
        command=(str(SERVING_PYTHON), str(SERVE)),
        environment={**serving_environment(apart), SERVICE_MARK: _NAME},
        ports={},
        healthy=lambda _: answers(f"{url}/health/status"),
        log=state / "log",
        url=url,
    )


def _await(
    settings: Settings, release_id: str, service: Service, state: Path, process: ProcessFile
) -> None:
    until = time.monotonic() + settings.deploy_timeout_seconds
    while not service.healthy(process.created):
        for worker in living_workers(state / "serving"):
            if worker.error:
                raise DeployFailed(f"release {release_id} cannot be served: {worker.error}")
        ended = process.process() is None
        if ended or time.monotonic() > until:
            why = "ended" if ended else f"not healthy in {settings.deploy_timeout_seconds:g} s"
            raise ServiceUnavailable(
                f"the shadow of release {release_id} {why}; the end of its log:\n"
                f"{tail(service.log, _LOG_LINES)}"
            )
        time.sleep(_POLL_SECONDS)


def _end(states: Sequence[Path], begun: Sequence[ProcessFile]) -> None:
    """End what was begun here, and what a killed trial left, which names the same folders."""
    records = [*begun, *([None] * (len(states) - len(begun)))]
    for state, record in zip(states, records, strict=True):
        end(processes_of(_NAME, str(state), record), _GRACE_SECONDS)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    settings.scratch_dir.mkdir(parents=True, exist_ok=True)
    with (settings.scratch_dir / f"{_NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
