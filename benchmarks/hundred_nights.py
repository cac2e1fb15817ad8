"""A hundred nights of small changes in one embedded store: does it stay small and quick?

Each night one picture in a hundred has other bytes and one in a thousand is gone. As in the
stages, a catalog is put whole (``replace``), and a report and a release are made of it.
Told are the size of the store over the sum of the bytes that differ, what a commit costs on
nights 1, 2 and the last, and how long questions take at the end.

    .venv/bin/python benchmarks/hundred_nights.py CATALOG

CATALOG is a folder of images, or of tars of images (Fashion Product Images, say).
"""

from __future__ import annotations

import argparse
import hashlib
import random
import resource
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from recsys.provenance.embedded import EmbeddedStore

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
CHANGED_SHARE, REMOVED_SHARE = 0.01, 0.001
SOURCE, REPORT, RELEASE = "catalog", "measured", "releases"
RECORD = "x" * 4_000  # what a stage writes into a commit's message is about as long


def images_of(source: Path) -> dict[str, bytes]:
    """Path in the catalog → bytes."""
    found = {}
    for path in sorted(source.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            found[f"/images/{path.name}"] = path.read_bytes()
        elif path.suffix == ".tar":
            with tarfile.open(path) as tar:
                for member in tar:
                    if member.isfile() and Path(member.name).suffix.lower() in SUFFIXES:
                        stream = cast(BinaryIO, tar.extractfile(member))
                        found[f"/images/{Path(member.name).name}"] = stream.read()
    return found


@dataclass
class Nights:
    """A catalog that changes a little every night, and the store that keeps it."""

    root: Path
    images: dict[str, bytes]
    rng: random.Random = field(default_factory=lambda: random.Random(20))  # noqa: S311
    unique: dict[bytes, int] = field(default_factory=dict)
    seconds: list[tuple[float, float]] = field(default_factory=list)
    refs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = EmbeddedStore(self.root)
        for repo in (SOURCE, REPORT, RELEASE):
            self.store.ensure_repo(repo)

    def change(self) -> None:
        """What the shop did today."""
        for path in list(self.images):
            chance = self.rng.random()
            if chance < REMOVED_SHARE:
                del self.images[path]
            elif chance < REMOVED_SHARE + CHANGED_SHARE:
                self.images[path] += self.rng.randbytes(8)

    def commit(self) -> None:
        """One night; its catalog commit is the one that is timed."""
        wall, cpu = time.perf_counter(), time.process_time()
        catalog = self._put(SOURCE, self.images, ())
        self.seconds.append((time.perf_counter() - wall, time.process_time() - cpu))
        report = self._put(REPORT, {"/report": self.rng.randbytes(200_000)}, (catalog,))
        self._put(RELEASE, {"/index": self.rng.randbytes(200_000)}, (report,))
        self.refs.append(catalog)

    def _put(self, repo: str, files: dict[str, bytes], inputs: tuple[str, ...]) -> str:
        with self.store.commit(repo, inputs=inputs, message=RECORD, replace=True) as writer:
            for path, content in files.items():
                writer.put(path, content)
        for content in files.values():
            self.unique[hashlib.sha256(content).digest()] = len(content)
        return writer.ref


@contextmanager
def told(what: str) -> Iterator[Callable[[str], None]]:
    """Print what a question took, and what the block says of its answer."""
    said: list[str] = []
    wall, cpu = time.perf_counter(), time.process_time()
    yield said.append
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what:44}{wall * 1e3:10.1f} ms{cpu * 1e3:10.1f} ms CPU   {' '.join(said)}")


def tell_size(nights: Nights) -> None:
    """How much larger the store is than what it must hold."""
    folder = {path: path.stat().st_size for path in nights.root.rglob("*") if path.is_file()}
    catalogue = sum(size for path, size in folder.items() if path.name.startswith("catalogue"))
    size, unique = sum(folder.values()), sum(nights.unique.values())
    print(
        f"store {size / 1e6:.1f} MB in {len(folder)} files, of it the catalogue"
        f" {catalogue / 1e6:.1f} MB; unique bytes {unique / 1e6:.1f} MB: {size / unique:.3f}×"
    )


def ask(nights: Nights) -> None:
    """The questions of trace, purge and collection."""
    store = EmbeddedStore(nights.root)
    first, last = nights.refs[0], nights.refs[-1]
    newest = next(store.commits(RELEASE)).ref
    files = list(store.files(last))
    oldest = next(file for file in files if is_unchanged(store, first, file.path, file.sha256))
    with told("upstream of the newest release") as say:
        say(f"{len(list(store.upstream(newest)))} commits")
    with told("downstream of the first catalog") as say:
        say(f"{len(list(store.downstream(first)))} commits")
    with told("holding: a picture that every night has") as say:
        say(f"{len(list(store.holding(SOURCE, oldest.sha256)))} files")
    with told("files of the newest catalog") as say:
        say(f"{len(list(EmbeddedStore(nights.root).files(last)))} files")
    with told("read the newest catalog") as say:
        say(f"{sum(len(store.open(last, file.path).read()) for file in files) / 1e6:.0f} MB")
    with told("verify") as say:
        say(f"{len(store.verify())} damaged")
    with told("purge that picture") as say:
        say(f"{store.purge([(last, oldest.path)], 'benchmark').files} files")
    with told("collect all but the newest 10 nights") as say:
        done = store.gc(lambda: nights.refs[-10:])
        freed = (done.bytes_before - done.bytes_after) / 1e6
        say(f"{done.blobs} contents, {freed:.1f} of {done.bytes_before / 1e6:.1f} MB")


def is_unchanged(store: EmbeddedStore, ref: str, path: str, sha256: str) -> bool:
    """Whether a commit held the same content at the path."""
    return any(file.sha256 == sha256 for file in store.files(ref, path))


def main() -> None:
    """Live through the nights, then ask."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="images, or tars of images")
    parser.add_argument("--nights", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hundred-nights-") as home:
        nights = Nights(Path(home) / "store", images_of(given.source))
        print(f"{len(nights.images)} pictures, {given.nights} nights")
        for number in range(given.nights):
            if number:
                nights.change()
            nights.commit()
        for number in sorted({1, 2, given.nights // 2, given.nights}):
            wall, cpu = nights.seconds[number - 1]
            print(f"night {number:3}: commit {wall:.2f} s, {cpu:.2f} s CPU")
        slowest = max(range(given.nights), key=lambda number: nights.seconds[number][1])
        print(f"slowest: night {slowest + 1}, {nights.seconds[slowest][1]:.2f} s CPU")
        tell_size(nights)
        ask(nights)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
