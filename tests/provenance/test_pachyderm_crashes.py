"""Writers killed at chosen places, and two machines on one branch: the next writer goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pachd.double import Pachd
from recsys.errors import BranchBusy
from recsys.provenance.pachyderm import PachydermStore
from recsys.provenance.pachyderm_publish import Publisher
from recsys.provenance.pachyderm_server import Server

AT_ONCE = timedelta()

# Dies at one chosen place; the last argument is a statement that arranges it.
DIES = """
import os, signal, sys
from pathlib import Path
from recsys.provenance.pachyderm import PachydermStore
from recsys.provenance.pachyderm_publish import Publisher
from recsys.provenance.pachyderm_server import Server
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
address, scratch, repo, inputs, place = sys.argv[1:]
server = Server(address, "default", "", None)
store = PachydermStore(server, Path(scratch))
with store.commit(repo, inputs=inputs.split()) as writer:
    writer.put("/lost", b"lost")
    exec(place)
"""
PLACES = {
    "while the commit is open": "die()",
    "after the upload": "Publisher.publish = die",
    "when the server has opened the commit": "Publisher._fill = die",
    "when it is filled": "type(server.pfs).finish_commit = die",
}
LEAVES_OPEN = ("when the server has opened the commit", "when it is filled")


@pytest.fixture
def pachd() -> Iterator[Pachd]:
    with Pachd() as pachd:
        yield pachd


def machine(pachd: Pachd, folder: Path, lease: timedelta = AT_ONCE) -> PachydermStore:
    store = PachydermStore(Server(pachd.address, "default", "", None), folder, lease)
    for repo in ("catalog", "models"):
        store.ensure_repo(repo)
    return store


def put(store: PachydermStore, repo: str, files: dict[str, bytes], *inputs: str) -> str:
    with store.commit(repo, inputs=inputs) as writer:
        for path, content in files.items():
            writer.put(path, content)
    return writer.ref


def killed(pachd: Pachd, folder: Path, place: str, repo: str, inputs: tuple[str, ...]) -> None:
    arguments = [pachd.address, folder, repo, " ".join(inputs), PLACES[place]]
    done = subprocess.run([sys.executable, "-c", DIES, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("repo", "before"), [("catalog", 1), ("models", 0)], ids=["source", "new and derived"]
)
def test_a_killed_writer_leaves_nothing_and_the_next_goes_on(
    pachd: Pachd, tmp_path: Path, repo: str, before: int, place: str
) -> None:
    store = machine(pachd, tmp_path)
    inputs = () if repo == "catalog" else (put(store, "catalog", {"/c": b"1"}),)
    acknowledged = [put(store, repo, {"/kept": b"kept"}, *inputs) for _ in range(before)]
    killed(pachd, tmp_path, place, repo, inputs)
    assert [info.ref for info in store.commits(repo)] == acknowledged
    after = put(store, repo, {"/new": b"1"}, *inputs)
    assert [info.ref for info in store.commits(repo)] == [after, *acknowledged]
    assert [file.path for file in store.files(after)] == ["/kept", "/new"][1 - before :]
    assert store.inspect(after).parent == (acknowledged[0] if before else None)
    assert store.inspect(after).inputs == inputs
    assert store.verify() == []


def test_a_killed_writer_settles_no_inputs(pachd: Pachd, tmp_path: Path) -> None:
    store = machine(pachd, tmp_path)
    catalog = put(store, "catalog", {"/c": b"1"})
    killed(pachd, tmp_path, LEAVES_OPEN[0], "models", (catalog,))
    assert store.inspect(put(store, "models", {"/m": b"1"})).inputs == ()


@pytest.mark.parametrize("place", LEAVES_OPEN)
def test_a_commit_that_was_just_opened_belongs_to_a_living_writer(
    pachd: Pachd, tmp_path: Path, place: str
) -> None:
    store = machine(pachd, tmp_path, timedelta(minutes=1))
    killed(pachd, tmp_path, place, "catalog", ())
    with pytest.raises(BranchBusy, match="catalog@master"):
        put(store, "catalog", {"/a": b"1"})


# Two machines, which share the server and no lock


@pytest.mark.parametrize("repo", ["catalog", "models"], ids=["source", "derived"])
def test_of_two_machines_the_first_to_publish_wins(pachd: Pachd, tmp_path: Path, repo: str) -> None:
    one, other = machine(pachd, tmp_path / "one"), machine(pachd, tmp_path / "other")
    inputs = () if repo == "catalog" else (put(one, "catalog", {"/c": b"1"}),)
    won = []

    def late() -> None:
        with other.commit(repo, inputs=inputs) as writer:
            writer.put("/late", b"1")
            won.append(put(one, repo, {"/a": b"1"}, *inputs))

    with pytest.raises(BranchBusy, match=f"{repo}@master moved"):
        late()
    assert [info.ref for info in one.commits(repo)] == won
    again = put(other, repo, {"/late": b"1"}, *inputs)
    assert [file.path for file in other.files(again)] == ["/a", "/late"]
    assert other.inspect(again).parent == won[0]


@pytest.mark.parametrize("repo", ["catalog", "models"], ids=["source", "derived"])
def test_a_writer_that_was_silent_too_long_is_taken_over_and_told(
    pachd: Pachd, tmp_path: Path, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = machine(pachd, tmp_path / "one"), machine(pachd, tmp_path / "other")
    inputs = () if repo == "catalog" else (put(one, "catalog", {"/c": b"1"}),)
    fill, taken = Publisher._fill, []

    def sleeps(publisher: Publisher, *arguments: object) -> None:
        monkeypatch.setattr(Publisher, "_fill", fill)
        taken.append(put(other, repo, {"/other": b"1"}, *inputs))
        fill(publisher, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Publisher, "_fill", sleeps)
    with pytest.raises(BranchBusy, match="took"):
        put(one, repo, {"/one": b"1"}, *inputs)
    assert [info.ref for info in one.commits(repo)] == taken
    assert [file.path for file in one.files(taken[0])] == ["/other"]
