"""Processes of our own making that stand in for the services."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import psutil

from recsys.services.definitions import Service
from recsys.services.environment import SERVICE_MARK
from recsys.settings import Settings

# A server that listens, and whose child has left its process group, as Airflow's tasks do.
LISTENING = """
import os, socket, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session={away})
open({child_file!r}, "w").write(str(child.pid))
server = socket.create_server(("127.0.0.1", {port}))
print("listening", flush=True)
time.sleep(600)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def listening(
    settings: Settings, tmp_path: Path, port: int, *, name: str = "shop", away: bool = True
) -> Service:
    code = LISTENING.format(port=port, child_file=str(tmp_path / f"{name}.child"), away=away)
    return running(settings, name, code, port)


def running(settings: Settings, name: str, code: str, port: int) -> Service:
    return Service(
        name=name,
        command=(sys.executable, "-c", code),
        environment={SERVICE_MARK: name, "RECSYS_STATE_DIR": str(settings.state_dir)},
        ports={"RECSYS_SHOP_PORT": port},
        healthy=lambda _: accepts(port),
        log=settings.logs_dir / f"{name}.log",
    )


def child_pid(tmp_path: Path, name: str = "shop") -> int:
    return int((tmp_path / f"{name}.child").read_text())


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def await_end(pid: int) -> None:
    while not gone(pid):
        time.sleep(0.01)


def marked(settings: Settings) -> list[psutil.Process]:
    """Every living process that carries this state folder's mark."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except psutil.Error:
            continue
        if (
            SERVICE_MARK in environment
            and environment.get("RECSYS_STATE_DIR") == str(settings.state_dir)
            and process.pid != os.getpid()
        ):
            found.append(process)
    return found
