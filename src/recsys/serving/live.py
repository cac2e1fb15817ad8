"""Follow the live pointer inside a serving process.

A new release is opened, verified and warmed beside the old one; then one attribute is
replaced. A request reads that attribute once, so it is answered by one release from
beginning to end, and none is lost in between. A release that cannot be opened never takes
the place of one that answers.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Final

import psutil

from recsys.artifacts.live import (
    POINTER,
    WorkerStatus,
    forget_dead_workers,
    read_live,
    worker_file,
    write_worker,
)
from recsys.serving.engine import ServingRelease

_LOG = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.25
# What failed once may have lacked memory or a disk; what is truly broken costs a look.
_RETRY_SECONDS: Final = 30.0


class LiveRelease:
    """The release this process answers with; ``current`` is None until there is one."""

    def __init__(
        self,
        releases_dir: Path,
        serving_dir: Path,
        open_release: Callable[[Path], ServingRelease],
        poll_seconds: float = _POLL_SECONDS,
    ) -> None:
        self.current: ServingRelease | None = None
        self.error = ""
        self._releases_dir = releases_dir
        self._serving_dir = serving_dir
        self._open = open_release
        self._poll_seconds = poll_seconds
        self._wanted: str | None = None
        self._seen: tuple[int, int] | None = None
        self._retry_at = 0.0
        self._told: WorkerStatus | None = None
        self._stopping = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Load the live release, if there is one, and follow the pointer from now on.

        Call it in the process that answers: a thread does not survive a fork.
        """
        forget_dead_workers(self._serving_dir)
        # Said before the opening, which takes a while: a deployment must wait for this worker.
        self._tell()
        self.look()
        self._thread = Thread(target=self._follow, name="live-release", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following, and take this worker's status away."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
        worker_file(self._serving_dir, os.getpid()).unlink(missing_ok=True)

    def look(self) -> None:
        """Compare the pointer with what is loaded, act on it, and tell."""
        seen = self._pointer_version()
        if seen != self._seen or (self.error and time.monotonic() >= self._retry_at):
            self._seen = seen
            self._take_up()
        self._tell()

    def _follow(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            self.look()

    def _pointer_version(self) -> tuple[int, int] | None:
        """Differs whenever the pointer was written, even to the same release."""
        try:
            found = os.lstat(self._releases_dir / POINTER)
        except OSError:
            return None
        return found.st_ino, found.st_ctime_ns

    def _take_up(self) -> None:
        try:
            self._wanted = read_live(self._releases_dir)
            if self._wanted is None:
                self.current = None
            elif self.current is None or self.current.release.id != self._wanted:
                self.current = self._open(self._releases_dir / self._wanted)
            self.error = ""
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the new release, the
            # old one must go on answering, and the deployment is told why.
            self.error = f"{type(error).__name__}: {error}"[:2000]
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            _LOG.error("keeping %s: %s", self._current_id(), self.error)
        else:
            _LOG.info("answering with %s", self._current_id())

    def _current_id(self) -> str | None:
        current = self.current
        return None if current is None else current.release.id

    def _tell(self) -> None:
        status = WorkerStatus(
            os.getpid(),
            psutil.Process().create_time(),
            self._current_id(),
            self._wanted,
            self.error,
        )
        if status == self._told:
            return
        try:
            write_worker(self._serving_dir, status)
        except OSError as error:
            # A full disk must not end the service; the next look tries again.
            _LOG.error("cannot write this worker's status: %s", error)
        else:
            self._told = status
