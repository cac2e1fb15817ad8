"""What the tests of the data store share."""

from __future__ import annotations

from recsys.provenance import DataStore

NO_COMMIT = "0" * 32
LARGE = bytes(range(256)) * 1200  # 300 KB: above what the embedded store packs


def put(
    store: DataStore,
    repo: str,
    files: dict[str, bytes],
    *,
    inputs: tuple[str, ...] = (),
    branch: str = "master",
    replace: bool = False,
) -> str:
    with store.commit(repo, inputs=inputs, branch=branch, replace=replace) as writer:
        for path, content in files.items():
            writer.put(path, content)
    return writer.ref


def contents(store: DataStore, ref: str) -> dict[str, bytes]:
    return {file.path: read(store, ref, file.path) for file in store.files(ref)}


def read(store: DataStore, ref: str, path: str) -> bytes:
    with store.open(ref, path) as stream:
        return stream.read()
