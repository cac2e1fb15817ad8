"""A replay reads the real store as it was, and writes beside it."""

from pathlib import Path

import pytest

from recsys.errors import StoreError
from recsys.provenance.embedded import EmbeddedStore
from recsys.provenance.port import CommitInfo, DataStore
from recsys.provenance.replay import ReplayStore


def commit(store: DataStore, repo: str, content: bytes, *inputs: str) -> CommitInfo:
    store.ensure_repo(repo)
    with store.commit(repo, inputs=inputs, message=content.decode(), replace=True) as writer:
        writer.put("/content", content)
    return store.inspect(writer.ref)


@pytest.fixture
def real(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "real")


@pytest.fixture
def scratch(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "scratch")


def everything(store: DataStore, *repos: str) -> list[CommitInfo]:
    return [item for repo in repos for item in store.commits(repo)]


def test_what_a_replay_commits_never_reaches_the_real_store(
    real: EmbeddedStore, scratch: EmbeddedStore
) -> None:
    source = commit(real, "catalog", b"source")
    recorded = commit(real, "measured", b"recorded", source.ref)
    before = everything(real, "catalog", "measured")
    replay = ReplayStore(real, scratch, recorded)
    again = commit(replay, "measured", b"again", source.ref)
    assert again.inputs == (source.ref,)
    assert replay.open(again.ref, "/content").read() == b"again"
    assert replay.open(source.ref, "/content").read() == b"source"
    assert everything(real, "catalog", "measured") == before


def test_only_the_replays_own_commits_are_listed_so_no_work_is_remembered(
    real: EmbeddedStore, scratch: EmbeddedStore
) -> None:
    recorded = commit(real, "measured", b"recorded")
    replay = ReplayStore(real, scratch, recorded)
    replay.ensure_repo("measured")
    assert list(replay.commits("measured")) == []
    again = commit(replay, "measured", b"again")
    assert list(replay.commits("measured")) == [again]


def test_the_head_is_what_it_was_when_the_recorded_commit_was_made(
    real: EmbeddedStore, scratch: EmbeddedStore
) -> None:
    old_source = commit(real, "catalog", b"old")
    old_rival = commit(real, "champions", b"old rival")
    first = commit(real, "measured", b"first", old_source.ref)
    commit(real, "catalog", b"newer, but not the one that was used")
    recorded = commit(real, "measured", b"recorded", old_source.ref)
    commit(real, "champions", b"later rival")
    commit(real, "measured", b"later", old_source.ref)
    replay = ReplayStore(real, scratch, recorded)
    commit(replay, "champions", b"of the replay")
    assert replay.head("measured") == first
    assert replay.head("catalog") == old_source
    assert replay.head("champions") == old_rival
    assert replay.head("never_made") is None
    assert ReplayStore(real, scratch, first).head("measured") is None


def test_lineage_runs_through_both_stores(real: EmbeddedStore, scratch: EmbeddedStore) -> None:
    source = commit(real, "catalog", b"source")
    recorded = commit(real, "measured", b"recorded", source.ref)
    validated = commit(real, "validated", b"recorded too", recorded.ref)
    measuring = ReplayStore(real, scratch, recorded)
    measured = commit(measuring, "measured", b"again", source.ref)
    validating = ReplayStore(real, scratch, validated, measuring.made)
    last = commit(validating, "validated", b"again too", measured.ref)
    assert list(validating.upstream(last.ref)) == [measured, source]
    assert list(validating.downstream(measured.ref)) == [last]
    assert [item.ref for item in validating.downstream(source.ref)] == [
        recorded.ref,
        validated.ref,
        measured.ref,
        last.ref,
    ]


def test_files_are_listed_copied_and_compared_from_the_store_that_has_them(
    real: EmbeddedStore, scratch: EmbeddedStore, tmp_path: Path
) -> None:
    recorded = commit(real, "measured", b"recorded")
    replay = ReplayStore(real, scratch, recorded)
    again = commit(replay, "measured", b"again")
    for ref, content in ((recorded.ref, b"recorded"), (again.ref, b"again")):
        assert [file.path for file in replay.files(ref)] == ["/content"]
        assert replay.materialise(ref, tmp_path / "out") == 1
        assert (tmp_path / "out" / "content").read_bytes() == content
        assert [item.change for item in replay.diff(ref)] == ["added"]


def test_a_replay_purges_nothing(real: EmbeddedStore, scratch: EmbeddedStore) -> None:
    recorded = commit(real, "measured", b"recorded")
    with pytest.raises(StoreError, match="purge from the store itself"):
        ReplayStore(real, scratch, recorded).purge([(recorded.ref, "/content")], "why")
    assert real.open(recorded.ref, "/content").read() == b"recorded"
