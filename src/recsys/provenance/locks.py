"""Locks between processes that the kernel gives back when their holder dies."""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import time
import weakref
from pathlib import Path
from typing import Self

_POLL_SECONDS = 0.02


class FileLock:
    """One open lock file. Two of them exclude each other, in one process or in two.

    A forked child does not keep its parent's locks: a worker that outlives a killed writer
    must not hold the branch.
    """

    def __init__(self, path: Path) -> None:
        _forget_locks_after_fork()
        self._handle: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        _open_locks.add(self)

    def try_exclusive(self) -> bool:
        """Take the lock for this holder alone, at once or not at all."""
        try:
            fcntl.flock(self._fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise
        return True

    def wait_exclusive(self) -> None:
        """Take the lock for this holder alone, waiting for the others."""
        fcntl.flock(self._fileno(), fcntl.LOCK_EX)

    def wait_exclusive_up_to(self, seconds: float) -> bool:
        """Take the lock for this holder alone, or give up after so long."""
        deadline = time.monotonic() + seconds
        while not self.try_exclusive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)  # flock has no time limit of its own
        return True

    def wait_shared(self) -> None:
        """Take the lock, or what is left of an exclusive one, beside other sharers."""
        fcntl.flock(self._fileno(), fcntl.LOCK_SH)

    def close(self) -> None:
        """Give the lock back."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def _fileno(self) -> int:
        if self._handle is None:
            raise ValueError("the lock was given back")
        return self._handle

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_open_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


@functools.cache
def _forget_locks_after_fork() -> None:
    """Have every forked child close its copies; the parent's own stay locked."""
    os.register_at_fork(after_in_child=_forget_locks)


def _forget_locks() -> None:
    for lock in list(_open_locks):
        lock.close()
