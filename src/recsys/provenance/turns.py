"""Who may write when: one writer a branch, many at once, none while content is removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.errors import BranchBusy
from recsys.provenance.catalogue import Catalogue
from recsys.provenance.locks import FileLock
from recsys.provenance.packs import disk_errors, sweep

_COLLECTOR_WAITS_SECONDS = 120.0


class Turns:
    """The lock files of one store; ``docs/store-format.md`` says what they mean."""

    def __init__(self, root: Path, catalogue: Catalogue) -> None:
        self._root = root
        self._catalogue = catalogue

    @contextmanager
    def only_writer(self, repo: str, branch: str) -> Iterator[None]:
        """The one writer of a branch, or `BranchBusy` at once."""
        with self._lock(f"{repo}@{branch}") as lock:
            if not lock.try_exclusive():
                raise BranchBusy(f"another writer holds {repo}@{branch}; try again when it is done")
            yield

    @contextmanager
    def beside_writers(self) -> Iterator[None]:
        """Share a lock with all living writers; whoever finds no other sweeps first."""
        with self._lock("collector") as collector, self._lock("writers") as writers:
            collector.wait_shared()
            if writers.try_exclusive():
                self._sweep()
            writers.wait_shared()
            collector.close()
            yield

    @contextmanager
    def without_writers(self) -> Iterator[None]:
        """Wait until no writer is alive, let none begin, and sweep."""
        with self._lock("collector") as collector, self._lock("writers") as writers:
            for lock in (collector, writers):
                if not lock.wait_exclusive_up_to(_COLLECTOR_WAITS_SECONDS):
                    raise BranchBusy(
                        f"commits are open for more than {_COLLECTOR_WAITS_SECONDS:.0f} s;"
                        " nothing was removed: try again when they are done"
                    )
            self._sweep()
            yield

    def _sweep(self) -> None:
        sweep(self._root, set(self._catalogue.files().values()))

    def _lock(self, name: str) -> FileLock:
        with disk_errors():
            return FileLock(self._root / "locks" / f"{name}.lock")
