"""Which commit was made of which: repos of immutable commits behind one small port.

``open_store`` is the only door; what comes out is a `DataStore`, whatever keeps the bytes.
"""

from __future__ import annotations

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

    Each adapter is loaded only when it is asked for.

    Raises
    ------
    SettingsInvalid
        The server's address or certificates cannot be used.
    StoreUnavailable
        The store cannot be reached, opened or created, or is of a newer format.
    StoreDamaged
        What is there is not, or no longer, a whole store.
    """
    if settings.provenance == "pachyderm":
        from recsys.provenance.pachyderm import PachydermStore
        from recsys.provenance.pachyderm_server import Server

        token = settings.pachd_token.get_secret_value()
        server = Server(
            settings.pachd_address, settings.pachd_project, token, settings.pachd_root_certs
        )
        return PachydermStore(server, settings.scratch_dir)
    from recsys.provenance.embedded import EmbeddedStore

    return EmbeddedStore(settings.store_dir)
