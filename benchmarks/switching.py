"""Releases that take turns under load, workers that are killed, and candidates that are broken.

    python benchmarks/switching.py                    # 200 switches, a minute of kills
    python benchmarks/switching.py --switches 20 --kill-seconds 10

Makes four small releases of the tests' pictures, each with another model, other vectors and so
another index, and starts ``seldon/serve.py`` with two workers on them. Clients ask for products
and pictures all the while and hold every answer to what its release, asked alone, says: tags,
product ids and scores. Then:

- switches: the live release changes and changes again, each time until every worker agrees;
  failed requests, answers whose parts do not belong together, and what the workers take of
  memory (USS) after ten switches and after all;
- broken candidates: a file of one is cut short, exchanged or missing; it must be refused, and
  the live one go on;
- kills: one worker a second gets a SIGKILL; the share of requests that fail without being asked
  again, and how long until both workers answer again.

Prints JSON lines.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import serving_release as shop
from recsys import index as index_room
from recsys import release as release_room
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.live import living_workers, write_live
from recsys.artifacts.release import verify_release
from recsys.changes import Spool
from recsys.deploy import LocalSeldon
from recsys.embedding.encoder import Encoder
from recsys.errors import RecsysError
from recsys.images import ImageLimits
from recsys.serving.engine import ServingRelease
from recsys.serving.requests import Query

PICTURE_SEED = 99  # of shoppers' pictures, in no catalog
ASKED = 12
CLIENTS = 4
SCORE_TOLERANCE = 2e-6


def other_model(folder: Path, number: int) -> Path:
    """The tests' model with some of its weights moved a little: another model of the same form."""
    data = bytearray(shop.EMBEDDER.read_bytes())
    floats = np.frombuffer(data, np.float32, offset=0, count=len(data) // 4)
    small = np.flatnonzero((np.abs(floats) > 0.01) & (np.abs(floats) < 1))
    moved = bytearray(data)
    for place in small[number::7]:
        value = np.float32(floats[place] * (1 + 0.05 * number))
        moved[place * 4 : place * 4 + 4] = value.tobytes()
    model = folder / f"embedder-{number}.tflite"
    model.write_bytes(moved)
    return model


def make_release(releases: Path, number: int) -> str:
    """A release of its own pictures, model and index among ``releases``; its id."""
    folder = releases.parent / f"parts-{number}"
    given = shop.parts(folder, number)
    model = other_model(folder, number) if number else shop.EMBEDDER
    vectors = Encoder(model).embed(shop.pictures(number))
    np.save(given["vectors"], vectors)
    index_room.save(index_room.build(vectors, "Flat", 1, 0), given["index_file"])
    digest = sha256_file(model)
    given["embedder"] = model
    given["model"] = replace(given["model"], model_digest=digest)
    given["embeddings"] = replace(
        given["embeddings"], model_digest=digest, vectors_digest=sha256_file(given["vectors"])
    )
    given["index"] = replace(
        given["index"], model_digest=digest, index_digest=sha256_file(given["index_file"])
    )
    return str(release_room.assemble(releases, **given).id)


class Truth:
    """What every release answers to every question, from an engine of its own."""

    def __init__(self, releases: Path, ids: list[str]) -> None:
        pictures = [shop.png(item) for item in shop.pictures(PICTURE_SEED)[:ASKED]]
        self.questions = [{"product_id": product} for product in shop.IDS[:ASKED]]
        self.questions += [{"image": shop.picture_text(row, PICTURE_SEED)} for row in range(ASKED)]
        queries = [Query(10, product) for product in shop.IDS[:ASKED]]
        queries += [Query(10, image=picture) for picture in pictures]
        self._answers: dict[tuple[str, int], list[tuple[str, float]]] = {}
        self._tags: dict[str, dict[str, str]] = {}
        for release_id in ids:
            engine = ServingRelease.open(releases / release_id, ImageLimits(1 << 20, 1 << 20))
            release = verify_release(releases / release_id)
            self._tags[release_id] = {
                "release": release_id,
                "model_version": release.model_version,
                "index_version": release.index_version,
            }
            for place, answer in enumerate(engine.answer(queries)):
                found = [(item["product_id"], item["score"]) for item in answer.results]
                self._answers[release_id, place] = found

    def holds(self, place: int, message: dict[str, Any]) -> bool:
        """Whether an answer is, in all its parts, that of the release it names."""
        data, tags = message["jsonData"], message["meta"]["tags"]
        expected = self._answers[data["release"], place]
        got = [(item["product_id"], item["score"]) for item in data["results"]]
        return (
            self._tags[data["release"]].items() <= tags.items()
            and [product for product, _ in got] == [product for product, _ in expected]
            and all(
                abs(one[1] - other[1]) < SCORE_TOLERANCE
                for one, other in zip(got, expected, strict=True)
            )
        )

    def differ(self) -> bool:
        """Whether no two releases say the same to any question, so that a mix would show."""
        ids = list(self._tags)
        return all(
            len({tuple(self._answers[release, place]) for release in ids}) == len(ids)
            for place in range(len(self.questions))
        )


class Load:
    """Clients that ask without end, each on a connection of its own, until the block ends."""

    def __init__(self, url: str, truth: Truth) -> None:
        self._url = url
        self._truth = truth
        self.asked = 0
        self.mixed = 0
        self.failed: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(client,)) for client in range(CLIENTS)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, seed: int) -> None:
        draw = random.Random(seed)  # noqa: S311 - no secret
        with httpx.Client(timeout=30, trust_env=False) as client:
            while not self._done.is_set():
                place = draw.randrange(len(self._truth.questions))
                asked = {"jsonData": self._truth.questions[place]}
                try:
                    response = client.post(self._url, json=asked)
                    outcome = "" if response.status_code == 200 else str(response.status_code)
                except httpx.HTTPError as error:
                    outcome = type(error).__name__
                with self._lock:
                    self.asked += 1
                    if outcome:
                        self.failed[outcome] += 1
                        continue
                    message = response.json()
                    self.mixed += not self._truth.holds(place, message)
                    self.seen[message["jsonData"]["release"]] += 1

    def figures(self) -> dict[str, Any]:
        """What came of it."""
        failed = self.failed.total()
        return {
            "requests": self.asked,
            "failed": failed,
            "failed_how": dict(self.failed),
            "failed_share": round(failed / max(1, self.asked), 5),
            "mixed_answers": self.mixed,
            "releases_seen": len(self.seen),
        }


def workers_memory(serving_dir: Path) -> float:
    """MiB that the workers have for themselves."""
    return sum(
        psutil.Process(worker.pid).memory_full_info().uss for worker in living_workers(serving_dir)
    ) / (1 << 20)


def switches(
    running: shop.Service, target: LocalSeldon, truth: Truth, ids: list[str], count: int
) -> dict[str, Any]:
    """The releases in turns."""
    memory, took = [], []
    with Load(running.predictions_url, truth) as load:
        for turn in range(count):
            took.append(target.deploy(ids[(turn + 1) % len(ids)]).seconds)
            memory.append(workers_memory(running.serving_dir))
    early, late = statistics.median(memory[5:15]), statistics.median(memory[-10:])
    return {
        "what": "switches",
        "switches": count,
        **load.figures(),
        "switch_p50_seconds": round(statistics.median(took), 3),
        "switch_max_seconds": round(max(took), 3),
        "uss_mib_after_ten": round(early, 1),
        "uss_mib_at_the_end": round(late, 1),
        "memory_growth": round(late / early - 1, 4),
        "uss_mib": [round(value, 1) for value in memory[:: max(1, count // 20)]],
    }


def broken(
    running: shop.Service, target: LocalSeldon, truth: Truth, ids: list[str]
) -> list[dict[str, Any]]:
    """Candidates with a file cut short, exchanged or missing; also by the pointer alone."""
    lines = []
    live = target.deploy(ids[0]).release
    files = sorted(path.name for path in (running.releases_dir / ids[1]).iterdir())
    with Load(running.predictions_url, truth) as load:
        for name in files:
            for how in ("cut short", "exchanged", "missing"):
                folder = running.releases_dir / ids[1]
                kept = folder.with_name("kept")
                shutil.copytree(folder, kept)
                _break(folder / name, how, running.releases_dir / ids[2] / name)
                try:
                    target.deploy(ids[1])
                    refused = "DEPLOYED"
                except RecsysError as error:
                    refused = type(error).__name__
                # Past the deployment's own check, as if the disk had failed after it.
                write_live(running.releases_dir, ids[1])
                told = _wait_for(
                    lambda: all(
                        worker.wanted == ids[1] and worker.error
                        for worker in living_workers(running.serving_dir)
                    ),
                    20,
                )
                kept_live = {worker.release for worker in living_workers(running.serving_dir)}
                write_live(running.releases_dir, live)
                target.deploy(live)
                shutil.rmtree(folder)
                kept.rename(folder)
                lines.append(
                    {
                        "what": "broken candidate",
                        "file": name,
                        "how": how,
                        "deployment": refused,
                        "workers_refuse": told,
                        "live_unharmed": kept_live == {live},
                    }
                )
    wrong = [
        line
        for line in lines
        if line["deployment"] == "DEPLOYED"
        or not (line["workers_refuse"] and line["live_unharmed"])
    ]
    unharmed = {
        "what": "broken candidates",
        "cases": len(lines),
        "not_refused": wrong,
        **load.figures(),
    }
    return [unharmed]


def _break(path: Path, how: str, other: Path) -> None:
    same = other.read_bytes() == path.read_bytes()
    if how == "cut short":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "missing":
        path.unlink()
    elif same:  # the same in both releases: exchanged for anything else of that size
        path.write_bytes(bytes(len(path.read_bytes())))
    else:
        shutil.copyfile(other, path)


def _wait_for(holds: Any, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.05)
    return False


def kills(running: shop.Service, truth: Truth, seconds: float) -> dict[str, Any]:
    """A worker gets a SIGKILL every second."""
    recovered, killed = [], 0
    begun = time.monotonic()
    with Load(running.predictions_url, truth) as load:
        while time.monotonic() < begun + seconds:
            started = time.monotonic()
            before = {worker.pid for worker in living_workers(running.serving_dir)}
            victim = random.choice(sorted(before))  # noqa: S311 - no secret
            os.kill(victim, signal.SIGKILL)
            killed += 1

            def whole(before: set[int] = before, victim: int = victim) -> bool:
                now = {
                    worker.pid for worker in living_workers(running.serving_dir) if worker.release
                }
                return victim not in now and len(now) >= len(before)

            if _wait_for(whole, 20):
                recovered.append(time.monotonic() - started)
            time.sleep(max(0.0, 1 - (time.monotonic() - started)))
    return {
        "what": "kills",
        "kills": killed,
        **load.figures(),
        "recovery_p50_seconds": round(statistics.median(recovered), 2),
        "recovery_max_seconds": round(max(recovered), 2),
    }


def main() -> None:
    """Run all three, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--switches", type=int, default=200)
    parser.add_argument("--kill-seconds", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        state = Path(place)
        ids = [make_release(state / "releases", number) for number in range(4)]
        truth = Truth(state / "releases", ids)
        if not truth.differ():
            raise SystemExit("two releases answer alike: a mix would not show")
        write_live(state / "releases", ids[0])
        with shop.service(state) as running:
            spool = Spool(state / "changes")
            target = LocalSeldon(
                running.releases_dir, running.serving_dir, spool, running.predictions_url, 60
            )
            print(json.dumps(switches(running, target, truth, ids, options.switches)), flush=True)
            for line in broken(running, target, truth, ids):
                print(json.dumps(line), flush=True)
            print(json.dumps(kills(running, truth, options.kill_seconds)), flush=True)


if __name__ == "__main__":
    main()
