"""One change of the live release at a time: a night's deployment, a rollback, a purge."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

LOCK_FILE: Final = "deploy.lock"


@contextmanager
def one_at_a_time(releases_dir: Path) -> Iterator[None]:
    """Wait for whoever changes the live release; the kernel gives the lock back if we die."""
    releases_dir.mkdir(parents=True, exist_ok=True)
    with (releases_dir / LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
