"""The contract of the data store: one suite, every adapter of ``conftest.py``."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest

from contracts.stores import LARGE, NO_COMMIT, contents, put
from recsys.errors import (
    BranchBusy,
    CommitClosed,
    CommitNotFound,
    FileMissing,
    InvalidInputs,
    InvalidName,
    InvalidPath,
    RepoNotFound,
)
from recsys.provenance import Change, DataStore, Writer

# Commits and what they hold


def test_a_commit_gives_back_what_was_put(store: DataStore) -> None:
    files = {"/a.txt": b"a", "/folder/b.txt": b"bb", "/empty": b"", "/large": LARGE}
    assert contents(store, put(store, "catalog", files)) == files


def test_an_empty_commit_is_a_commit(store: DataStore) -> None:
    ref = put(store, "catalog", {})
    assert contents(store, ref) == {}
    head = store.head("catalog")
    assert head is not None
    assert head.ref == ref


def test_files_come_sorted_with_size_and_sha256(store: DataStore) -> None:
    ref = put(store, "catalog", {"/b": b"two", "/a/z": b"three", "/a-b": b""})
    listed = list(store.files(ref))
    assert [file.path for file in listed] == ["/a-b", "/a/z", "/b"]
    assert [file.size_bytes for file in listed] == [0, 5, 3]
    assert listed[2].sha256 == hashlib.sha256(b"two").hexdigest()


def test_files_can_be_asked_for_by_prefix(store: DataStore) -> None:
    ref = put(store, "catalog", {"/images/1": b"1", "/images/2": b"2", "/images.csv": b"3"})
    assert [file.path for file in store.files(ref, "/images/")] == ["/images/1", "/images/2"]
    assert [file.path for file in store.files(ref, "/images/2")] == ["/images/2"]
    assert list(store.files(ref, "/none")) == []


def test_a_commit_lies_on_its_parents_files(store: DataStore) -> None:
    first = put(store, "catalog", {"/kept": b"1", "/changed": b"old", "/gone": b"x"})
    with store.commit("catalog") as writer:
        writer.put("/changed", b"new")
        writer.put("/added", b"2")
        writer.delete("/gone")
    assert contents(store, writer.ref) == {"/kept": b"1", "/changed": b"new", "/added": b"2"}
    assert contents(store, first) == {"/kept": b"1", "/changed": b"old", "/gone": b"x"}


def test_replace_starts_from_no_files(store: DataStore) -> None:
    put(store, "catalog", {"/old": b"1"})
    assert contents(store, put(store, "catalog", {"/new": b"2"}, replace=True)) == {"/new": b"2"}


def test_many_small_commits_add_up(store: DataStore) -> None:
    for number in range(12):
        with store.commit("catalog") as writer:
            writer.put(f"/{number}", b"%d" % number)
            writer.put("/last", b"%d" % number)
            if number >= 3:
                writer.delete(f"/{number - 3}")
    assert contents(store, writer.ref) == {
        "/9": b"9",
        "/10": b"10",
        "/11": b"11",
        "/last": b"11",
    }


def test_the_last_put_of_a_path_counts(store: DataStore) -> None:
    with store.commit("catalog") as writer:
        writer.put("/a", b"first")
        writer.put("/a", b"second")
    assert contents(store, writer.ref) == {"/a": b"second"}


def test_a_file_put_in_this_commit_can_be_deleted_again(store: DataStore) -> None:
    with store.commit("catalog") as writer:
        writer.put("/a", b"1")
        writer.put("/b", b"2")
        writer.delete("/a")
    assert contents(store, writer.ref) == {"/b": b"2"}


def test_deleting_what_is_not_there_is_an_error(store: DataStore) -> None:
    put(store, "catalog", {"/folder/a": b"1"})
    for path in ("/none", "/folder"):
        with store.commit("catalog") as writer, pytest.raises(FileMissing, match=path):
            writer.delete(path)
    with store.commit("catalog", replace=True) as writer, pytest.raises(FileMissing):
        writer.delete("/folder/a")


class Trickle(io.RawIOBase):
    """A stream that gives a few bytes at a time, as sockets do."""

    def __init__(self, content: bytes) -> None:
        self._inner = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(min(size, 7000) if size >= 0 else 7000)


@pytest.mark.parametrize("content", [b"", b"short", LARGE], ids=["empty", "short", "large"])
@pytest.mark.parametrize("form", ["bytes", "stream", "trickle", "path"])
def test_content_may_be_bytes_a_stream_or_a_path(
    store: DataStore, tmp_path: Path, form: str, content: bytes
) -> None:
    (tmp_path / "file").write_bytes(content)
    given: dict[str, bytes | BinaryIO | Path] = {
        "bytes": content,
        "stream": io.BytesIO(content),
        "trickle": Trickle(content),  # type: ignore[dict-item]
        "path": tmp_path / "file",
    }
    with store.commit("catalog") as writer:
        writer.put("/a", given[form])
    assert contents(store, writer.ref) == {"/a": content}


@pytest.mark.parametrize("content", [b"0123456789", LARGE], ids=["small", "large"])
def test_an_opened_file_can_be_sought(store: DataStore, content: bytes) -> None:
    ref = put(store, "catalog", {"/a": content})
    with store.open(ref, "/a") as stream:
        assert stream.seekable()
        stream.seek(-4, io.SEEK_END)
        assert stream.read() == content[-4:]
        stream.seek(2)
        assert stream.read(3) == content[2:5]


def test_opening_what_is_not_a_file_is_an_error(store: DataStore) -> None:
    ref = put(store, "catalog", {"/folder/a": b"1"})
    for path in ("/none", "/folder", "/folder/a/b"):
        with pytest.raises(FileMissing, match=path):
            store.open(ref, path)


# What is not published


def put_and_raise(writer: Writer, error: type[BaseException]) -> None:
    writer.put("/b", b"2")
    writer.put("/large", LARGE)
    raise error


def test_an_exception_publishes_nothing(store: DataStore) -> None:
    before = put(store, "catalog", {"/a": b"1"})
    for error in (ValueError, KeyboardInterrupt, GeneratorExit):
        with pytest.raises(error), store.commit("catalog") as writer:
            put_and_raise(writer, error)
        with pytest.raises(CommitClosed):
            _ = writer.ref
    assert [info.ref for info in store.commits("catalog")] == [before]


def test_an_open_commit_is_not_seen(store: DataStore) -> None:
    before = put(store, "catalog", {"/a": b"1"})
    with store.commit("catalog") as writer:
        writer.put("/b", b"2")
        with pytest.raises(CommitClosed):
            _ = writer.ref
        head = store.head("catalog")
        assert head is not None
        assert head.ref == before


def test_a_failed_stream_leaves_the_commit_as_it_was(store: DataStore) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 300_000:
                raise OSError("the network went away")
            return super().read(size)

    with store.commit("catalog") as writer:
        writer.put("/a", b"1")
        with pytest.raises(OSError, match="went away"):
            writer.put("/b", Broken(LARGE + LARGE))
        writer.put("/c", b"3")
    assert contents(store, writer.ref) == {"/a": b"1", "/c": b"3"}


def test_a_closed_commit_takes_nothing_more(store: DataStore) -> None:
    with store.commit("catalog") as writer:
        writer.put("/a", b"1")
    with pytest.raises(CommitClosed):
        writer.put("/b", b"2")
    with pytest.raises(CommitClosed):
        writer.delete("/a")


# Branches


def test_writers_of_one_branch_exclude_each_other(store: DataStore) -> None:
    with store.commit("catalog") as first:
        with pytest.raises(BranchBusy, match="catalog@master"), store.commit("catalog"):
            pass
        first.put("/a", b"1")
    assert contents(store, put(store, "catalog", {"/b": b"2"})) == {"/a": b"1", "/b": b"2"}


def test_writers_of_two_branches_do_not(store: DataStore) -> None:
    with store.commit("catalog") as one, store.commit("catalog", branch="trial") as other:
        one.put("/a", b"1")
        other.put("/b", b"2")
    assert contents(store, one.ref) == {"/a": b"1"}
    assert contents(store, other.ref) == {"/b": b"2"}


def test_an_abandoned_commit_leaves_the_branch_free(store: DataStore) -> None:
    with pytest.raises(ValueError, match="stop"), store.commit("catalog"):
        raise ValueError("stop")
    put(store, "catalog", {"/a": b"1"})


def test_each_branch_has_its_own_head_and_files(store: DataStore) -> None:
    master = put(store, "catalog", {"/a": b"1"})
    trial = put(store, "catalog", {"/b": b"2"}, branch="trial")
    assert contents(store, trial) == {"/b": b"2"}
    assert store.inspect(trial).parent is None
    for branch, ref in (("master", master), ("trial", trial)):
        head = store.head("catalog", branch)
        assert head is not None
        assert (head.ref, head.branch) == (ref, branch)


def test_a_branch_without_commits_has_no_head(store: DataStore) -> None:
    assert store.head("catalog") is None
    assert store.head("catalog", "none") is None


# What is told of a commit


def test_a_commit_tells_its_ref_branch_parent_message_and_times(store: DataStore) -> None:
    before = datetime.now(UTC)
    first = put(store, "catalog", {"/a": b"1"})
    with store.commit("catalog", message='{"run": "ü"}') as writer:
        pass
    info = store.inspect(writer.ref)
    repo, _, commit_id = info.ref.partition("@")
    assert repo == "catalog"
    assert len(bytes.fromhex(commit_id)) == 16
    assert (info.branch, info.parent, info.inputs) == ("master", first, ())
    assert info.message == '{"run": "ü"}'
    assert before <= info.started <= info.finished <= datetime.now(UTC)
    assert info.started.tzinfo is UTC


def test_commits_come_newest_first_from_every_branch(store: DataStore) -> None:
    refs = [put(store, "catalog", {}, branch=branch) for branch in ("master", "trial", "master")]
    assert [info.ref for info in store.commits("catalog")] == refs[::-1]
    assert [info.ref for info in store.commits("catalog", limit=2)] == refs[:0:-1]
    assert list(store.commits("catalog", limit=0)) == []
    assert list(store.commits("models")) == []


# Names, paths and references


def test_a_repo_may_be_ensured_again(store: DataStore) -> None:
    ref = put(store, "catalog", {"/a": b"1"})
    store.ensure_repo("catalog", "another description")
    assert store.inspect(ref).ref == ref


def test_an_unknown_repo_is_an_error(store: DataStore) -> None:
    for ask in (
        lambda: store.head("none"),
        lambda: list(store.commits("none")),
        lambda: store.inspect(f"none@{NO_COMMIT}"),
        lambda: put(store, "none", {}),
    ):
        with pytest.raises(RepoNotFound, match="none"):
            ask()


@pytest.mark.parametrize("ref", [f"catalog@{NO_COMMIT}", "catalog@master", "catalog", "", "a@b@c"])
def test_an_unknown_commit_is_an_error(store: DataStore, tmp_path: Path, ref: str) -> None:
    for ask in (
        lambda: store.inspect(ref),
        lambda: list(store.files(ref)),
        lambda: store.open(ref, "/a"),
        lambda: store.materialise(ref, tmp_path / "out"),
        lambda: list(store.diff(ref)),
        lambda: list(store.upstream(ref)),
        lambda: list(store.downstream(ref)),
    ):
        with pytest.raises(CommitNotFound):
            ask()


def test_a_commit_of_one_repo_is_not_one_of_another(store: DataStore) -> None:
    ref = put(store, "catalog", {})
    with pytest.raises(CommitNotFound):
        store.inspect(ref.replace("catalog", "models"))


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a@b", "ä", "a.b", "x" * 64, "a\n"])
def test_other_names_are_refused(store: DataStore, name: str) -> None:
    with pytest.raises(InvalidName):
        store.ensure_repo(name)
    with pytest.raises(InvalidName):
        put(store, "catalog", {}, branch=name)
    with pytest.raises(InvalidName):
        store.head("catalog", name)


def test_a_branch_is_not_named_like_a_commit(store: DataStore) -> None:
    with pytest.raises(InvalidName, match="name commits"):
        put(store, "catalog", {}, branch="0123456789ab4def0123456789abcdef")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a",
        "/",
        "a/b",
        "/a/",
        "//a",
        "/a//b",
        "/.",
        "/..",
        "/a/../b",
        "/a/.",
        "/ä",
        "/a\n",
        "/a\x00",
    ]
    + [f"/a{character}b" for character in "*?[]{}!()@+^"]
    + ["/" + "x" * 256, "/xxxxxxx" * 129],
)
def test_other_paths_are_refused(store: DataStore, path: str) -> None:
    with pytest.raises(InvalidPath), store.commit("catalog") as writer:
        writer.put(path, b"1")
    assert store.head("catalog") is None


def test_odd_but_printable_paths_are_kept(store: DataStore) -> None:
    files = {"/a b.jpg": b"1", "/...": b"2", "/.hidden/x": b"3", "/~$&',;=#%|\\\"<>`": b"4"}
    assert contents(store, put(store, "catalog", files)) == dict(sorted(files.items()))


@pytest.mark.parametrize("second", ["/a/b/c", "/a", "/a/b/c/d/e"])
def test_a_path_is_a_file_or_a_folder(store: DataStore, second: str) -> None:
    with pytest.raises(InvalidPath):
        put(store, "catalog", {"/a/b/c/d": b"1", second: b"2"})
    put(store, "catalog", {"/a/b/c/d": b"1"})
    with pytest.raises(InvalidPath):
        put(store, "catalog", {second: b"2"})


def test_a_deleted_file_makes_room_for_a_folder_and_back(store: DataStore) -> None:
    put(store, "catalog", {"/a": b"1"})
    with store.commit("catalog") as writer:
        writer.delete("/a")
        writer.put("/a/b", b"2")
    assert contents(store, writer.ref) == {"/a/b": b"2"}
    with store.commit("catalog") as writer:
        writer.delete("/a/b")
        writer.put("/a", b"3")
    assert contents(store, writer.ref) == {"/a": b"3"}


# Materialise and diff


def test_materialise_copies_files_under_their_paths(store: DataStore, tmp_path: Path) -> None:
    ref = put(store, "catalog", {"/a": b"1", "/images/1": b"one", "/images/deep/2": LARGE})
    assert store.materialise(ref, tmp_path / "all") == 3
    found = {
        str(path.relative_to(tmp_path / "all")): path.read_bytes()
        for path in (tmp_path / "all").rglob("*")
        if path.is_file()
    }
    assert found == {"a": b"1", "images/1": b"one", "images/deep/2": LARGE}
    assert store.materialise(ref, tmp_path / "some", "/images/1") == 1
    assert [path.name for path in (tmp_path / "some").rglob("*")] == ["images", "1"]
    assert store.materialise(ref, tmp_path / "none", "/none") == 0


def test_a_materialised_file_is_a_copy(store: DataStore, tmp_path: Path) -> None:
    ref = put(store, "catalog", {"/small": b"1", "/large": LARGE})
    store.materialise(ref, tmp_path / "out")
    for name in ("small", "large"):
        with (tmp_path / "out" / name).open("r+b") as stream:
            stream.write(b"scribble")
    assert contents(store, ref) == {"/large": LARGE, "/small": b"1"}
    assert store.materialise(ref, tmp_path / "out") == 2
    assert (tmp_path / "out" / "small").read_bytes() == b"1"


def test_diff_tells_added_changed_and_removed(store: DataStore) -> None:
    first = put(store, "catalog", {"/a": b"1", "/b": b"2", "/c": b"3"})
    with store.commit("catalog") as writer:
        writer.put("/b", b"new")
        writer.put("/a", b"1")
        writer.delete("/c")
        writer.put("/0", b"0")
    expected = [Change("/0", "added"), Change("/b", "changed"), Change("/c", "removed")]
    assert list(store.diff(writer.ref)) == expected
    assert list(store.diff(writer.ref, first)) == expected
    assert [change.change for change in store.diff(first, writer.ref)] == [
        "removed",
        "changed",
        "added",
    ]
    assert list(store.diff(first, first)) == []
    assert [change.change for change in store.diff(first)] == ["added"] * 3


def test_diff_is_within_one_repo(store: DataStore) -> None:
    with pytest.raises(CommitNotFound):
        list(store.diff(put(store, "catalog", {}), put(store, "models", {})))


# Provenance


def test_inputs_are_kept_sorted(store: DataStore) -> None:
    catalog, models = put(store, "catalog", {}), put(store, "models", {})
    ref = put(store, "embeddings", {}, inputs=(models, catalog))
    assert store.inspect(ref).inputs == (catalog, models)


def test_lineage_is_followed_both_ways_nearest_first(store: DataStore) -> None:
    catalog = put(store, "catalog", {})
    models = put(store, "models", {}, inputs=(catalog,))
    embeddings = put(store, "embeddings", {}, inputs=(catalog, models))
    indexes = put(store, "indexes", {}, inputs=(embeddings,))
    # Another night, which has nothing to do with the first.
    later = put(store, "catalog", {})
    put(store, "models", {}, inputs=(later,))

    up = [info.ref for info in store.upstream(indexes)]
    assert up[0] == embeddings
    assert sorted(up) == sorted([embeddings, catalog, models])
    down = [info.ref for info in store.downstream(catalog)]
    assert down[-1] == indexes
    assert sorted(down) == sorted([models, embeddings, indexes])
    assert list(store.upstream(catalog)) == []
    assert list(store.downstream(indexes)) == []


def test_an_older_commit_may_be_the_input(store: DataStore) -> None:
    older = put(store, "catalog", {"/a": b"1"})
    put(store, "catalog", {"/a": b"2"})
    ref = put(store, "models", {}, inputs=(older,))
    assert store.inspect(ref).inputs == (older,)


def test_a_derived_branch_has_the_same_input_repos_every_time(store: DataStore) -> None:
    catalog, models = put(store, "catalog", {}), put(store, "models", {})
    put(store, "embeddings", {}, inputs=(catalog,))
    for inputs in ((), (models,), (catalog, models)):
        with pytest.raises(InvalidInputs, match="embeddings@master"):
            put(store, "embeddings", {}, inputs=inputs)
    put(store, "embeddings", {}, inputs=(put(store, "catalog", {}),))
    put(store, "embeddings", {}, inputs=(models,), branch="trial")


def test_a_source_branch_takes_no_inputs(store: DataStore) -> None:
    put(store, "models", {})
    with pytest.raises(InvalidInputs, match="source"):
        put(store, "models", {}, inputs=(put(store, "catalog", {}),))


def test_an_abandoned_commit_does_not_settle_a_branchs_inputs(store: DataStore) -> None:
    catalog = put(store, "catalog", {})
    with pytest.raises(ValueError, match="stop"), store.commit("models", inputs=(catalog,)):
        raise ValueError("stop")
    put(store, "models", {})


def test_a_repo_is_no_input_of_itself(store: DataStore) -> None:
    own = put(store, "catalog", {}, branch="trial")
    with pytest.raises(InvalidInputs):
        put(store, "catalog", {}, inputs=(own,))


def test_a_repo_is_an_input_once(store: DataStore) -> None:
    first, second = put(store, "catalog", {}), put(store, "catalog", {})
    for inputs in ((first, second), (first, first)):
        with pytest.raises(InvalidInputs):
            put(store, "models", {}, inputs=inputs)


def test_an_unknown_input_is_an_error(store: DataStore) -> None:
    for ref in (f"catalog@{NO_COMMIT}", "catalog@master"):
        with pytest.raises(CommitNotFound):
            put(store, "models", {}, inputs=(ref,))
    assert store.head("models") is None
