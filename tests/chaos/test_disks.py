"""A disk that is full or read-only: a clear error, nothing published, nothing lost.

The disks are small tmpfs mounts, which only root may make.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys.errors import ContentRemoved, StoreUnavailable
from recsys.provenance.embedded import EmbeddedStore

DISK_BYTES = 6 << 20
LARGE = bytes(range(256)) * 1200
FILES = {"/a": b"a" * 50_000, "/b": b"b" * 50_000, "/large": LARGE}
# From nothing at all to nearly enough, so that each step of a commit meets the end.
ROOMS_BYTES = [0, 4_096, 20_000, 60_000, 120_000, 250_000, 410_000, 450_000, 500_000, 600_000]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "recsys-test", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture
def store(disk: Path) -> EmbeddedStore:
    store = EmbeddedStore(disk / "store")
    for repo in ("catalog", "models"):
        store.ensure_repo(repo)
    return store


def put(store: EmbeddedStore, salt: bytes, repo: str = "catalog") -> str:
    with store.commit(repo, replace=True) as writer:
        for path, content in FILES.items():
            writer.put(path, salt + content)
    return writer.ref


def read(store: EmbeddedStore, ref: str, path: str) -> bytes:
    with store.open(ref, path) as stream:
        return stream.read()


def leave_room(disk: Path, room_bytes: int) -> None:
    """Fill the disk with something of ours, up to so many bytes."""
    free = os.statvfs(disk)
    filler = max(free.f_bavail * free.f_bsize - room_bytes, 0)
    (disk / "filler").write_bytes(bytes(filler))


def make_room(disk: Path) -> None:
    (disk / "filler").unlink()


def assert_holds_exactly(store: EmbeddedStore, refs: dict[str, bytes]) -> None:
    assert [info.ref for info in store.commits("catalog")] == list(refs)[::-1]
    for ref, salt in refs.items():
        assert {path: read(store, ref, path) for path in FILES} == {
            path: salt + content for path, content in FILES.items()
        }
    assert store.verify() == []


def assert_nothing_is_left_over(store: EmbeddedStore, root: Path) -> None:
    with store.commit("models"):
        pass
    on_disk = {f"{path.parent.name}/{path.name}" for path in root.glob("[spl][ta]*/*")}
    assert on_disk == set(store._catalogue.files().values())


def test_a_full_disk_publishes_whole_commits_or_nothing(store: EmbeddedStore, disk: Path) -> None:
    refs = {put(store, b"first"): b"first"}
    refused = 0
    for number, room_bytes in enumerate(ROOMS_BYTES):
        salt = b"%d " % number
        leave_room(disk, room_bytes)
        try:
            refs[put(store, salt)] = salt
        except StoreUnavailable:
            refused += 1
        make_room(disk)
        assert_holds_exactly(store, refs)
    assert refused >= 5
    refs[put(store, b"last")] = b"last"
    assert_holds_exactly(store, refs)
    assert_nothing_is_left_over(store, disk / "store")


def test_a_purge_on_a_full_disk_removes_all_or_nothing(store: EmbeddedStore, disk: Path) -> None:
    ref = put(store, b"first")
    outcomes = set()
    for room_bytes in ROOMS_BYTES:
        leave_room(disk, room_bytes)
        try:
            store.purge([(ref, "/a")], "asked for")
        except StoreUnavailable:
            outcomes.add("refused")
        else:
            outcomes.add("done")
        make_room(disk)
        assert store.verify() == []
        assert read(store, ref, "/b") == b"first" + FILES["/b"]
        if "done" in outcomes:
            break
        assert read(store, ref, "/a") == b"first" + FILES["/a"]
    assert outcomes == {"refused", "done"}
    with pytest.raises(ContentRemoved):
        store.open(ref, "/a")
    assert_nothing_is_left_over(store, disk / "store")


@pytest.fixture
def read_only(store: EmbeddedStore, disk: Path) -> Iterator[tuple[Path, str]]:
    """The folder of a store that can only be read, and a commit in it."""
    ref = put(store, b"kept")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    yield disk / "store", ref
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert_holds_exactly(EmbeddedStore(disk / "store"), {ref: b"kept"})


def test_a_read_only_disk_is_said_to_be_one_and_takes_nothing(read_only: tuple[Path, str]) -> None:
    store = EmbeddedStore(read_only[0])
    with pytest.raises(StoreUnavailable, match="Read-only"):
        put(store, b"new")
    with pytest.raises(StoreUnavailable, match="Read-only"):
        store.purge([(read_only[1], "/a")], "asked for")
    with pytest.raises(StoreUnavailable, match="Read-only"):
        store.gc(lambda: [])
    with pytest.raises(StoreUnavailable, match="readonly"):
        store.ensure_repo("another")


def test_a_store_on_a_read_only_disk_is_read(read_only: tuple[Path, str], tmp_path: Path) -> None:
    root, ref = read_only
    store = EmbeddedStore(root)
    assert_holds_exactly(store, {ref: b"kept"})
    assert store.materialise(ref, tmp_path / "out") == len(FILES)
    assert store.gc(lambda: [], dry_run=True).blobs == 0


def test_a_store_is_not_made_on_a_read_only_disk(read_only: tuple[Path, str]) -> None:
    with pytest.raises(StoreUnavailable, match="Read-only"):
        EmbeddedStore(read_only[0].parent / "new")
