"""What the Pachyderm adapter adds to the contract: few calls, checked bytes, pinned inputs."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs

from pachd.double import Pachd
from pachd.rules import Commit
from recsys.errors import BranchBusy, StoreDamaged, StoreError
from recsys.provenance import DataStore, open_store
from recsys.provenance import pachyderm_manifest as manifest
from recsys.provenance.pachyderm_writer import AddFile
from recsys.settings import load_settings

MANY = {f"/images/{number:05d}.jpg": b"picture %d" % number for number in range(2_050)}


@pytest.fixture
def pachd() -> Iterator[Pachd]:
    with Pachd() as pachd:
        yield pachd


@pytest.fixture
def store(pachd: Pachd, tmp_path: Path) -> DataStore:
    made = another(pachd, tmp_path)
    for repo in ("catalog", "models", "embeddings"):
        made.ensure_repo(repo)
    return made


def another(pachd: Pachd, folder: Path) -> DataStore:
    """A store on another machine, so to speak: it shares nothing but the server."""
    return open_store(
        load_settings(state_dir=folder, provenance="pachyderm", pachd_address=pachd.address)
    )


def put(store: DataStore, files: dict[str, bytes], repo: str = "catalog", *inputs: str) -> str:
    with store.commit(repo, inputs=inputs) as writer:
        for path, content in files.items():
            writer.put(path, content)
    return writer.ref


def on_server(pachd: Pachd, ref: str) -> Commit:
    repo, _, commit_id = ref.partition("@")
    return pachd.pick(f"default/{repo}", commit_id)


def sent(pachd: Pachd, ref: str) -> set[str]:
    return {path for changes in on_server(pachd, ref).sets for path in changes.added}


# What is sent


def test_a_commit_is_one_stream_whatever_it_holds(pachd: Pachd, store: DataStore) -> None:
    pachd.calls.clear()
    put(store, MANY)
    assert pachd.calls.count("CreateFileSet") == 1
    assert len(pachd.calls) < 15


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 1 << 20])
def test_what_is_added_is_encoded_as_the_sdk_does(size: int) -> None:
    path, raw = "/images/" + "x" * (size % 200), bytes(size)
    message = pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path, raw=raw))
    assert bytes(AddFile(path, raw)) == bytes(message)


def test_nothing_is_sent_before_the_block_ends(pachd: Pachd, store: DataStore) -> None:
    pachd.calls.clear()
    with pytest.raises(ZeroDivisionError), store.commit("catalog") as writer:
        writer.put("/a", b"%d" % (1 // 0))
    assert set(pachd.calls) <= {"InspectBranch", "InspectRepo", "InspectCommit"}


def test_only_what_changed_is_sent(pachd: Pachd, store: DataStore) -> None:
    put(store, MANY)
    with store.commit("catalog", replace=True) as writer:
        for path, content in MANY.items():
            writer.put(path, content)
        writer.put("/images/00007.jpg", b"another picture")
    files = {path for path in sent(pachd, writer.ref) if path.startswith("/images/")}
    assert files == {"/images/00007.jpg"}
    assert len(sent(pachd, writer.ref)) == 3  # it and the shards of the old and the new content


def test_an_unchanged_commit_sends_nothing(pachd: Pachd, store: DataStore) -> None:
    put(store, {"/a": b"1"})
    pachd.calls.clear()
    ref = put(store, {"/a": b"1"})
    assert sent(pachd, ref) == set()
    assert "CreateFileSet" not in pachd.calls


def test_a_manifest_grows_over_the_border_and_back(store: DataStore) -> None:
    for files in ({"/a": b"1"}, MANY, {"/a": b"1"}):
        with store.commit("catalog", replace=True) as writer:
            for path, content in files.items():
                writer.put(path, content)
        assert [file.path for file in store.files(writer.ref)] == sorted(files)
    assert [path for _, path in store.holding("catalog", sha256(b"1"))] == ["/a", "/a"]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_manifest_is_the_same_for_the_same_files() -> None:
    entry = manifest.Entry(hashlib.sha256(b"1").digest(), 1)
    row = f'["/a",1,"{entry.sha256.hex()}"]'
    assert manifest.shards({"/a": entry}) == {"/.recsys/manifest/all": f"[{row}]\n".encode()}
    assert manifest.shards({}) == {"/.recsys/manifest/all": b"[]\n"}


def test_a_look_for_one_content_reads_one_shard_a_commit(pachd: Pachd, store: DataStore) -> None:
    put(store, MANY)
    pachd.calls.clear()
    found = list(store.holding("catalog", sha256(MANY["/images/00042.jpg"])))
    assert [path for _, path in found] == ["/images/00042.jpg"]
    assert pachd.calls == ["InspectRepo", "ListCommit", "GetFile"]


# What the server shows


def test_inputs_are_pinned_on_branches_of_their_own(pachd: Pachd, store: DataStore) -> None:
    catalog, models = put(store, {"/a": b"1"}), put(store, {"/m": b"1"}, "models")
    newer = put(store, {"/a": b"2"})
    put(store, {"/e": b"1"}, "embeddings", catalog, models)
    branches = pachd.repo("default/catalog").branches
    pins = {name: branch.head for name, branch in branches.items() if name.startswith("to-")}
    assert [str(head) for head in pins.values()] == [f"default/{catalog}"]
    assert str(branches["master"].head) == f"default/{newer}"


def test_a_commit_says_in_json_what_it_is(pachd: Pachd, store: DataStore) -> None:
    with store.commit("catalog", message="night") as writer:
        writer.put("/a", b"1")
    told = json.loads(on_server(pachd, writer.ref).description)
    assert (told["recsys"], told["message"], told["branch"]) == (1, "night", "master")
    assert told["files"] == 1


def test_a_commit_counts_when_the_server_has_worked_it_up(
    pachd: Pachd, store: DataStore, tmp_path: Path
) -> None:
    before = put(store, {"/a": b"1"})
    pachd.compacting_seconds = 0.5
    reader, heads = another(pachd, tmp_path / "reader"), set()
    writing = threading.Thread(target=put, args=(store, {"/a": b"2"}))
    writing.start()
    while writing.is_alive():
        head = reader.head("catalog")
        heads.add(head.ref if head else None)
        time.sleep(0.05)
    writing.join()
    after = reader.head("catalog")
    assert after is not None
    assert heads <= {before, after.ref}
    assert before in heads
    assert after.parent == before


def test_a_file_set_that_expired_publishes_nothing(pachd: Pachd, store: DataStore) -> None:
    pachd.file_set_seconds = -1.0
    with pytest.raises(StoreError, match="does not exist"):
        put(store, {"/a": b"1"})
    pachd.file_set_seconds = 600.0
    ref = put(store, {"/b": b"2"})
    assert [info.ref for info in store.commits("catalog")] == [ref]
    assert [file.path for file in store.files(ref)] == ["/b"]


# Strangers and damage


def test_a_strangers_commit_is_not_shown_and_stops_the_next(pachd: Pachd, store: DataStore) -> None:
    ours = put(store, {"/a": b"1"})
    calls = Client.from_pachd_address(pachd.address).pfs
    branch = pfs.Branch.from_uri("catalog@master")
    with calls.commit(branch=branch) as commit:
        commit.put_file_from_bytes("/theirs", b"1")
    head = store.head("catalog")
    assert head is not None
    assert head.ref == ours
    with pytest.raises(StoreDamaged, match="not committed by this platform"):
        put(store, {"/b": b"2"})


def test_the_servers_own_empty_commits_are_no_commits(pachd: Pachd, store: DataStore) -> None:
    calls = Client.from_pachd_address(pachd.address).pfs
    calls.create_branch(branch=pfs.Branch.from_uri("catalog@master"))
    assert store.head("catalog") is None
    ref = put(store, {"/a": b"1"})
    assert store.inspect(ref).parent is None


@pytest.mark.parametrize("files", [2, 40], ids=["few", "many"])
def test_changed_bytes_are_found_and_named(
    pachd: Pachd, store: DataStore, tmp_path: Path, files: int
) -> None:
    ref = put(store, {f"/{number}": b"%d" % number for number in range(files)})
    total = on_server(pachd, ref).total
    assert total is not None
    total["/1"] = b"x"
    with pytest.raises(StoreDamaged, match="/1 does not have"):
        store.open(ref, "/1")
    with pytest.raises(StoreDamaged, match="/1 does not have"):
        store.materialise(ref, tmp_path / "out")
    (damage,) = store.verify()
    assert (damage.file, damage.affected) == (ref, (f"{ref}:/1",))
    assert damage.problem == f"1 of {files} files are missing or changed"


@pytest.mark.parametrize("files", [2, 40], ids=["few", "many"])
def test_missing_files_are_found_and_named(
    pachd: Pachd, store: DataStore, tmp_path: Path, files: int
) -> None:
    ref = put(store, {f"/{number}": b"%d" % number for number in range(files)})
    total = on_server(pachd, ref).total
    assert total is not None
    del total["/1"]
    with pytest.raises(StoreError):
        store.materialise(ref, tmp_path / "out")
    assert [damage.affected for damage in store.verify()] == [(f"{ref}:/1",)]


@pytest.mark.parametrize("content", [b"no json", b"[]\n", b'[["/a",-1,"00"]]'])
def test_a_manifest_that_is_not_ours_is_damage(
    pachd: Pachd, store: DataStore, content: bytes
) -> None:
    ref = put(store, {"/a": b"1"})
    total = on_server(pachd, ref).total
    assert total is not None
    total["/.recsys/manifest/all"] = content
    with pytest.raises(StoreDamaged, match="manifest"):
        store.files(ref)
    assert [damage.file for damage in store.verify()] == [ref]


# Purging


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"stage": "snapshot"}', '{"purged":"asked to","stage":"snapshot"}\n'),
        ("by hand", "by hand\npurged: asked to"),
        ("", "purged: asked to"),
        ("[1]", "[1]\npurged: asked to"),
    ],
)
def test_a_new_head_says_what_the_old_one_said_and_why(
    store: DataStore, before: str, after: str
) -> None:
    with store.commit("catalog", message=before) as writer:
        writer.put("/a", b"secret")
    store.purge([(writer.ref, "/a")], "asked to")
    head = store.head("catalog")
    assert head is not None
    assert head.message == after


def test_a_purge_leaves_the_server_without_the_bytes(pachd: Pachd, store: DataStore) -> None:
    first = put(store, {"/a": b"secret", "/b": b"1"})
    derived = put(store, {"/e": b"1"}, "embeddings", first)
    second = put(store, {"/b": b"2"})
    purged = store.purge([(first, "/a")], "asked to")
    assert set(purged.commits) == {first, derived, second}
    kept = [
        data
        for repo in pachd.repos.values()
        for commit in repo.commits
        for data in (commit.total or {}).values()
    ]
    assert b"secret" not in kept
    head = store.head("catalog")
    assert head is not None
    assert [file.path for file in store.files(head.ref)] == ["/b"]


def test_a_branch_that_is_being_written_is_not_purged(store: DataStore) -> None:
    ref = put(store, {"/a": b"secret"})
    with store.commit("catalog"):
        with pytest.raises(BranchBusy):
            store.purge([(ref, "/a")], "asked to")
        assert [path for _, path in store.holding("catalog", sha256(b"secret"))] == ["/a"]


def test_what_the_server_will_not_remove_is_said(pachd: Pachd, store: DataStore) -> None:
    ref = put(store, {"/a": b"secret"})
    put(store, {"/a": b"fine"})
    calls = Client.from_pachd_address(pachd.address).pfs
    theirs = pfs.Branch.from_uri("catalog@theirs")  # somebody's own work upon it, still open
    calls.start_commit(branch=theirs, parent=pfs.Commit.from_uri(ref))
    purged = store.purge([(ref, "/a")], "asked to")
    assert purged.commits == ()
    assert purged.remains[0].startswith(f"{ref}: Pachyderm refused")
    assert "until child commit" in purged.remains[0]
