"""Writers, purges and collections killed at any moment: nothing acknowledged is lost.

Children are forked, so that a life costs milliseconds. What a file should hold stands in the
file itself, so every commit can be judged, also one whose writer died before it could tell.
"""

from __future__ import annotations

import os
import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from recsys.errors import BranchBusy, ContentRemoved
from recsys.provenance import catalogue, compaction, packs
from recsys.provenance.catalogue import Catalogue
from recsys.provenance.embedded import EmbeddedStore

KILLS = 220
AT_ONCE = 4
LONGEST_PAUSE_SECONDS = 0.08
PATHS = [f"/{number}" for number in range(10)]
SHARED, LARGE = "/0", "/9"
LARGE_BYTES = 300_000
WHY = "asked to be forgotten"

Tell = Callable[[str], None]


@dataclass
class Child:
    pid: int
    pipe: int

    def kill(self) -> list[str]:
        """What it told before it died."""
        os.kill(self.pid, signal.SIGKILL)
        return self.wait(-signal.SIGKILL)

    def wait(self, expected: int = 0) -> list[str]:
        with os.fdopen(self.pipe, "rb") as pipe:
            told = pipe.read().decode().splitlines()
        _, status = os.waitpid(self.pid, 0)
        assert os.waitstatus_to_exitcode(status) == expected, told
        return told


def fork(work: Callable[[Tell], None]) -> Child:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work(lambda line: os.write(write, f"{line}\n".encode()) and None)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a child must never return into pytest
            traceback.print_exc()
            os._exit(1)
    os.close(write)
    return Child(pid, read)


def content(path: str, seed: int) -> bytes:
    """What this path holds by this seed; some of it is the same whoever writes it."""
    seed = 0 if path == SHARED else seed
    size = LARGE_BYTES if path == LARGE else 200 + seed % 1000
    return f"{path} {seed} ".encode() + bytes([seed % 251]) * size


def is_whole(path: str, data: bytes) -> bool:
    told_path, seed, _ = data.split(b" ", 2)
    return told_path == path.encode() and data == content(path, int(seed))


# What the children do


def writes(root: Path, branch: str, seed: int) -> Callable[[Tell], None]:
    def work(tell: Tell) -> None:
        rng, store = random.Random(seed), EmbeddedStore(root)
        while True:
            number = rng.randrange(1 << 40)
            whole = store.head("catalog", branch) is None or rng.random() < 0.3
            try:
                with store.commit("catalog", branch=branch, replace=whole) as writer:
                    for path in PATHS if whole else rng.sample(PATHS, 3):
                        writer.put(path, content(path, number))
            except BranchBusy:
                time.sleep(0.002)
            else:
                tell(f"commit {writer.ref}")

    return work


def purges(root: Path, seed: int) -> Callable[[Tell], None]:
    def work(tell: Tell) -> None:
        rng, store = random.Random(seed), EmbeddedStore(root)
        while True:
            number = rng.randrange(1 << 40)
            path = rng.choice(["/3", LARGE])
            try:
                with store.commit("secrets", branch=f"b{seed % 3}") as writer:
                    writer.put(path, content(path, number))
                    writer.put("/kept", content("/kept", number))
            except BranchBusy:
                continue
            store.purge([(writer.ref, path)], WHY)
            tell(f"purge {writer.ref}:{path} {number}")

    return work


def collects(root: Path, seed: int) -> Callable[[Tell], None]:
    def work(tell: Tell) -> None:
        rng, store = random.Random(seed), EmbeddedStore(root)

        def keep() -> Iterator[str]:
            for repo in ("catalog", "secrets"):
                yield from (info.ref for info in store.commits(repo))

        while True:
            for _ in range(2):
                number = rng.randrange(1 << 40)
                try:
                    with store.commit("scratch", replace=True) as writer:
                        for path in ("/1", LARGE):
                            writer.put(path, content(path, number))
                except BranchBusy:
                    continue
            store.gc(keep)
            tell("collection")

    return work


# What must hold


@dataclass
class Storm:
    """Children that are killed at random moments, and what they had told by then."""

    root: Path
    rng: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    alive: list[tuple[str, Child]] = field(default_factory=list)

    def blow(self, kills: int) -> None:
        while self.kills.total() < kills:
            while len(self.alive) < AT_ONCE:
                self._begin()
            time.sleep(self.rng.uniform(0, LONGEST_PAUSE_SECONDS))
            role, child = self.alive.pop(self.rng.randrange(AT_ONCE))
            self.told += child.kill()
            self.kills[role] += 1

    def end(self) -> None:
        while self.alive:
            role, child = self.alive.pop()
            self.told += child.kill()
            self.kills[role] += 1

    def acknowledged(self, what: str) -> list[str]:
        return [line.partition(" ")[2] for line in self.told if line.startswith(what)]

    def _begin(self) -> None:
        seed = self.rng.randrange(1 << 30)
        roles = {
            "writer": writes(self.root, f"b{seed % 3}", seed),
            "purge": purges(self.root, seed),
            "collection": collects(self.root, seed),
        }
        (role,) = self.rng.choices(list(roles), weights=(5, 3, 2))
        self.alive.append((role, fork(roles[role])))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    store = EmbeddedStore(root)
    for repo in ("catalog", "secrets", "scratch"):
        store.ensure_repo(repo)
    return root


@pytest.fixture
def storm(root: Path) -> Iterator[Storm]:
    storm = Storm(root, random.Random(20))
    yield storm
    storm.end()


def read(store: EmbeddedStore, ref: str, path: str) -> bytes | None:
    try:
        with store.open(ref, path) as stream:
            return stream.read()
    except ContentRemoved:
        return None


def assert_commits_are_whole(store: EmbeddedStore, acknowledged: set[str]) -> None:
    """All that were acknowledged are there, and those that were not are whole too."""
    seen = [info.ref for info in store.commits("catalog")]
    assert acknowledged <= set(seen)
    for ref in seen:
        assert [file.path for file in store.files(ref)] == PATHS
        for path in PATHS:
            data = read(store, ref, path)
            assert data is not None
            assert is_whole(path, data), (ref, path, data[:60])


def assert_purged_is_gone(store: EmbeddedStore, root: Path, purged: list[str]) -> None:
    on_disk = [path.read_bytes() for path in (*root.glob("packs/*"), *root.glob("large/*"))]
    for line in purged:
        file, _, number = line.rpartition(" ")
        ref, _, path = file.partition(":")
        assert path in [item.path for item in store.files(ref)]
        assert read(store, ref, path) is None
        assert read(store, ref, "/kept") is not None
        head = content(path, int(number))[:40]
        assert not any(head in data for data in on_disk)


def assert_nothing_is_left_over(store: EmbeddedStore, root: Path) -> None:
    with store.commit("catalog", branch="last"):
        pass  # whoever writes next sweeps
    assert list((root / "staging").iterdir()) == []
    on_disk = {f"{path.parent.name}/{path.name}" for path in root.glob("[pl]a*/*")}
    assert on_disk == set(store._catalogue.files().values())


def test_writers_purges_and_collections_killed_at_any_moment_lose_nothing(
    root: Path, storm: Storm
) -> None:
    for kills in range(KILLS // 4, KILLS + 1, KILLS // 4):
        storm.blow(kills)
        assert EmbeddedStore(root).verify() == []  # beside those who are still alive
    storm.end()
    assert storm.kills.total() >= 200
    assert all(storm.kills[role] > 10 for role in ("writer", "purge", "collection"))
    for what in ("commit", "purge", "collection"):
        assert storm.acknowledged(what)  # some got their work done

    store = EmbeddedStore(root)
    assert store.verify() == []
    assert_commits_are_whole(store, set(storm.acknowledged("commit")))
    assert_nothing_is_left_over(store, root)
    assert_purged_is_gone(store, root, storm.acknowledged("purge"))


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def rearrange_and_die(*arguments: object) -> None:
    REARRANGE(*arguments)  # type: ignore[arg-type]
    die()


REARRANGE = Catalogue.rearrange
PLACES = {
    "before a new pack has its name": (packs.PackWriter, "publish", die),
    "before the transaction": (Catalogue, "rearrange", die),
    "inside the transaction": (catalogue, "insert", die),
    "after the transaction": (Catalogue, "rearrange", rearrange_and_die),
    "before the old files go": (compaction, "sweep", die),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_purge_killed_at_any_place_removed_all_or_nothing(root: Path, place: str) -> None:
    store = EmbeddedStore(root)
    with store.commit("secrets") as writer:
        for path in ("/3", LARGE, "/kept"):
            writer.put(path, content(path, 7))

    def purge(_: Tell) -> None:
        owner, name, replacement = PLACES[place]
        setattr(owner, name, replacement)
        EmbeddedStore(root).purge([(writer.ref, "/3"), (writer.ref, LARGE)], WHY)

    fork(purge).wait(-signal.SIGKILL)

    removed = place in ("after the transaction", "before the old files go")
    assert [read(store, writer.ref, path) is None for path in ("/3", LARGE)] == [removed] * 2
    assert store.verify() == []
    store.purge([(writer.ref, "/3"), (writer.ref, LARGE)], WHY)  # a second try finishes it
    assert_purged_is_gone(store, root, [f"{writer.ref}:/3 7", f"{writer.ref}:/9 7"])
    assert_nothing_is_left_over(store, root)
