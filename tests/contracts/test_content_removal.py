"""The contract of the data store, continued: content found, taken out and read again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from contracts.stores import LARGE, NO_COMMIT, contents, put, read
from recsys.errors import CommitNotFound, ContentRemoved, InvalidPath, RepoNotFound
from recsys.provenance import DataStore

SECRET = b"a picture that should never have been there " * 9
WHY = "asked to be forgotten"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def held(store: DataStore, content: bytes, repo: str = "catalog") -> list[tuple[str, str]]:
    return [(info.ref, path) for info, path in store.holding(repo, digest(content))]


# Finding


def test_content_is_found_in_every_commit_that_holds_it_newest_first(store: DataStore) -> None:
    first = put(store, "catalog", {"/a": SECRET, "/other": b"1"})
    second = put(store, "catalog", {"/b": SECRET})
    third = put(store, "catalog", {"/a": b"other"})
    put(store, "catalog", {"/a": b"other"}, replace=True)
    trial = put(store, "catalog", {"/c": SECRET}, branch="trial")
    put(store, "models", {"/a": SECRET})
    assert held(store, SECRET) == [
        (trial, "/c"),
        (third, "/b"),
        (second, "/a"),
        (second, "/b"),
        (first, "/a"),
    ]


@pytest.mark.parametrize("sha256", [digest(b"nowhere"), "", "no digest", "0" * 63])
def test_what_is_nowhere_is_not_found(store: DataStore, sha256: str) -> None:
    put(store, "catalog", {"/a": b"1"})
    assert list(store.holding("catalog", sha256)) == []


def test_content_is_not_found_in_an_unknown_repo(store: DataStore) -> None:
    with pytest.raises(RepoNotFound):
        list(store.holding("none", digest(b"1")))


# Purging: the store takes the content out of its commits, or the commits out of the store


def assert_removed(store: DataStore, ref: str, path: str, gone: tuple[str, ...]) -> None:
    if ref in gone:
        with pytest.raises(CommitNotFound):
            store.inspect(ref)
    else:
        with pytest.raises(ContentRemoved, match=f"{path}.*{WHY}"):
            store.open(ref, path)


@pytest.mark.parametrize("content", [SECRET, LARGE], ids=["small", "large"])
def test_purged_content_is_gone_from_all_history_and_the_rest_stays(
    store: DataStore, content: bytes
) -> None:
    before = put(store, "catalog", {"/kept": b"kept"})
    first = put(store, "catalog", {"/a": content})
    second = put(store, "catalog", {"/b": content, "/c": b"newer"})
    other = put(store, "models", {"/c": content, "/kept": b"kept"})
    purged = store.purge([(first, "/a")], WHY)
    assert purged.files == 1
    assert purged.remains
    for ref, path in ((first, "/a"), (second, "/a"), (second, "/b"), (other, "/c")):
        assert_removed(store, ref, path, purged.commits)
    assert contents(store, before) == {"/kept": b"kept"}
    for repo in ("catalog", "models"):
        head = store.head(repo)
        assert head is not None
        assert read(store, head.ref, "/kept") == b"kept"
    assert store.verify() == []


def test_a_purge_tells_which_commits_went_and_others_keep_their_place(store: DataStore) -> None:
    first = put(store, "catalog", {"/a": SECRET})
    embedded = put(store, "embeddings", {"/v": b"1"}, inputs=(first,))
    second = put(store, "catalog", {"/a": b"fine"})
    later = put(store, "embeddings", {"/v": b"2"}, inputs=(second,))
    purged = store.purge([(first, "/a")], WHY)
    for repo, before in (("catalog", [second, first]), ("embeddings", [later, embedded])):
        stays = [ref for ref in before if ref not in purged.commits]
        assert [info.ref for info in store.commits(repo)] == stays
    assert [info.ref for info in store.upstream(later)] == [second]
    assert contents(store, later) == {"/v": b"2"}


def test_a_purge_reaches_through_everything_that_was_made_of_the_content(
    store: DataStore,
) -> None:
    first = put(store, "catalog", {"/a": SECRET})
    models = put(store, "models", {"/m": b"1"}, inputs=(first,))
    embeddings = put(store, "embeddings", {"/v": b"1"}, inputs=(first, models))
    indexes = put(store, "indexes", {"/i": b"1"}, inputs=(embeddings,))
    purged = store.purge([(first, "/a")], WHY)
    if purged.commits:
        assert set(purged.commits) == {first, models, embeddings, indexes}
        assert [store.head(repo) for repo in ("models", "embeddings", "indexes")] == [None] * 3
    else:
        assert sorted(info.ref for info in store.downstream(first)) == sorted(
            [models, embeddings, indexes]
        )
    fresh = put(store, "catalog", {"/a": b"fine"})
    models = put(store, "models", {"/m": b"2"}, inputs=(fresh,))
    embeddings = put(store, "embeddings", {"/v": b"2"}, inputs=(fresh, models))
    made_of = {info.ref for info in store.upstream(put(store, "indexes", {}, inputs=(embeddings,)))}
    assert made_of == {fresh, models, embeddings}


def test_what_is_not_there_or_was_purged_before_is_passed_over(store: DataStore) -> None:
    ref = put(store, "catalog", {"/a": SECRET, "/b": SECRET})
    nowhere = [(ref, "/none"), (f"catalog@{NO_COMMIT}", "/a"), (f"none@{NO_COMMIT}", "/a")]
    assert store.purge([*nowhere, (ref, "/a"), (ref, "/b")], WHY).files == 2
    assert store.purge([(ref, "/a")], "another reason").files == 0
    assert store.purge([], WHY).files == 0


def test_after_a_purge_the_nights_go_on(store: DataStore) -> None:
    first = put(store, "catalog", {"/a": SECRET, "/b": b"1"})
    put(store, "embeddings", {"/v": b"1"}, inputs=(first,))
    store.purge([(first, "/a")], WHY)
    second = put(store, "catalog", {"/a": b"better", "/b": b"2"}, replace=True)
    embeddings = put(store, "embeddings", {"/v": b"2"}, inputs=(second,), replace=True)
    assert contents(store, second) == {"/a": b"better", "/b": b"2"}
    assert [info.ref for info in store.upstream(embeddings)] == [second]
    assert store.verify() == []


def test_purged_content_that_is_put_again_can_be_read(store: DataStore) -> None:
    first = put(store, "catalog", {"/a": SECRET})
    store.purge([(first, "/a")], WHY)
    again = put(store, "catalog", {"/a": SECRET})
    assert contents(store, again) == {"/a": SECRET}


# Reading again


def test_a_whole_store_has_no_damage(store: DataStore, tmp_path: Path) -> None:
    assert store.verify() == []
    first = put(store, "catalog", {f"/{number}": b"%d" % number for number in range(40)})
    put(store, "embeddings", {"/large": LARGE, "/empty": b""}, inputs=(first,))
    put(store, "catalog", {"/0": b"changed"})
    assert store.verify() == []


@pytest.mark.parametrize("path", ["/.recsys", "/.recsys/manifest/all"])
def test_the_stores_own_place_takes_no_files(store: DataStore, path: str) -> None:
    with pytest.raises(InvalidPath, match="kept for the data store"):
        put(store, "catalog", {path: b"1"})
