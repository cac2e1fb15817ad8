"""What nobody needs any more is collected; what somebody keeps stays, and so does the lineage."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys.errors import CommitNotFound, ContentRemoved
from recsys.provenance.embedded import EmbeddedStore

LARGE = bytes(range(256)) * 1200


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> EmbeddedStore:
    made = EmbeddedStore(root)
    for repo in ("catalog", "models"):
        made.ensure_repo(repo)
    return made


def put(
    store: EmbeddedStore,
    files: dict[str, bytes],
    repo: str = "catalog",
    *,
    inputs: tuple[str, ...] = (),
    replace: bool = True,
) -> str:
    with store.commit(repo, inputs=inputs, replace=replace) as writer:
        for path, content in files.items():
            writer.put(path, content)
    return writer.ref


def read(store: EmbeddedStore, ref: str, path: str) -> bytes:
    with store.open(ref, path) as stream:
        return stream.read()


def is_there(store: EmbeddedStore, ref: str, path: str) -> bool:
    try:
        store.open(ref, path).close()
    except ContentRemoved:
        return False
    return True


def size_on_disk(root: Path) -> int:
    return sum(path.stat().st_size for path in (*root.glob("packs/*"), *root.glob("large/*")))


def keep(*refs: str):
    return lambda: refs


def test_what_only_other_commits_hold_is_collected_and_heads_stay(
    store: EmbeddedStore, root: Path
) -> None:
    first = put(store, {"/a": b"old", "/large": LARGE, "/same": b"same"})
    head = put(store, {"/a": b"new", "/same": b"same"})
    result = store.gc(keep())
    assert not is_there(store, first, "/a")
    assert not is_there(store, first, "/large")
    assert is_there(store, first, "/same")  # the head holds it too
    assert (read(store, head, "/a"), read(store, head, "/same")) == (b"new", b"same")
    assert result.blobs == 2
    assert result.bytes_before - result.bytes_after == len(LARGE) + 3
    assert (result.files_before, result.files_after) == (3, 2)
    assert size_on_disk(root) == result.bytes_after
    assert [file.path for file in store.files(first)] == ["/a", "/large", "/same"]
    with pytest.raises(ContentRemoved, match=r"collected on \d{4}-\d\d-\d\d"):
        store.open(first, "/a")
    assert store.verify() == []


def test_a_kept_commit_keeps_its_files_and_what_it_was_made_of(store: EmbeddedStore) -> None:
    origin = put(store, {"/a": b"origin"})
    model = put(store, {"/m": b"model"}, "models", inputs=(origin,))
    other = put(store, {"/a": b"other"})
    put(store, {"/m": b"later"}, "models", inputs=(other,))
    put(store, {"/a": b"head"})
    store.gc(keep(model))
    assert is_there(store, model, "/m")
    assert is_there(store, origin, "/a")
    assert is_there(store, other, "/a")  # the newest model was made of it
    put(store, {"/m": b"newest"}, "models", inputs=(put(store, {"/a": b"newest"}),))
    store.gc(keep(model))
    assert not is_there(store, other, "/a")
    assert is_there(store, origin, "/a")


def test_a_commit_in_the_middle_of_a_chain_keeps_what_it_sees(store: EmbeddedStore) -> None:
    base = {f"/{number}": b"base %d" % number for number in range(20)}
    refs = [put(store, base)]
    for n in range(5):
        refs.append(put(store, {f"/{n}": b"night %d" % n, "/n": b"%d" % n}, replace=False))
    store.gc(keep(refs[2]))
    assert is_there(store, refs[2], "/n")
    assert [is_there(store, refs[0], f"/{number}") for number in range(6)] == [
        False,  # put over on night 0
        False,  # on night 1: refs[2] sees that
        True,
        True,
        True,
        True,
    ]
    assert [is_there(store, ref, "/n") for ref in refs[1:]] == [False, True, False, False, True]
    assert {read(store, refs[2], f"/{number}") for number in range(2)} == {b"night 0", b"night 1"}


def test_what_a_commit_put_over_is_not_kept_for_it(store: EmbeddedStore) -> None:
    first = put(store, {"/a": b"first", **{f"/{number}": b"%d" % number for number in range(9)}})
    second = put(store, {"/a": b"2"}, replace=False)
    with store.commit("catalog") as writer:
        writer.delete("/a")
    store.gc(keep(second))
    assert (is_there(store, first, "/a"), is_there(store, second, "/a")) == (False, True)


def test_keep_is_asked_when_no_writer_is_alive(store: EmbeddedStore, root: Path) -> None:
    seen = []

    def ask() -> list[str]:
        files = root / "staging"
        seen.append(list(files.iterdir()))
        return [info.ref for info in store.commits("catalog")]

    put(store, {"/a": b"1"})
    (root / "staging" / f"{'0' * 32}.pack").write_bytes(b"left by a killed writer")
    store.gc(ask)
    assert seen == [[]]


def test_an_unknown_commit_stops_the_collection(store: EmbeddedStore) -> None:
    first = put(store, {"/a": b"old"})
    put(store, {"/a": b"new"})
    with pytest.raises(CommitNotFound):
        store.gc(keep(f"catalog@{'0' * 32}"))
    assert is_there(store, first, "/a")


def test_a_dry_run_tells_the_same_and_removes_nothing(store: EmbeddedStore, root: Path) -> None:
    first = put(store, {"/a": b"old", "/large": LARGE})
    put(store, {"/a": b"new"})
    told = store.gc(keep(), dry_run=True)
    assert is_there(store, first, "/large")
    assert size_on_disk(root) == told.bytes_before
    assert store.gc(keep()) == told
    again = store.gc(keep())
    assert (again.blobs, again.bytes_before, again.bytes_after) == (
        0,
        told.bytes_after,
        told.bytes_after,
    )


def test_a_pack_with_little_dead_in_it_is_left_until_a_purge(
    store: EmbeddedStore, root: Path
) -> None:
    living = {f"/{number}": bytes([number]) * 1000 for number in range(10)}
    first = put(store, {**living, "/a": b"dead" * 100})
    head = put(store, {**living, "/b": b"head"})
    (pack,) = [path for path in root.glob("packs/*") if path.stat().st_size > 1000]
    store.gc(keep())
    assert not is_there(store, first, "/a")
    assert b"deaddead" in pack.read_bytes()
    store.purge([(first, "/a")], "asked for")  # it was collected; its bytes still lay there
    assert not pack.exists()
    assert not any(b"deaddead" in path.read_bytes() for path in root.glob("packs/*"))
    assert [read(store, head, path) for path in living] == list(living.values())
    assert store.verify() == []


def test_collected_content_that_is_put_again_is_back(store: EmbeddedStore) -> None:
    first = put(store, {"/a": b"old"})
    put(store, {"/a": b"new"})
    store.gc(keep())
    put(store, {"/a": b"old"})
    assert read(store, first, "/a") == b"old"


def test_a_commit_that_equals_its_parent_in_most_files_writes_few_rows(
    store: EmbeddedStore, root: Path
) -> None:
    import sqlite3

    files = {f"/{number}": b"%d" % number for number in range(50)}
    put(store, files)
    del files["/7"]
    ref = put(store, {**files, "/3": b"three", "/new": b"new"})
    with sqlite3.connect(root / "catalogue.db") as db:
        counts = db.execute("SELECT count(*) FROM files GROUP BY made ORDER BY made").fetchall()
    db.close()
    assert counts == [(50,), (3,)]
    expected = {**files, "/3": b"three", "/new": b"new"}
    assert {file.path: read(store, ref, file.path) for file in store.files(ref)} == expected
    assert [(change.path, change.change) for change in store.diff(ref)] == [
        ("/3", "changed"),
        ("/7", "removed"),
        ("/new", "added"),
    ]
