"""Start a process that outlives us, know it again, and end it with all that it started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from recsys.artifacts.digests import canonical_json
from recsys.artifacts.files import write_atomically
from recsys.services.definitions import Service
from recsys.services.environment import SERVICE_MARK, inherited_environment
from recsys.settings import PROJECT_ROOT

_LOG_TAIL_BYTES = 64_000
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class ProcessFile:
    """What we note of a process we started; ``created`` in seconds since 1970.

    The number alone may be another process's by now; number and time of creation are not.
    """

    service: str
    pid: int
    created: float
    command: tuple[str, ...]
    fingerprint: str

    def write(self, path: Path) -> None:
        """Write the file whole."""
        write_atomically(path, canonical_json(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> ProcessFile | None:
        """The file, or None when it is missing or is no process file of ours."""
        try:
            fields = json.loads(path.read_bytes())
            return cls(**{**fields, "command": tuple(fields["command"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def process(self) -> psutil.Process | None:
        """The very process that was started, or None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            return process if _same_start(process, self.created) and lives(process) else None
        except psutil.Error:
            return None


def _same_start(process: psutil.Process, created: float) -> bool:
    # Derived from ticks since boot (10 ms) and the clock, which may be set meanwhile.
    return abs(process.create_time() - created) < 1.0


def lives(process: psutil.Process) -> bool:
    """Whether the process still runs; one that only waits to be reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def launch(service: Service) -> ProcessFile:
    """Start the service in a session of its own, its output appended to its log."""
    service.log.parent.mkdir(parents=True, exist_ok=True)
    for path, text in service.files().items():
        write_atomically(path, text.encode())
    with service.log.open("ab") as log:
        log.write(f"--- started {time.strftime('%Y-%m-%d %H:%M:%S')} ---\n".encode())
        log.flush()
        child = subprocess.Popen(
            service.command,
            env={**inherited_environment(), **service.environment},
            cwd=PROJECT_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # Reaps it if it ends while we are here; it does not keep us from ending first.
    threading.Thread(target=child.wait, daemon=True).start()
    try:
        created = psutil.Process(child.pid).create_time()
    except psutil.NoSuchProcess:
        created = time.time()
    return ProcessFile(
        service.name, child.pid, created, tuple(service.command), service.fingerprint
    )


def processes_of(service: str, state_dir: str, record: ProcessFile | None) -> list[psutil.Process]:
    """All living processes of a service: the one started and whatever came of it.

    Children may leave the group (Airflow's tasks do) and outlive their parent, so they are
    known by descent, by session, or by the mark in their environment together with the
    state folder, which no process of somebody else carries.
    """
    leader = record.process() if record else None
    found = {} if leader is None else {leader.pid: leader}
    if leader is not None:
        # What the keeper started again is its child, and a service of its own.
        found |= {
            child.pid: child for child in _children(leader) if _mark(child) in (None, service)
        }
    session = _session(record)
    for process in psutil.process_iter():
        if process.pid != os.getpid() and (
            _in_session(process, session) or _is_marked(process, service, state_dir)
        ):
            found[process.pid] = process
    return [process for process in found.values() if lives(process)]


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _session(record: ProcessFile | None) -> int | None:
    """The session that the process started, unless its number now is another process's.

    A number is not given out again while a session of that number has members.
    """
    if record is None:
        return None
    try:
        same = _same_start(psutil.Process(record.pid), record.created)
    except psutil.Error:
        same = True
    return record.pid if same else None


def _in_session(process: psutil.Process, session: int | None) -> bool:
    try:
        return session is not None and os.getsid(process.pid) == session
    except OSError:
        return False


def _is_marked(process: psutil.Process, service: str, state_dir: str) -> bool:
    environment = _environment(process)
    return (
        environment.get(SERVICE_MARK) == service
        and environment.get("RECSYS_STATE_DIR") == state_dir
    )


def _mark(process: psutil.Process) -> str | None:
    return _environment(process).get(SERVICE_MARK)


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def end(processes: Iterable[psutil.Process], grace_seconds: float) -> None:
    """Ask each to end (SIGTERM), wait, then end the rest (SIGKILL)."""
    processes = list(processes)
    for process in processes:
        _signal(process, kill=False)
    for process in _await_end(processes, grace_seconds):
        _signal(process, kill=True)
    _await_end(processes, grace_seconds)


def ask_to_end(
    processes: Iterable[psutil.Process], how: signal.Signals, grace_seconds: float
) -> None:
    """Send each this signal and wait until they end, which they may not do in time."""
    processes = list(processes)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(how)
    _await_end(processes, grace_seconds)


def _await_end(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until all have ended; returns those that have not.

    `psutil.wait_procs` would also wait for a dead process to be reaped, which the first
    process of a container may never do.
    """
    deadline = time.monotonic() + seconds
    while (alive := [process for process in processes if lives(process)]) and (
        time.monotonic() < deadline
    ):
        time.sleep(_POLL_SECONDS)
    return alive


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        # psutil compares the time of creation first, so a number given out again is safe.
        process.kill() if kill else process.terminate()
    except psutil.NoSuchProcess:
        return


def tail(log: Path, lines: int) -> str:
    """The last lines of a log, read from its end."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
            text = stream.read().decode(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:])
