"""Which commit was made of which: repos of immutable commits behind one small port.

``open_store`` is the only door; what comes out is a `DataStore`, whatever keeps the bytes.
"""

from __future__ import annotations

from pathlib import Path

from recsys.errors import StoreUnavailable
from recsys.provenance.port import Change, CommitInfo, DataStore, FileInfo, Writer

__all__ = ["Change", "CommitInfo", "DataStore", "FileInfo", "Writer", "open_store"]


def open_store(kind: str, root: Path) -> DataStore:
    """Open the data store of this kind; "embedded" keeps everything under ``root``.

    Raises
    ------
    StoreUnavailable
        No such kind, or the store cannot be opened or created, or is of a newer format.
    StoreDamaged
        What is there is not, or no longer, a whole store.
    """
    if kind == "embedded":
        from recsys.provenance.embedded import EmbeddedStore  # loaded only when asked for

        return EmbeddedStore(root)
    raise StoreUnavailable(f"no data store of kind {kind!r}; allowed: embedded")
