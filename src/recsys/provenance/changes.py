"""What differs between the files of two commits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from recsys.provenance.port import Change


class Content(Protocol):
    """A file of a commit, as far as it must be known to be compared."""

    @property
    def sha256(self) -> bytes:
        """The SHA-256 of its bytes."""


def changes(before: Mapping[str, Content], after: Mapping[str, Content]) -> Iterator[Change]:
    """The differences of two commits, sorted by path."""
    found = [Change(path, "removed") for path in before.keys() - after.keys()]
    found += [Change(path, "added") for path in after.keys() - before.keys()]
    found += [
        Change(path, "changed")
        for path in after.keys() & before.keys()
        if after[path].sha256 != before[path].sha256
    ]
    return iter(sorted(found, key=lambda change: change.path))
