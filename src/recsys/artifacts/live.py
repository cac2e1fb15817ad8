"""Which release should be live, and which one each serving worker answers with.

Two small facts on disk join deployment and serving, which know nothing else of each
other. The pointer, ``releases/live -> r-…``, is the wish; a worker's status file,
``serving/workers/<pid>.json``, is what it made of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import psutil

from recsys import names
from recsys.artifacts.base import Artifact
from recsys.artifacts.files import sync_folder, write_atomically
from recsys.errors import ArtifactInvalid

POINTER: Final = "live"
WORKERS: Final = "workers"
# A process's start time is computed from the boot time, which moves when the clock is set.
_CREATE_TIME_TOLERANCE_SECONDS: Final = 2.0


def read_live(releases_dir: Path) -> str | None:
    """The id that the pointer names, or None when there is no pointer.

    Raises
    ------
    ArtifactInvalid
        There is something else than a pointer to a release.
    """
    pointer = releases_dir / POINTER
    try:
        target = str(pointer.readlink())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ArtifactInvalid(f"{pointer} is not a symbolic link ({error.strerror})") from error
    if not names.is_release_id(target):
        raise ArtifactInvalid(f"{pointer} points to {target!r}; expected a release id beside it")
    return target


def write_live(releases_dir: Path, release_id: str) -> None:
    """Point to a release; a reader sees the old pointer or the new one, never none.

    Raises
    ------
    ArtifactInvalid
        The text is no release id.
    """
    if not names.is_release_id(release_id):
        raise ArtifactInvalid(f"{release_id!r} is not a release id")
    temporary = releases_dir / f".{POINTER}.{secrets.token_hex(8)}"
    try:
        temporary.symlink_to(release_id)
        temporary.replace(releases_dir / POINTER)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(releases_dir)


def clear_live(releases_dir: Path) -> None:
    """Take the pointer away: no release is live, and the service says 503."""
    (releases_dir / POINTER).unlink(missing_ok=True)
    sync_folder(releases_dir)


@dataclass(frozen=True)
class WorkerStatus(Artifact):
    """What one serving process answers with.

    ``wanted`` is the release that the pointer named when the worker last looked,
    ``release`` the one it answers with, ``changes`` the number of the last change that it
    answers with, ``error`` why these are not what they should be (empty otherwise).
    ``create_time`` is the process's start, seconds since the epoch: a pid is used again.
    """

    kind: ClassVar[str] = "worker_status"

    pid: int
    create_time: float
    release: str | None
    wanted: str | None
    changes: int
    error: str

    @property
    def alive(self) -> bool:
        """Whether the process that wrote this still runs."""
        try:
            process = psutil.Process(self.pid)
            age = abs(process.create_time() - self.create_time)
            return age < _CREATE_TIME_TOLERANCE_SECONDS and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def worker_file(serving_dir: Path, pid: int) -> Path:
    """Where the worker with this pid keeps its status."""
    return serving_dir / WORKERS / f"{pid}.json"


def write_worker(serving_dir: Path, status: WorkerStatus) -> None:
    """Replace a worker's status file."""
    write_atomically(worker_file(serving_dir, status.pid), status.to_json())


def living_workers(serving_dir: Path) -> list[WorkerStatus]:
    """The workers that run, by pid; files that dead ones left are passed over."""
    return sorted(
        (status for status, _ in _statuses(serving_dir) if status.alive), key=lambda item: item.pid
    )


def forget_dead_workers(serving_dir: Path) -> None:
    """Remove the status files of workers that no longer run."""
    for path in _status_files(serving_dir):
        if not psutil.pid_exists(int(path.stem)):
            path.unlink(missing_ok=True)
    for status, path in _statuses(serving_dir):
        if not status.alive:
            path.unlink(missing_ok=True)


def _statuses(serving_dir: Path) -> Iterator[tuple[WorkerStatus, Path]]:
    for path in _status_files(serving_dir):
        try:
            yield WorkerStatus.from_json(path.read_bytes()), path
        except FileNotFoundError:
            continue  # its worker ended between the listing and the reading
        except ArtifactInvalid:
            # Left by another version's worker; one that runs must not be overlooked.
            if psutil.pid_exists(int(path.stem)):
                raise


def _status_files(serving_dir: Path) -> list[Path]:
    files = (serving_dir / WORKERS).glob("[0-9]*.json")
    return sorted(path for path in files if path.stem.isdecimal())
