"""Does a trace stay quick when the store holds a hundred nights?

Takes a copy of a state folder in which one night was run, and lives through its twins: the
same stages' commits, made of one another, with one picture in a hundred changed each night.
Then asks, as `recsys trace` does: a prediction for its origins, and its picture for all that
it reached.

    .venv/bin/python benchmarks/trace_nights.py STATE [--nights 100]

STATE is a state folder (``RECSYS_STATE_DIR``) after one night.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from recsys import names
from recsys.artifacts.base import ARTIFACT_FILE
from recsys.artifacts.digests import canonical_json, sha256_bytes
from recsys.artifacts.live import read_live
from recsys.artifacts.products import ProductTable
from recsys.artifacts.release import Release
from recsys.provenance import CommitInfo
from recsys.serving.request_log import RequestLine, RequestLog, utc_now
from recsys.settings import load_settings
from recsys.stages.find_release import find_live_release
from recsys.stages.night import Night
from recsys.stages.product_facts import product_facts
from recsys.stages.trace import trace

CHANGED_EVERY = 100
PUID = "benchmark"


class Twins:
    """Nights like the first one: every commit anew, made of the others of its night."""

    def __init__(self, night: Night) -> None:
        self.night = night
        self.store = night.store
        live = find_live_release(night).ref
        below = [self.store.inspect(live), *self.store.upstream(live)]
        overrides = [commit for commit in below if _repo(commit) == names.OVERRIDES]
        self.kept = {commit.ref: commit.ref for commit in overrides}
        self.order = sorted(
            (commit for commit in below if _repo(commit) != names.OVERRIDES),
            key=lambda commit: commit.finished,
        )
        self.contents = {commit.ref: dict(self._contents(commit)) for commit in self.order}

    def live_through(self, number: int) -> float:
        """Commit one more night; seconds that its catalog commit took."""
        refs, seconds = dict(self.kept), 0.0
        for commit in self.order:
            started = time.perf_counter()
            refs[commit.ref] = self._twin(commit, refs, number)
            if _repo(commit) == names.CATALOG:
                seconds = time.perf_counter() - started
        return seconds

    def _contents(self, commit: CommitInfo) -> Iterator[tuple[str, bytes]]:
        for file in self.store.files(commit.ref):
            yield file.path, self.night.read(commit.ref, file.path)

    def _twin(self, commit: CommitInfo, refs: dict[str, str], number: int) -> str:
        files = self.contents[commit.ref]
        artifact = _with_refs(files[ARTIFACT_FILE].decode(), refs).encode()
        record = json.loads(_with_refs(commit.message, refs))
        record["night"] = (date(2026, 1, 1) + timedelta(days=number)).isoformat()
        record["artifact_digest"] = sha256_bytes(artifact)
        if _repo(commit) == names.RELEASES:
            record["names"]["release"] = Release.from_json(artifact).id
        with self.store.commit(
            _repo(commit),
            inputs=[refs[ref] for ref in commit.inputs],
            message=canonical_json(record).decode(),
            replace=True,
        ) as writer:
            writer.put(ARTIFACT_FILE, artifact)
            for place, (path, content) in enumerate(files.items()):
                if path == ARTIFACT_FILE:
                    continue
                if path.startswith("/images/") and place % CHANGED_EVERY == number % CHANGED_EVERY:
                    content = content + b"%d" % number
                writer.put(path, content)
        return writer.ref


def _repo(commit: CommitInfo) -> str:
    return names.parse_ref(commit.ref)[0]


def _with_refs(text: str, refs: dict[str, str]) -> str:
    for old, new in refs.items():
        text = text.replace(old, new)
    return text


def ask(night: Night, product: str, release: str) -> None:
    """One prediction to its origins, and its picture back to all that it reached."""
    log = RequestLog(night.settings.serving_dir)
    log.write(
        RequestLine(
            time=utc_now(),
            puid=PUID,
            release=release,
            changes=0,
            kind="id",
            queries=1,
            k=1,
            filtered=False,
            asked=(product,),
            results=(1,),
            answers=((product,),),
            status_code=200,
            milliseconds=1.0,
        )
    )
    log.close()
    facts = product_facts(
        night, find_live_release(night).artifact.inputs[names.VALIDATED], [product], []
    )
    for what, subject in (("prediction, up", PUID), ("picture, down", facts[0].sha256)):
        fresh = Night(night.settings, night.date)
        wall, cpu = time.perf_counter(), time.process_time()
        found = trace(fresh, subject)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(
            f"  {what:16}{wall:8.3f} s{cpu:8.3f} s CPU   {len(found.graph):5} nodes,"
            f" {len(found.reached.nights)} nights, {len(found.reached.releases)} releases,"
            f" {found.reached.predictions.requests} predictions"
        )


def main() -> None:
    """Live through the nights and ask after the first and after the last."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("state", type=Path)
    parser.add_argument("--nights", type=int, default=100)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        for part in ("store", "releases"):
            shutil.copytree(chosen.state / part, state / part, symlinks=True)
        night = Night(load_settings(state_dir=state), "2026-01-01")
        live = str(read_live(night.settings.releases_dir))
        table = ProductTable.load(night.settings.releases_dir / live)
        product = bytes(table.ids[len(table) // 2]).decode()
        print("after 1 night")
        ask(night, product, live)
        twins = Twins(night)
        took = [twins.live_through(number) for number in range(1, chosen.nights)]
        print(f"after {chosen.nights} nights; the catalog's commit took", end=" ")
        print(f"{took[0]:.2f} s in the second night and {took[-1]:.2f} s in the last")
        ask(night, product, live)
        catalogue = sum(path.stat().st_size for path in (state / "store").glob("catalogue*"))
        print(f"catalogue {catalogue / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
