"""Every adapter of the data store, each test with repos of its own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pachd.double import Pachd
from recsys.provenance import DataStore, open_store
from recsys.settings import load_settings


@pytest.fixture(scope="session")
def double() -> Iterator[Pachd]:
    with Pachd() as pachd:
        yield pachd


def embedded(folder: Path, _: pytest.FixtureRequest) -> DataStore:
    return open_store(load_settings(state_dir=folder))


def pachyderm_double(folder: Path, request: pytest.FixtureRequest) -> DataStore:
    return pachyderm(folder, request.getfixturevalue("double").address)


def pachd(folder: Path, _: pytest.FixtureRequest) -> DataStore:
    return pachyderm(folder, os.environ["PACHD_ADDRESS"], os.environ.get("PACHD_TOKEN", ""))


def pachyderm(folder: Path, address: str, token: str = "") -> DataStore:
    """On a project of its own, so that a server can be used again and again."""
    settings = load_settings(
        state_dir=folder,
        provenance="pachyderm",
        pachd_address=address,
        pachd_token=token,
        pachd_project=f"contract-{secrets.token_hex(8)}",
    )
    return open_store(settings)


# An adapter joins with one line: from an empty folder to a store.
ADAPTERS: dict[str, Callable[[Path, pytest.FixtureRequest], DataStore]] = {
    "embedded": embedded,
    "pachyderm double": pachyderm_double,
}
if "PACHD_ADDRESS" in os.environ:  # a real server, and PACHD_TOKEN if it asks for one
    ADAPTERS["pachd"] = pachd


@pytest.fixture(params=ADAPTERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> DataStore:
    made = ADAPTERS[request.param](tmp_path, request)
    for repo in ("catalog", "models", "embeddings", "indexes"):
        made.ensure_repo(repo)
    return made
