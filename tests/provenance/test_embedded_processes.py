"""Several processes on one embedded store, and what is left of them when they are killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys.errors import BranchBusy
from recsys.provenance.embedded import EmbeddedStore

FILES_EACH = 40
LARGE = bytes(range(256)) * 1200

# Commits until it is killed, or so often as it is told, and tells each commit's ref.
WRITER = """
import sys
from pathlib import Path
from recsys.errors import BranchBusy
from recsys.provenance.embedded import EmbeddedStore
root, branch, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = EmbeddedStore(root)
store.ensure_repo("catalog")
done = 0
while done != times:
    try:
        with store.commit("catalog", branch=branch, replace=True) as writer:
            print("open", flush=True)
            for number in range(40):
                writer.put(f"/{number}", b"%s %d %d" % (branch.encode(), done, number))
            writer.put("/large", b"%d" % done + bytes(range(256)) * 1200)
    except BranchBusy:
        continue
    print(writer.ref, flush=True)
    done += 1
"""

# Dies at one chosen place; the argument is a statement that arranges it.
DIES = """
import os, signal, sys
from pathlib import Path
from recsys.provenance import catalogue, publishing
from recsys.provenance.embedded import EmbeddedStore
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
store = EmbeddedStore(Path(sys.argv[1]))
with store.commit("catalog") as writer:
    writer.put("/lost", b"lost")
    writer.put("/large", b"lost" * 100_000)
    exec(sys.argv[2])
"""
PLACES = {
    "while the commit is open": "die()",
    "when the packs have their names": "catalogue.Catalogue.publish = die",
    "inside the transaction": "publishing._insert_blobs = die",
    # The child lives on and must not hold its parent's branch.
    "with a forked child": "\nif os.fork() == 0:\n    import time\n    print('child', flush=True)\n"
    "    time.sleep(60)\n    os._exit(0)\ndie()",
}


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    EmbeddedStore(root).ensure_repo("catalog")
    return root


@pytest.fixture
def writers() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def assert_whole(store: EmbeddedStore, ref: str) -> None:
    files = list(store.files(ref))
    assert len(files) == FILES_EACH + 1
    first = store.open(ref, "/0").read().split()
    for number in range(FILES_EACH):
        with store.open(ref, f"/{number}") as stream:
            assert stream.read().split() == [*first[:2], b"%d" % number]
    with store.open(ref, "/large") as stream:
        assert stream.read() == first[1] + LARGE


def assert_tidy(root: Path) -> None:
    store = EmbeddedStore(root)
    with store.commit("catalog", branch="tidy"):
        pass
    assert list((root / "staging").iterdir()) == []
    stored = {f"{path.parent.name}/{path.name}" for path in root.glob("[pl]a*/*")}
    assert stored == set(store._catalogue.files().values())
    assert store.verify() == []


def test_processes_that_make_the_store_at_once_all_commit(tmp_path: Path) -> None:
    root = tmp_path / "new"
    processes = [start(WRITER, str(root), f"branch-{number}", "3") for number in range(4)]
    refs = []
    for process in processes:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        refs += [line for line in out.split() if line != "open"]
    store = EmbeddedStore(root)
    assert sorted(info.ref for info in store.commits("catalog")) == sorted(refs)
    assert len(refs) == 12
    for ref in refs:
        assert_whole(store, ref)
    assert_tidy(root)


def test_processes_on_one_branch_take_turns_and_lose_nothing(root: Path) -> None:
    processes = [start(WRITER, str(root), "master", "3") for _ in range(3)]
    refs = []
    for process in processes:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        refs += [line for line in out.split() if line != "open"]
    store = EmbeddedStore(root)
    commits = list(store.commits("catalog"))
    assert sorted(info.ref for info in commits) == sorted(refs)
    assert [info.parent for info in commits] == [info.ref for info in commits[1:]] + [None]


def test_another_process_holds_the_branch(root: Path, writers: list[subprocess.Popen[str]]) -> None:
    script = DIES.replace("exec(sys.argv[2])", "print('open', flush=True); input()")
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    writers.append(holder)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    store = EmbeddedStore(root)
    with pytest.raises(BranchBusy), store.commit("catalog"):
        pass
    holder.kill()
    holder.wait()
    with store.commit("catalog"):
        pass


@pytest.mark.parametrize("place", PLACES)
def test_a_writer_killed_anywhere_shows_nothing_and_blocks_nobody(root: Path, place: str) -> None:
    store = EmbeddedStore(root)
    with store.commit("catalog") as writer:
        writer.put("/kept", b"kept")
    process = start(DIES, str(root), PLACES[place])
    assert process.stdout is not None
    process.wait(30)
    assert process.returncode == -signal.SIGKILL
    process.stdout.close()
    assert [info.ref for info in store.commits("catalog")] == [writer.ref]
    with store.commit("catalog") as after:
        after.put("/next", b"next")
    assert [file.path for file in store.files(after.ref)] == ["/kept", "/next"]
    assert_tidy(root)


def test_writers_killed_at_any_moment_lose_nothing_they_told(
    root: Path, writers: list[subprocess.Popen[str]]
) -> None:
    told: list[str] = []
    for milliseconds in (1, 5, 17, 40, 90):
        process = start(WRITER, str(root), "master", "-1")
        writers.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        time.sleep(milliseconds / 1000)
        process.kill()
        out, _ = process.communicate()
        told += [line for line in out.splitlines() if line.startswith("catalog@")]
        store = EmbeddedStore(root)
        seen = [info.ref for info in store.commits("catalog")]
        assert set(told) <= set(seen)
        for ref in seen:
            assert_whole(store, ref)
    assert_tidy(root)


# A disk that is full: files may not grow beyond some size.
FULL = """
import io, resource, sys
from pathlib import Path
from recsys.errors import StoreUnavailable
from recsys.provenance.embedded import EmbeddedStore
store = EmbeddedStore(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
for swallow in (False, True):
    for content in ([io.BytesIO(bytes(3 << 20))], [b"%d" % n + bytes(200_000) for n in range(9)]):
        try:
            with store.commit("catalog") as writer:
                for number, part in enumerate(content):
                    try:
                        writer.put(f"/{number}", part)
                    except StoreUnavailable:
                        if not swallow:
                            raise
        except StoreUnavailable as error:
            print("refused")
        else:
            print("published", len(list(store.files(writer.ref))))
"""


def test_a_full_disk_publishes_nothing_that_is_not_whole(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(root)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["refused", "refused"]
    assert_tidy(root)
