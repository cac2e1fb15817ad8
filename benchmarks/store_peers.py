"""The embedded data store beside libgit2 (pygit2) and dvc-data, on real images and a large file.

Each step of each tool runs in a process of its own, on the same files, in turns; imports are
not counted. Told are medians of CPU seconds and wall seconds, and how often the faster peer
takes as long as the embedded store, paired by round. Only the embedded store flushes to disk
what it acknowledges; it and libgit2 check the digests of what they read, dvc-data does not.

    python3.11 -m venv ~/peers && ~/peers/bin/pip install pygit2 dvc-data
    .venv/bin/python benchmarks/store_peers.py CATALOG --peers-python ~/peers/bin/python

CATALOG is a folder of images, or of tars of images (Fashion Product Images, say).
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
LARGE_BYTES = 300_000_000
CHANGED_SHARE = 0.01
STEPS = {
    "images": ("commit", "next, all put", "next, by time", "read", "materialise"),
    "large file": ("commit", "read", "materialise"),
}


class Tool(Protocol):
    """What is measured: the newest commit is read and materialised."""

    def commit(self, folder: Path) -> None:
        """Commit all files of the folder."""

    def commit_changes(self, folder: Path) -> None:
        """Commit the folder, trusting the files that look unchanged by their time."""

    def read(self) -> int:
        """Read every file; returns the bytes."""

    def materialise(self, dest: Path) -> None:
        """Copy every file under an empty folder."""


class Embedded:
    """This project's own."""

    def __init__(self, store: Path) -> None:
        from recsys.provenance.embedded import EmbeddedStore

        self._store = EmbeddedStore(store)
        self._store.ensure_repo("files")

    def commit(self, folder: Path) -> None:
        """As a stage does: everything is put, and what the store has is not written."""
        with self._store.commit("files", replace=True) as writer:
            for path in sorted(folder.iterdir()):
                writer.put(f"/{path.name}", path)

    def commit_changes(self, folder: Path) -> None:
        """As a caller does that knows what changed."""
        since = next(self._store.commits("files")).started.timestamp()
        with self._store.commit("files") as writer:
            for path in sorted(folder.iterdir()):
                if path.stat().st_mtime > since:
                    writer.put(f"/{path.name}", path)

    def read(self) -> int:
        """Read every file; returns the bytes."""
        ref = self._head()
        total = 0
        for file in self._store.files(ref):
            with self._store.open(ref, file.path) as stream:
                while chunk := stream.read(1 << 20):
                    total += len(chunk)
        return total

    def materialise(self, dest: Path) -> None:
        """Copy every file under an empty folder."""
        self._store.materialise(self._head(), dest)

    def _head(self) -> str:
        return next(self._store.commits("files")).ref


class Git:
    """libgit2, by its own index: unchanged files are known by their time and size."""

    def __init__(self, store: Path) -> None:
        import pygit2

        self._pygit2 = pygit2
        self._home = store

    def commit(self, folder: Path) -> None:
        """Commit all files of the folder."""
        pygit2 = self._pygit2
        if self._home.exists():
            repo = pygit2.Repository(str(self._home))
        else:
            repo = pygit2.init_repository(str(self._home), workdir_path=str(folder))
            (folder / ".git").unlink()  # a link to the repository, which all would commit
        repo.index.add_all()
        repo.index.write()
        tree = repo.index.write_tree()
        who = pygit2.Signature("benchmark", "benchmark@localhost")
        parents = [] if repo.head_is_unborn else [repo.head.target]
        repo.create_commit("HEAD", who, who, "", tree, parents)

    commit_changes = commit  # its index goes by time anyway

    def read(self) -> int:
        """Read every file; returns the bytes."""
        repo = self._pygit2.Repository(str(self._home))
        trees, total = [repo.head.peel().tree], 0
        while trees:
            for entry in trees.pop():
                if entry.type_str == "tree":
                    trees.append(entry)
                else:
                    total += len(entry.data)
        return total

    def materialise(self, dest: Path) -> None:
        """Copy every file under an empty folder."""
        repo = self._pygit2.Repository(str(self._home))
        strategy = self._pygit2.enums.CheckoutStrategy.FORCE
        repo.checkout_tree(repo.head.peel().tree, directory=str(dest), strategy=strategy)


class DvcData:
    """dvc-data, as DVC uses it: MD5, a tree object, a state that knows unchanged files."""

    def __init__(self, store: Path) -> None:
        from dvc_data.hashfile.db.local import LocalHashFileDB
        from dvc_data.hashfile.state import State
        from dvc_objects.fs.local import LocalFileSystem

        store.mkdir(exist_ok=True)
        self._fs = LocalFileSystem()
        state = State(root_dir=str(store), tmp_dir=str(store / "tmp"))
        self._odb = LocalHashFileDB(self._fs, str(store / "files"), state=state)
        self._newest = store / "newest"

    def commit(self, folder: Path) -> None:
        """Commit all files of the folder."""
        from dvc_data.hashfile.build import build
        from dvc_data.hashfile.transfer import transfer

        staging, _, tree = build(self._odb, str(folder), self._fs, "md5")
        transfer(staging, self._odb, {tree.hash_info}, shallow=False)
        self._newest.write_text(tree.hash_info.value)

    commit_changes = commit  # its state goes by time anyway

    def read(self) -> int:
        """Read every file; returns the bytes."""
        total = 0
        for _, _, found in self._tree():
            with open(self._odb.oid_to_path(found.value), "rb") as stream:  # noqa: PTH123
                while chunk := stream.read(1 << 20):
                    total += len(chunk)
        return total

    def materialise(self, dest: Path) -> None:
        """Copy every file under an empty folder."""
        from dvc_data.hashfile.checkout import checkout

        checkout(str(dest), self._fs, self._tree(), self._odb, force=True, state=self._odb.state)

    def _tree(self) -> Any:
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.tree import Tree

        return Tree.load(self._odb, HashInfo("md5", self._newest.read_text()))


TOOLS: dict[str, Callable[[Path], Tool]] = {
    "embedded": Embedded,
    "pygit2": Git,
    "dvc-data": DvcData,
}


# One step, in its own process


def step(tool: str, what: str, folder: Path, store: Path) -> dict[str, float]:
    """Seconds, CPU seconds and peak memory of one step."""
    made = TOOLS[tool](store)
    dest = store.with_name(f"{store.name}-out")
    work: dict[str, Callable[[], Any]] = {
        "commit": lambda: made.commit(folder),
        "next, all put": lambda: made.commit(folder),
        "next, by time": lambda: made.commit_changes(folder),
        "read": made.read,
        "materialise": lambda: made.materialise(dest),
    }
    if what == "materialise":
        dest.mkdir()
    seconds, cpu = time.perf_counter(), cpu_seconds()
    found = work[what]()
    seconds, cpu = time.perf_counter() - seconds, cpu_seconds() - cpu
    if what == "read":
        expect(found, sum(path.stat().st_size for path in files_of(folder)), "bytes read")
    if what == "materialise":
        expect(len(list(files_of(dest))), len(list(files_of(folder))), "files materialised")
        shutil.rmtree(dest)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "cpu": cpu, "memory": memory}


def cpu_seconds() -> float:
    """CPU seconds of this process and its ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def expect(found: int, expected: int, what: str) -> None:
    """End the benchmark when a tool did not do all of the work."""
    if found != expected:
        raise SystemExit(f"{found} {what}, expected {expected}: nothing can be compared")


def files_of(folder: Path) -> Iterator[Path]:
    """All files under a folder, sorted."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


# The comparison


def extract(source: Path, folder: Path) -> None:
    """Copy the images of a folder, or of its tars."""
    folder.mkdir()
    for path in sorted(source.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            shutil.copyfile(path, folder / path.name)
        elif path.suffix == ".tar":
            with tarfile.open(path) as tar:
                for member in tar:
                    if member.isfile() and Path(member.name).suffix.lower() in SUFFIXES:
                        target = folder / Path(member.name).name
                        with target.open("wb") as copy:
                            shutil.copyfileobj(cast(BinaryIO, tar.extractfile(member)), copy)


def change(folder: Path, rng: random.Random) -> None:
    """Give one file in a hundred other bytes of the same length and more."""
    for path in files_of(folder):
        if rng.random() < CHANGED_SHARE:
            path.write_bytes(path.read_bytes() + rng.randbytes(8))


def measure(tool: str, what: str, folder: Path, store: Path, peers: str) -> dict[str, float]:
    """One step in a process of its own."""
    python = sys.executable if tool == "embedded" else peers
    command = [python, __file__, str(folder), "--step", tool, what, str(store)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def one_round(data: str, folder: Path, peers: str, order: list[str]) -> dict[tuple[str, str], Any]:
    """Every step by every tool, in turns: the same load falls on all of them."""
    found = {}
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="round-") as home:
        for what in STEPS[data]:
            if what.startswith("next"):
                change(folder, random.Random(home))  # noqa: S311
            for tool in order:
                found[tool, what] = measure(tool, what, folder, Path(home) / tool, peers)
                seen = found[tool, what]
                print(
                    f"{data}: {tool} {what} {seen['cpu']:.2f} CPU s, {seen['seconds']:.2f} s",
                    file=sys.stderr,
                )
        for tool in order:
            files = list(files_of(Path(home) / tool))
            found[tool, "on disk"] = (sum(path.stat().st_size for path in files), len(files))
    return found


def tell(data: str, rounds: list[dict[tuple[str, str], Any]]) -> None:
    """Print one table."""
    print(f"\n{data}, medians of {len(rounds)} rounds: CPU s / wall s / peak MiB")
    print(f"{'':14}" + "".join(f"{tool:>24}" for tool in TOOLS) + f"{'faster peer: CPU, wall':>28}")
    for what in STEPS[data]:
        cells = ""
        for tool in TOOLS:
            cpu, seconds, memory = (
                statistics.median(one[tool, what][key] for one in rounds)
                for key in ("cpu", "seconds", "memory")
            )
            cells += f"{cpu:10.2f} /{seconds:6.2f} /{memory:4.0f}"
        times = [f"{ratio(rounds, what, key):.1f}×" for key in ("cpu", "seconds")]
        print(f"{what:14}{cells}{', '.join(times):>28}")
    sizes = (rounds[-1][tool, "on disk"] for tool in TOOLS)
    print(f"{'on disk':14}" + "".join(f"{size / 1e6:10.0f} MB,{n:6} files" for size, n in sizes))


def ratio(rounds: list[dict[tuple[str, str], Any]], what: str, key: str) -> float:
    """How often the faster peer of a round takes as long as the embedded store, median."""
    peers = [tool for tool in TOOLS if tool != "embedded"]
    return statistics.median(
        min(one[peer, what][key] for peer in peers) / one["embedded", what][key] for one in rounds
    )


def main() -> None:
    """Compare, or run the one step that the comparison asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="images, or tars of images")
    parser.add_argument("--peers-python", default=sys.executable, help="has pygit2 and dvc-data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--step", nargs=3, metavar=("TOOL", "STEP", "STORE"), help="internal")
    given = parser.parse_args()
    if given.step:
        tool, what, store = given.step
        print(json.dumps(step(tool, what, given.source, Path(store))))
        return
    with tempfile.TemporaryDirectory(prefix="store-peers-") as home:
        folders = {"images": Path(home) / "images", "large file": Path(home) / "large"}
        extract(given.source, folders["images"])
        folders["large file"].mkdir()
        rng = random.Random(7)  # noqa: S311
        with (folders["large file"] / "vectors.npy").open("wb") as large:
            for _ in range(LARGE_BYTES // 1_000_000):
                large.write(rng.randbytes(1_000_000))
        for data, folder in folders.items():
            rounds = []
            for number in range(given.rounds):
                order = list(TOOLS)[number % 3 :] + list(TOOLS)[: number % 3]
                rounds.append(one_round(data, folder, given.peers_python, order))
            tell(data, rounds)


if __name__ == "__main__":
    main()
