"""What is particular to the embedded store: packs, dedup, damage, format, sweeping."""

from __future__ import annotations

import mmap
import sqlite3
from pathlib import Path

import pytest

from recsys.errors import StoreDamaged, StoreUnavailable
from recsys.provenance import Damage
from recsys.provenance.embedded import EmbeddedStore
from recsys.provenance.packs import PACKED_MAX_BYTES

LARGE = bytes(range(256)) * 1200


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> EmbeddedStore:
    made = EmbeddedStore(root)
    made.ensure_repo("catalog")
    return made


def put(store: EmbeddedStore, files: dict[str, bytes], *, replace: bool = False) -> str:
    with store.commit("catalog", replace=replace) as writer:
        for path, content in files.items():
            writer.put(path, content)
    return writer.ref


def files_in(root: Path, folder: str) -> list[Path]:
    return sorted((root / folder).iterdir())


def flip_a_bit(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def ask(root: Path, query: str) -> list[tuple[object, ...]]:
    db = sqlite3.connect(root / "catalogue.db")
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


# Where bytes lie


def test_small_blobs_share_one_pack_and_large_ones_have_their_own(
    store: EmbeddedStore, root: Path
) -> None:
    at_limit = b"x" * PACKED_MAX_BYTES
    ref = put(store, {"/a": b"1", "/b": b"22", "/limit": at_limit, "/large": at_limit + b"x"})
    assert [path.stat().st_size for path in files_in(root, "packs")] == [3 + PACKED_MAX_BYTES]
    assert [path.stat().st_size for path in files_in(root, "large")] == [PACKED_MAX_BYTES + 1]
    with (
        store.open(ref, "/large") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        assert mapped[-1:] == b"x"


def test_content_is_stored_once(store: EmbeddedStore, root: Path) -> None:
    put(store, {"/a": b"same", "/b": b"same", "/large": LARGE, "/copy": LARGE})
    put(store, {"/c": b"same", "/moved": LARGE, "/new": b"new"}, replace=True)
    assert sorted(path.stat().st_size for path in files_in(root, "packs")) == [3, 4]
    assert len(files_in(root, "large")) == 1
    assert files_in(root, "staging") == []


def test_content_that_was_put_over_is_not_kept(store: EmbeddedStore, root: Path) -> None:
    put(store, {"/a": LARGE})
    with store.commit("catalog") as writer:
        writer.put("/b", LARGE[::-1])
        writer.put("/b", b"small")
    assert len(files_in(root, "large")) == 1
    assert files_in(root, "staging") == []


def test_two_commits_at_once_with_the_same_content_both_hold_it(
    store: EmbeddedStore, root: Path
) -> None:
    with store.commit("catalog") as one, store.commit("catalog", branch="trial") as other:
        for writer in (one, other):
            writer.put("/small", b"same")
            writer.put("/large", LARGE)
    for ref in (one.ref, other.ref):
        assert [file.size_bytes for file in store.files(ref)] == [len(LARGE), 4]
    assert store.verify() == []
    put(store, {})  # the second copy is nobody's, and goes
    assert len(files_in(root, "packs")) == len(files_in(root, "large")) == 1


def test_a_small_change_writes_few_rows_and_many_changes_do_not_pile_up(
    store: EmbeddedStore, root: Path
) -> None:
    put(store, {f"/{number}": b"%d" % number for number in range(20)})
    for night in range(30):
        ref = put(store, {"/0": b"night %d" % night, f"/{night % 20}": b"%d" % -night})
    rows = [int(str(count)) for (count,) in ask(root, "SELECT rows FROM commits ORDER BY seq")]
    assert rows[0] == 20
    assert rows[1] <= 22
    assert max(rows) <= 40  # twice the files
    contents = {file.path: store.open(ref, file.path).read() for file in store.files(ref)}
    assert len(contents) == 20
    assert (contents["/0"], contents["/9"], contents["/19"]) == (b"night 29", b"-29", b"-19")


def test_putting_the_same_content_again_changes_nothing(store: EmbeddedStore, root: Path) -> None:
    put(store, {"/a": b"1"})
    assert list(store.diff(put(store, {"/a": b"1"}))) == []
    assert ask(root, "SELECT count(*) FROM files") == [(1,)]


def test_more_packs_than_are_kept_open_are_read(store: EmbeddedStore) -> None:
    for number in range(70):
        ref = put(store, {f"/{number}": b"%d" % number})
    store = EmbeddedStore(store._root)
    for _ in range(2):
        read = [store.open(ref, file.path).read() for file in store.files(ref)]
        assert sorted(read, key=int) == [b"%d" % number for number in range(70)]


# Damage


def test_a_changed_small_blob_is_refused_and_found(store: EmbeddedStore, root: Path) -> None:
    ref = put(store, {"/a": b"first", "/b": b"second"})
    (pack,) = files_in(root, "packs")
    flip_a_bit(pack, 6)
    assert store.open(ref, "/a").read() == b"first"
    with pytest.raises(StoreDamaged, match=pack.name):
        store.open(ref, "/b")
    (damage,) = store.verify()
    assert damage == Damage(
        f"packs/{pack.name}", "1 of 2 blobs are missing or changed", (f"{ref}:/b",)
    )


def test_a_changed_large_blob_is_found_and_never_materialised(
    store: EmbeddedStore, root: Path, tmp_path: Path
) -> None:
    ref = put(store, {"/large": LARGE})
    (file,) = files_in(root, "large")
    flip_a_bit(file, 200_000)
    assert [damage.file for damage in store.verify()] == [f"large/{file.name}"]
    with pytest.raises(StoreDamaged, match=file.name):
        store.materialise(ref, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_cut_or_missing_file_is_refused_and_found(store: EmbeddedStore, root: Path) -> None:
    ref = put(store, {"/a": b"first", "/b": b"second", "/large": LARGE})
    (pack,), (large,) = files_in(root, "packs"), files_in(root, "large")
    pack.write_bytes(pack.read_bytes()[:3])
    large.write_bytes(LARGE[:1000])
    for path in ("/a", "/large"):
        with pytest.raises(StoreDamaged):
            store.open(ref, path)
    pack.unlink()
    large.unlink()
    store = EmbeddedStore(root)
    for path in ("/a", "/large"):
        with pytest.raises(StoreDamaged, match="missing"):
            store.open(ref, path)
    assert sorted(damage.file.partition("/")[0] for damage in store.verify()) == ["large", "packs"]


def test_a_whole_store_verifies(store: EmbeddedStore) -> None:
    put(store, {"/a": b"", "/b": b"1", "/large": LARGE})
    assert store.verify() == []


def test_a_damaged_catalogue_is_named(store: EmbeddedStore, root: Path) -> None:
    put(store, {f"/{number}": b"%d" % number for number in range(500)})
    ask(root, "PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray((root / "catalogue.db").read_bytes())
    data[4096 * 3 :] = bytes(len(data) - 4096 * 3)
    (root / "catalogue.db").write_bytes(data)
    assert {damage.file for damage in store.verify()} == {"catalogue.db"}


# Format


def test_a_newer_format_is_refused(store: EmbeddedStore, root: Path) -> None:
    ask(root, "PRAGMA user_version = 3")
    with pytest.raises(StoreUnavailable, match=r"format 3.*reads 2.*update"):
        EmbeddedStore(root)
    with pytest.raises(StoreUnavailable, match="format 3"):
        store.head("catalog")


def test_a_file_that_is_no_catalogue_is_refused(root: Path) -> None:
    root.mkdir()
    (root / "catalogue.db").write_bytes(b"not a database, but of some length" * 100)
    with pytest.raises(StoreDamaged, match=r"catalogue\.db"):
        EmbeddedStore(root)
    (root / "catalogue.db").unlink()
    ask(root, "CREATE TABLE somebody_elses (a)")
    with pytest.raises(StoreDamaged, match="not the catalogue"):
        EmbeddedStore(root)


def test_packs_without_a_catalogue_are_not_taken_for_a_new_store(
    store: EmbeddedStore, root: Path
) -> None:
    put(store, {"/a": b"1"})
    for file in root.glob("catalogue.db*"):
        file.unlink()
    with pytest.raises(StoreDamaged, match="restore"):
        EmbeddedStore(root)
    assert len(files_in(root, "packs")) == 1


def test_a_store_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailable):
        EmbeddedStore(tmp_path / "file" / "store")


# Sweeping


def test_what_a_killed_writer_left_is_swept_and_nothing_else(
    store: EmbeddedStore, root: Path
) -> None:
    ref = put(store, {"/a": b"1", "/large": LARGE})
    left = [
        root / "packs" / f"{'0' * 32}.pack",
        root / "large" / f"{'0' * 32}-1.blob",
        root / "staging" / f"{'1' * 32}.pack",
    ]
    foreign = [root / "packs" / "notes.txt", root / "large" / f"{'0' * 32}-1.blob.bak"]
    for path in left + foreign:
        path.write_bytes(b"left")
    put(store, {"/b": b"2"})
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in foreign)
    assert store.verify() == []
    assert store.open(ref, "/a").read() == b"1"


def test_nothing_is_swept_while_a_writer_is_alive(store: EmbeddedStore, root: Path) -> None:
    with store.commit("catalog", branch="trial") as alive:
        alive.put("/large", LARGE)
        put(store, {"/a": b"1"})
        assert len(files_in(root, "staging")) == 1
    assert [file.path for file in store.files(alive.ref)] == ["/large"]


def test_reading_makes_no_lock_and_no_pack(store: EmbeddedStore, root: Path) -> None:
    ref = put(store, {"/a": b"1"})
    for lock in files_in(root, "locks"):
        lock.unlink()
    reader = EmbeddedStore(root)
    assert reader.open(ref, "/a").read() == b"1"
    assert reader.head("catalog") is not None
    assert reader.verify() == []
    assert files_in(root, "locks") == []
