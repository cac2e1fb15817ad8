"""Content found by its SHA-256, and content that goes from the embedded store for good."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest

from recsys.errors import BranchBusy, ContentRemoved, StoreDamaged, StoreUnavailable
from recsys.provenance import database, turns
from recsys.provenance.catalogue import Rearrangement
from recsys.provenance.embedded import EmbeddedStore

SECRET = b"a picture that should never have been there " * 9
LARGE = b"large " + SECRET * 1000
WHY = "asked to be forgotten"


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
    store: EmbeddedStore, files: dict[str, bytes], repo: str = "catalog", *, replace: bool = False
) -> str:
    with store.commit(repo, replace=replace) as writer:
        for path, content in files.items():
            writer.put(path, content)
    return writer.ref


def read(store: EmbeddedStore, ref: str, path: str) -> bytes:
    with store.open(ref, path) as stream:
        return stream.read()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def held(store: EmbeddedStore, content: bytes, repo: str = "catalog") -> list[tuple[str, str]]:
    return [(info.ref, path) for info, path in store.holding(repo, digest(content))]


def on_disk(root: Path, content: bytes) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and content in path.read_bytes()]


# Finding


def test_content_is_found_in_every_commit_that_inherits_it_newest_first(
    store: EmbeddedStore,
) -> None:
    first = put(store, {"/a": SECRET, **{f"/{n}": b"%d" % n for n in range(9)}})
    second = put(store, {"/b": SECRET})
    third = put(store, {"/a": b"other"})
    fourth = put(store, {"/a": b"other", "/b": b"other"}, replace=True)
    fifth = put(store, {"/a": SECRET})
    assert fourth not in [ref for ref, _ in held(store, SECRET)]
    assert held(store, SECRET) == [
        (fifth, "/a"),
        (third, "/b"),
        (second, "/a"),
        (second, "/b"),
        (first, "/a"),
    ]


def test_content_is_found_in_the_repo_that_was_asked_and_on_every_branch(
    store: EmbeddedStore,
) -> None:
    put(store, {"/a": SECRET}, "models")
    with store.commit("catalog", branch="trial") as writer:
        writer.put("/b", SECRET)
    assert held(store, SECRET) == [(writer.ref, "/b")]


@pytest.mark.parametrize("sha256", [digest(b"nowhere"), "", "no digest", "0" * 63])
def test_what_is_nowhere_is_not_found(store: EmbeddedStore, sha256: str) -> None:
    put(store, {"/a": b"1"})
    assert list(store.holding("catalog", sha256)) == []


# Purging


@pytest.mark.parametrize("content", [SECRET, LARGE], ids=["small", "large"])
def test_purged_content_is_gone_from_disk_and_the_lineage_stays(
    store: EmbeddedStore, root: Path, tmp_path: Path, content: bytes
) -> None:
    first = put(store, {"/kept": b"kept", "/a": content, "/z": b"kept too"})
    second = put(store, {"/b": content})
    third = put(store, {"/a": b"other"})
    put(store, {"/c": content}, "models")

    purged = store.purge([(first, "/a")], WHY)

    assert (purged.files, purged.commits) == (1, ())
    assert "backups" in " ".join(purged.remains)
    assert on_disk(root, content) == []
    for ref, path in ((first, "/a"), (second, "/a"), (second, "/b"), (third, "/b")):
        with pytest.raises(ContentRemoved, match=f"{path}.*{WHY}"):
            store.open(ref, path)
    with pytest.raises(ContentRemoved, match=WHY):
        store.materialise(first, tmp_path / "out")
    assert [file.path for file in store.files(first)] == ["/a", "/kept", "/z"]
    assert next(store.files(first)).sha256 == digest(content)
    assert [change.path for change in store.diff(third, first)] == ["/a", "/b"]
    assert [ref for ref, _ in held(store, content)] == [third, second, second, first]
    assert (read(store, first, "/kept"), read(store, first, "/z")) == (b"kept", b"kept too")
    assert store.verify() == []


def test_what_is_not_there_or_was_purged_before_is_passed_over(store: EmbeddedStore) -> None:
    ref = put(store, {"/a": SECRET, "/b": SECRET})
    gone = [(ref, "/none"), (f"catalog@{'0' * 32}", "/a")]
    assert store.purge([*gone, (ref, "/a"), (ref, "/b")], WHY).files == 2
    assert store.purge([(ref, "/a")], "another reason").files == 0
    with pytest.raises(ContentRemoved, match=WHY):
        store.open(ref, "/b")
    assert store.purge([], WHY).files == 0


def test_purged_content_that_is_put_again_is_live_in_every_commit(
    store: EmbeddedStore, root: Path
) -> None:
    first = put(store, {"/a": SECRET, "/large": LARGE, "/kept": b"kept"})
    store.purge([(first, "/a"), (first, "/large")], WHY)
    inherited = put(store, {"/b": b"1"})
    with pytest.raises(ContentRemoved):
        store.open(inherited, "/a")
    again = put(store, {"/a": SECRET, "/large": LARGE})
    for ref in (first, inherited, again):
        assert (read(store, ref, "/a"), read(store, ref, "/large")) == (SECRET, LARGE)
    assert store.verify() == []


def test_bytes_that_no_commit_needs_go_with_the_purge(store: EmbeddedStore, root: Path) -> None:
    with store.commit("catalog") as one, store.commit("catalog", branch="trial") as other:
        for writer in (one, other):  # both write it; one copy is nobody's
            writer.put("/a", SECRET)
            writer.put("/own", writer.draft.__class__.__name__.encode() + bytes([id(writer) % 251]))
        other.put("/over", SECRET[::-1])
        other.put("/over", b"short")
    assert len(on_disk(root, SECRET)) == 2
    store.purge([(one.ref, "/a")], WHY)
    assert on_disk(root, SECRET) == on_disk(root, SECRET[::-1]) == []
    assert read(store, other.ref, "/over") == b"short"
    assert store.verify() == []


def test_files_are_not_written_anew_for_nothing(store: EmbeddedStore, root: Path) -> None:
    put(store, {"/a": b"1", "/large": LARGE})
    second = put(store, {"/b": SECRET, "/c": b"2"})
    before = {path.name for path in (*root.glob("packs/*"), *root.glob("large/*"))}
    store.purge([(second, "/b")], WHY)
    after = {path.name for path in (*root.glob("packs/*"), *root.glob("large/*"))}
    assert len(before & after) == 2
    assert len(after) == 3


def test_a_purge_takes_nothing_that_is_damaged_for_sound(store: EmbeddedStore, root: Path) -> None:
    ref = put(store, {"/a": SECRET, "/b": b"other", "/c": b"third"})
    (pack,) = root.glob("packs/*")
    pack.write_bytes(pack.read_bytes()[:-2])
    store.purge([(ref, "/a")], WHY)
    assert on_disk(root, SECRET) == []
    assert read(store, ref, "/b") == b"other"
    (damage,) = store.verify()
    assert damage.affected == (f"{ref}:/c",)


def test_a_purge_with_a_file_missing_says_what_else_is_lost(
    store: EmbeddedStore, root: Path
) -> None:
    ref = put(store, {"/a": SECRET, "/b": b"other"})
    (pack,) = root.glob("packs/*")
    pack.unlink()
    store.purge([(ref, "/a")], WHY)
    (damage,) = store.verify()
    assert damage.affected == (f"{ref}:/b",)


# Beside readers


def test_a_reader_that_knew_the_old_place_finds_the_new_one(
    store: EmbeddedStore, root: Path, tmp_path: Path
) -> None:
    ref = put(store, {"/a": SECRET, "/b": b"other", "/large": LARGE})
    reader, fresh = EmbeddedStore(root), EmbeddedStore(root)
    assert (read(reader, ref, "/b"), len(list(fresh.files(ref)))) == (b"other", 3)
    opened = reader.open(ref, "/large")
    store.purge([(ref, "/a"), (ref, "/large")], WHY)
    for one in (reader, fresh):
        assert read(one, ref, "/b") == b"other"
        for path in ("/a", "/large"):
            with pytest.raises(ContentRemoved, match=WHY):
                one.open(ref, path)
        assert one.materialise(ref, tmp_path / "out", "/b") == 1
        assert one.verify() == []
    with opened:
        assert opened.read() == bytes(len(LARGE))  # what is still open holds zeros


def test_a_reader_that_knew_the_content_as_removed_finds_it_put_again(
    store: EmbeddedStore, root: Path
) -> None:
    ref = put(store, {"/a": SECRET})
    store.purge([(ref, "/a")], WHY)
    reader = EmbeddedStore(root)
    with pytest.raises(ContentRemoved):
        reader.open(ref, "/a")
    put(store, {"/b": SECRET})
    assert read(reader, ref, "/a") == SECRET


def test_a_number_of_a_file_is_never_used_again(store: EmbeddedStore, root: Path) -> None:
    ref = put(store, {"/a": SECRET})
    reader = EmbeddedStore(root)
    assert read(reader, ref, "/a") == SECRET
    store.purge([(ref, "/a")], WHY)
    put(store, {"/other": b"x" * len(SECRET)})
    with pytest.raises(ContentRemoved):
        reader.open(ref, "/a")


# Beside writers


def test_a_purge_waits_for_open_commits_and_gives_up_in_the_end(
    store: EmbeddedStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = put(store, {"/a": SECRET})
    monkeypatch.setattr(turns, "_COLLECTOR_WAITS_SECONDS", 0.1)
    with store.commit("models") as writer:
        writer.put("/a", SECRET)
        with pytest.raises(BranchBusy, match="nothing was removed"):
            EmbeddedStore(root).purge([(ref, "/a")], WHY)
    assert read(store, writer.ref, "/a") == SECRET


def test_a_commit_whose_content_went_all_the_same_fails_and_a_second_try_writes_it(
    store: EmbeddedStore,
) -> None:
    put(store, {"/a": SECRET})

    def commit_while_it_goes() -> None:
        with store.commit("models") as writer:
            writer.put("/b", SECRET)
            gone = Rearrangement([hashlib.sha256(SECRET).digest()], WHY, {}, [])
            store._catalogue.rearrange(gone)  # as if somebody had broken the lock

    with pytest.raises(StoreUnavailable, match="commit again"):
        commit_while_it_goes()
    assert store.head("models") is None
    assert read(store, put(store, {"/b": SECRET}, "models"), "/b") == SECRET


# The store of an older version


FORMAT_1 = """
CREATE TABLE repos (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, description TEXT NOT NULL
);
CREATE TABLE branches (
    id INTEGER PRIMARY KEY, repo INTEGER NOT NULL REFERENCES repos, name TEXT NOT NULL,
    input_repos TEXT NOT NULL, UNIQUE (repo, name)
);
CREATE TABLE commits (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    repo INTEGER NOT NULL REFERENCES repos, branch INTEGER NOT NULL REFERENCES branches,
    parent INTEGER REFERENCES commits, inherits INTEGER NOT NULL, rows INTEGER NOT NULL,
    message TEXT NOT NULL, started INTEGER NOT NULL, finished INTEGER NOT NULL
);
CREATE INDEX commits_of_branch ON commits (branch, seq);
CREATE INDEX commits_of_repo ON commits (repo, seq);
CREATE TABLE inputs (
    made INTEGER NOT NULL REFERENCES commits, input INTEGER NOT NULL REFERENCES commits,
    PRIMARY KEY (made, input)
) WITHOUT ROWID;
CREATE INDEX made_of_input ON inputs (input, made);
CREATE TABLE packs (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE blobs (
    id INTEGER PRIMARY KEY, sha256 BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,
    pack INTEGER NOT NULL REFERENCES packs, offset INTEGER NOT NULL
);
CREATE TABLE files (
    made INTEGER NOT NULL REFERENCES commits, path TEXT NOT NULL,
    blob INTEGER REFERENCES blobs, PRIMARY KEY (made, path)
) WITHOUT ROWID;
INSERT INTO repos VALUES (1, 'catalog', ''), (2, 'models', '');
INSERT INTO branches VALUES (1, 1, 'master', '[]');
INSERT INTO packs VALUES (3, 'packs/cccccccccccccccccccccccccccccccc.pack');
INSERT INTO commits VALUES
    (1, 'cccccccccccccccccccccccccccccccc', 1, 1, NULL, 0, 2, 'old', 1000000, 2000000),
    (2, 'dddddddddddddddddddddddddddddddd', 1, 1, 1, 1, 3, 'newer', 1000000, 2000000);
"""
OLD, NEWER = f"catalog@{'c' * 32}", f"catalog@{'d' * 32}"


def make_format_1(root: Path) -> None:
    for folder in ("locks", "staging", "packs", "large"):
        (root / folder).mkdir(parents=True)
    (root / f"packs/{'c' * 32}.pack").write_bytes(b"kept" + SECRET)
    db = sqlite3.connect(root / "catalogue.db")
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(FORMAT_1)
    for number, (content, offset) in enumerate([(b"kept", 0), (SECRET, 4)], start=1):
        sha256 = hashlib.sha256(content).digest()
        row = (number, sha256, len(content), 3, offset)
        db.execute("INSERT INTO blobs VALUES (?, ?, ?, ?, ?)", row)
    db.executescript(
        "INSERT INTO files VALUES (1, '/a', 1), (1, '/b', 2), (2, '/a', NULL);"
        "PRAGMA application_id = 1380143921; PRAGMA user_version = 1;"
    )
    db.close()


def tables(root: Path) -> set[tuple[str, str]]:
    db = sqlite3.connect(root / "catalogue.db")
    rows = db.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    db.close()
    return {(name, sql) for name, sql in rows}


def test_a_store_of_format_1_is_brought_up_to_date_and_used(
    store: EmbeddedStore, root: Path, tmp_path: Path
) -> None:
    make_format_1(tmp_path / "old")
    old = EmbeddedStore(tmp_path / "old")
    assert tables(tmp_path / "old") == tables(root)
    assert (read(old, OLD, "/a"), read(old, OLD, "/b")) == (b"kept", SECRET)
    assert [file.path for file in old.files(NEWER)] == ["/b"]
    assert held(old, SECRET) == [(NEWER, "/b"), (OLD, "/b")]
    old.purge([(NEWER, "/b")], WHY)
    assert read(old, OLD, "/a") == b"kept"
    assert old.verify() == []
    assert read(old, put(old, {"/c": SECRET}), "/b") == SECRET


def test_a_store_that_cannot_be_brought_up_to_date_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_format_1(tmp_path / "old")
    before = tables(tmp_path / "old")
    with monkeypatch.context() as patched:
        broken = f"{database._FROM_1_TO_2} DROP TABLE nowhere;"
        patched.setattr(database, "_FROM_1_TO_2", broken)
        with pytest.raises(StoreUnavailable, match="nowhere"):
            EmbeddedStore(tmp_path / "old")
    assert tables(tmp_path / "old") == before
    assert read(EmbeddedStore(tmp_path / "old"), OLD, "/b") == SECRET


def test_damage_is_told_from_a_move(store: EmbeddedStore, root: Path) -> None:
    ref = put(store, {"/a": b"first"})
    (pack,) = root.glob("packs/*")
    pack.write_bytes(b"worse")
    with pytest.raises(StoreDamaged, match=pack.name):
        store.open(ref, "/a")
