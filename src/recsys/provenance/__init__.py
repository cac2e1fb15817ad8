"""Which commit was made of which: repos of immutable commits behind one small port.

``open_store`` is the only door; what comes out is a `DataStore`, whatever keeps the bytes.
"""

from __future__ import annotations

from recsys.errors import StoreUnavailable
from recsys.provenance.port import (
    Change,
    CommitInfo,
    Damage,
    DataStore,
    FileInfo,
    Purged,
    Writer,
)
from recsys.settings import Settings

__all__ = [
    "Change",
    "CommitInfo",
    "Damage",
    "DataStore",
    "FileInfo",
    "Purged",
    "Writer",
    "open_store",
]


def open_store(settings: Settings) -> DataStore:
    """Open the data store that the settings name; the embedded one is made when it is not there.

    Raises
    ------
    StoreUnavailable
        The store cannot be reached, opened or created, or is of a newer format.
    StoreDamaged
        What is there is not, or no longer, a whole store.
    """
    if settings.provenance == "pachyderm":
        raise StoreUnavailable("the Pachyderm adapter is not built yet")
    from recsys.provenance.embedded import EmbeddedStore  # loaded only when asked for

    return EmbeddedStore(settings.store_dir)
