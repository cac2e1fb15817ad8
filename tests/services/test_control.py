"""Processes of our own making stand in for the services: what is tested is the keeping."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from recsys.errors import PortTaken, ServiceUnavailable
from recsys.services.control import (
    Progress,
    service_status,
    start_services,
    stop_services,
)
from recsys.services.definitions import Service
from recsys.services.environment import SERVICE_MARK
from recsys.services.processes import ProcessFile
from recsys.settings import Settings, load_settings
from services.stand_ins import accepts, await_end, child_pid, free_port, gone, listening, running


def test_a_started_service_is_healthy_and_told_of(settings: Settings, service: Service) -> None:
    told: list[Progress] = []
    (state,) = start_services(settings, [service], told.append)
    assert state.running
    assert state.healthy
    assert state.processes == 2
    assert state.memory_bytes > 1_000_000
    assert [progress.state for progress in told] == ["starting", "healthy"]
    assert "listening" in service.log.read_text()


def test_a_running_service_is_left_alone(settings: Settings, service: Service) -> None:
    (first,) = start_services(settings, [service])
    told: list[Progress] = []
    (second,) = start_services(settings, [service], told.append)
    assert second.pid == first.pid
    assert [progress.state for progress in told] == ["already running"]


def test_other_settings_start_it_again(settings: Settings, service: Service) -> None:
    (first,) = start_services(settings, [service])
    changed = replace(service, environment={**service.environment, "RECSYS_EPOCHS": "9"})
    (second,) = start_services(settings, [changed])
    assert second.pid != first.pid
    assert first.pid is not None
    assert gone(first.pid)


def test_stop_ends_children_that_left_the_group(
    settings: Settings, service: Service, tmp_path: Path
) -> None:
    (state,) = start_services(settings, [service])
    assert stop_services(settings, [service]) == ["shop"]
    assert state.pid is not None
    assert gone(state.pid)
    assert gone(child_pid(tmp_path))
    assert not service_status(settings, service).running


def test_a_service_that_another_started_is_left_when_that_one_is_stopped(
    settings: Settings, service: Service
) -> None:
    code = f"""
import os, subprocess, time
subprocess.Popen({list(service.command)!r}, env={{**os.environ, {SERVICE_MARK!r}: "shop"}},
                 start_new_session=True)
time.sleep(600)
"""
    (port,) = service.ports.values()
    keeper = running(settings, "keeper", code, port)
    (state,) = start_services(settings, [keeper])
    assert state.processes == 1
    assert service_status(settings, service).processes == 2
    stop_services(settings, [keeper])
    assert accepts(port)
    assert service_status(settings, service).processes == 2


def test_stop_twice_is_the_same_as_once(settings: Settings, service: Service) -> None:
    start_services(settings, [service])
    stop_services(settings, [service])
    assert stop_services(settings, [service]) == []


def test_stop_finds_children_whose_parent_was_killed(
    settings: Settings, service: Service, tmp_path: Path
) -> None:
    (state,) = start_services(settings, [service])
    assert state.pid is not None
    os.kill(state.pid, signal.SIGKILL)
    child = child_pid(tmp_path)
    assert not gone(child)
    stop_services(settings, [service])
    assert gone(child)


def test_a_killed_service_is_started_again(settings: Settings, service: Service) -> None:
    (first,) = start_services(settings, [service])
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    await_end(first.pid)
    (second,) = start_services(settings, [service])
    assert second.healthy
    assert second.pid != first.pid


def test_a_start_whose_process_file_was_lost_is_mended(
    settings: Settings, service: Service
) -> None:
    (first,) = start_services(settings, [service])
    (settings.run_dir / "shop.json").unlink()
    (second,) = start_services(settings, [service])
    assert first.pid is not None
    assert gone(first.pid)
    assert second.healthy


def test_a_process_with_the_same_number_but_another_birth_is_not_touched(
    settings: Settings, service: Service
) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as other:
        record = ProcessFile("shop", other.pid, 1_000_000.0, ("x",), service.fingerprint)
        record.write(settings.run_dir / "shop.json")
        assert not service_status(settings, service).running
        assert stop_services(settings, [service]) == []
        assert other.poll() is None
        other.kill()


def test_a_half_written_process_file_reads_as_none(settings: Settings, service: Service) -> None:
    settings.run_dir.mkdir(parents=True)
    (settings.run_dir / "shop.json").write_text('{"service": "shop", "pid": 12')
    (state,) = start_services(settings, [service])
    assert state.healthy


def test_a_taken_port_names_holder_and_setting_before_anything_starts(
    settings: Settings, service: Service, tmp_path: Path
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as held:  # noqa: S104
        port = held.getsockname()[1]
        other = listening(settings, tmp_path, port, name="second")
        with pytest.raises(PortTaken) as refused:
            start_services(settings, [service, other])
    message = str(refused.value)
    assert f"port {port}" in message
    assert f"process {os.getpid()}" in message
    assert "RECSYS_SHOP_PORT" in message
    assert not service_status(settings, service).running


def test_a_service_that_ends_while_starting_shows_its_log(settings: Settings) -> None:
    code = "import sys; print('no such table: dag'); sys.exit(3)"
    service = running(settings, "broken", code, free_port())
    with pytest.raises(ServiceUnavailable, match="no such table: dag"):
        start_services(settings, [service])


def test_a_service_that_never_gets_healthy_is_told_in_time(
    settings: Settings, tmp_path: Path
) -> None:
    hasty = load_settings(state_dir=settings.state_dir, start_timeout_seconds=1)
    service = running(hasty, "deaf", "import time; time.sleep(600)", free_port())
    with pytest.raises(ServiceUnavailable, match="RECSYS_START_TIMEOUT_SECONDS"):
        start_services(hasty, [service])
    assert stop_services(hasty, [service]) == ["deaf"]


def test_two_starts_at_once_make_one_service(settings: Settings, service: Service) -> None:
    pids: list[int | None] = []

    def start() -> None:
        pids.extend(state.pid for state in start_services(settings, [service]))

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 2
    assert len(set(pids)) == 1


def test_a_service_outlives_the_command_that_started_it(settings: Settings, tmp_path: Path) -> None:
    port = free_port()
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from services.stand_ins import listening
from recsys.services.control import start_services
from recsys.settings import load_settings
settings = load_settings(state_dir=Path({str(settings.state_dir)!r}))
start_services(settings, [listening(settings, Path({str(tmp_path)!r}), {port})])
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    service = listening(settings, tmp_path, port)
    assert service_status(settings, service).healthy
    assert stop_services(settings, [service]) == ["shop"]
    deadline = time.monotonic() + 5
    while accepts(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not accepts(port)
