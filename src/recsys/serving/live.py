"""Follow the live pointer, and the changes between nights, inside a serving process.

A new release is opened, verified and warmed beside the old one, with the changes that it has
not folded in; then one attribute is replaced, and again at each later change. A request
reads that attribute once, so it is answered by one release with the same changes from
beginning to end, and none is lost in between. What cannot be opened never takes the place of
what answers.
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
from recsys.changes import Inbox
from recsys.errors import RecsysError
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
        inbox: Inbox,
        open_release: Callable[[Path], ServingRelease],
        poll_seconds: float = _POLL_SECONDS,
    ) -> None:
        self.current: ServingRelease | None = None
        self.error = ""
        self._releases_dir = releases_dir
        self._serving_dir = serving_dir
        self._inbox = inbox
        self._spool = inbox.spool
        self._open = open_release
        self._poll_seconds = poll_seconds
        self._wanted: str | None = None
        self._seen: tuple[tuple[int, int] | None, int] | None = None
        self._retry_at = 0.0
        self._inbox_from = 0.0
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
        """Compare pointer and changes with what is loaded, act on it, and tell."""
        self._take_in()
        seen = self._pointer_version(), self._last_change()
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

    def _last_change(self) -> int:
        try:
            return self._spool.last()
        except (OSError, RecsysError):
            return -1  # told when it is taken up

    def _take_in(self) -> None:
        """Number what other systems left; trouble there is no reason to answer otherwise."""
        current = self.current
        if current is None or time.monotonic() < self._inbox_from:
            return
        try:
            self._inbox.take_in(current.release.changes_through)
        except Exception as error:  # noqa: BLE001 - a full disk, or whatever a folder from
            # outside does to us, must not end the thread that follows the pointer.
            self._inbox_from = time.monotonic() + _RETRY_SECONDS
            _LOG.error("the inbox of changes: %s: %s", type(error).__name__, error)

    def _take_up(self) -> None:
        try:
            self._wanted = read_live(self._releases_dir)
            if self._wanted is None:
                self.current = None
            else:
                self.current = self._opened(self._wanted).with_changes(self._spool)
            self.error = ""
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the new release, the
            # old one must go on answering, and the deployment is told why.
            self.error = f"{type(error).__name__}: {error}"[:2000]
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            _LOG.error("keeping %s: %s", self._current_id(), self.error)
        else:
            changes = 0 if self.current is None else self.current.changes
            _LOG.info("answering with %s, changes through %s", self._current_id(), changes)

    def _opened(self, release_id: str) -> ServingRelease:
        current = self.current
        if current is not None and current.release.id == release_id:
            return current
        return self._open(self._releases_dir / release_id)

    def _current_id(self) -> str | None:
        current = self.current
        return None if current is None else current.release.id

    def _tell(self) -> None:
        status = WorkerStatus(
            os.getpid(),
            psutil.Process().create_time(),
            self._current_id(),
            self._wanted,
            0 if self.current is None else self.current.changes,
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
