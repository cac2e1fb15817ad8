"""Candidates that are worse in production only, and good ones, through shadow and watch.

A real microservice serves releases of the drawn catalog whose models are made, not trained: a
fixed random projection of pooled colours. Then, each by name:

- good, same model: one product's picture changes a night; and good, retrained: the weights move
  by a tenth as well. Each must pass the shadow, be deployed, and be kept by a watch over real
  requests, every time;
- slow encoder: a real LiteRT model that also makes convolutions for nothing, some ten times the
  time of the whole answer; half the ids missing; shifted scores: a constant is added to every
  component before vectors are normalised. Each must be refused in the shadow, or, where it is
  deployed without one, be taken back by the watch.

    .venv/bin/python benchmarks/worse_candidates.py --runs 20 --worse 5
"""

from __future__ import annotations

import argparse
import base64
import csv
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Flag
from types import SimpleNamespace

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from recsys.artifacts.live import read_live
from recsys.artifacts.trial import WatchedRelease
from recsys.catalog.drawn import draw_catalog
from recsys.errors import GateRefused, ImageRejected, RecsysError, ReleaseTakenBack
from recsys.images import ImageLimits, decode
from recsys.release import history, record_event
from recsys.settings import load_settings
from recsys.stages import deploy_release, shadow_release, watch_release
from recsys.stages.night import Night
from serving_release import service
from stages.make_embedders import embedder
from stages.trial_shop import Shop, halved

WIDTH, HEIGHT = 60, 80
TRAFFIC = 120  # requests that every release answers before the next one comes


@dataclass
class Tally:
    """What became of the candidates of one name."""

    name: str
    runs: int = 0
    promoted: int = 0
    kept: int = 0
    why: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def said(self) -> str:
        """A row of the table."""
        reasons = ", ".join(f"{why} ({count})" for why, count in sorted(self.why.items()))
        took = f"{np.median(self.seconds):.1f}" if self.seconds else ""
        return f"| {self.name} | {self.runs} | {self.promoted} | {self.kept} | {took} | {reasons} |"


class Trials:
    """One shop, and the candidates that are put before it."""

    def __init__(self, shop: Shop, pictures: dict[str, bytes]) -> None:
        self.shop = shop
        self.pictures = pictures
        self.number = 0
        self.rng = np.random.default_rng(7)

    def night(self, model: bytes, *, shadow: bool = True, half: bool = False) -> Night:
        """The next night up to its release; another product's picture has changed."""
        self.number += 1
        one, other = self.rng.choice(sorted(self.pictures), 2, replace=False)
        self.pictures[str(one)] = self.pictures[str(other)]
        changes = {"shadow": shadow, "seed": self.number, "watch_every_seconds": 0.2}
        settings = load_settings(**{**self.shop.settings.model_dump(), **changes})
        there = Shop(settings, self.shop.service, [], self.shop.size, self.shop.types)
        date = f"2026-{1 + self.number // 28:02d}-{1 + self.number % 28:02d}"
        night = there.night(date, model, self.pictures)
        night.__dict__["registry"] = SimpleNamespace(champion=lambda: SimpleNamespace(version="1"))
        if half:
            halved(night)
        return night

    def promote(self, night: Night) -> None:
        """Shadow and deployment; raises what refuses it."""
        night.receipts["shadow_release"] = shadow_release.run(night)
        night.receipts["deploy_release"] = deploy_release.run(night)

    def ask(self, requests: int) -> None:
        """What shoppers ask: two ids for each picture."""
        ids = [str(item) for item in self.rng.choice(sorted(self.pictures), requests)]
        for place, product in enumerate(ids):
            if place % 3:
                self.shop.service.ask(product_id=product)
            else:
                self.shop.service.ask(image=base64.b64encode(self.pictures[product]).decode())

    @contextmanager
    def shoppers(self) -> Iterator[None]:
        """Somebody asks all the time."""
        stopped = Flag()

        def go_on() -> None:
            while not stopped.is_set():
                self.ask(10)

        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(go_on)
            try:
                yield
            finally:
                stopped.set()
                asking.result()

    def watch(self, night: Night, seconds: float) -> str:
        """The watch's outcome over a window that ends then."""
        went_live = datetime.fromisoformat(history(night.settings.releases_dir)[-1].when)
        until = (datetime.now(UTC) - went_live).total_seconds() + seconds
        changed = load_settings(**{**night.settings.model_dump(), "watch_seconds": until})
        watching = Night(changed, night.date, dict(night.receipts))
        watching.__dict__["registry"] = night.registry
        with self.shoppers():
            receipt = watch_release.run(watching)
        return watching.open(receipt.ref, WatchedRelease).artifact.outcome


def good(trials: Trials, name: str, model: Callable[[int], bytes], runs: int) -> Tally:
    """Each is promoted, asked by shoppers and watched."""
    tally = Tally(name)
    for number in range(runs):
        tally.runs += 1
        trials.ask(TRAFFIC)
        night = trials.night(model(number))
        begun = time.monotonic()
        try:
            trials.promote(night)
            tally.seconds.append(time.monotonic() - begun)
            tally.promoted += 1
            if trials.watch(night, 3.0) in ("kept", "too few requests"):
                tally.kept += 1
        except RecsysError as refusal:
            _note(tally, refusal)
        print(tally.said(), flush=True)
    return tally


def worse(
    trials: Trials, name: str, model: bytes, runs: int, *, shadow: bool, half: bool = False
) -> Tally:
    """Each is refused in the shadow, or deployed without one and taken back by the watch."""
    tally = Tally(f"{name}, {'shadow' if shadow else 'watch alone'}")
    live = read_live(trials.shop.settings.releases_dir)
    for _ in range(runs):
        tally.runs += 1
        trials.ask(TRAFFIC)
        night = trials.night(model, shadow=shadow, half=half)
        begun = time.monotonic()
        try:
            trials.promote(night)
            tally.promoted += 1
            begun = time.monotonic()
            if trials.watch(night, 60.0) in ("kept", "too few requests"):
                tally.kept += 1
        except (GateRefused, ReleaseTakenBack) as refusal:
            tally.seconds.append(time.monotonic() - begun)
            _note(tally, refusal)
        if read_live(trials.shop.settings.releases_dir) != live:
            raise SystemExit(f"{name}: the release before is not live")
        if not shadow:
            _lift(trials)
        print(tally.said(), flush=True)
    return tally


def _lift(trials: Trials) -> None:
    """Let the next candidate try."""
    record_event(
        trials.shop.settings.releases_dir,
        event="rollback_lifted",
        release=str(read_live(trials.shop.settings.releases_dir)),
        previous=None,
        why="the next candidate",
        who="benchmark",
    )


def _note(tally: Tally, refusal: RecsysError) -> None:
    """The names of what was refused."""
    said = str(refusal)
    if isinstance(refusal, ReleaseTakenBack):
        names = re.findall(
            r"([a-z]+(?: [a-z]+)*?)(?: \([^:;]*\))?: [0-9]+ of [0-9]+ requests", said
        )
    else:
        names = [
            line.split(" on ")[1].split(":")[0] for line in said.splitlines() if line[:2] == "  "
        ]
    for name in dict.fromkeys(names):
        tally.why[name] = tally.why.get(name, 0) + 1


def _sound(catalog: Path, types: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """The drawn pictures without the planted faults."""
    for path in sorted((catalog / "images").glob("*.jpg")):
        with suppress(ImageRejected):
            decode(path.read_bytes(), ImageLimits(1_000_000, 1_000_000))
            if types.get(path.stem):
                yield path.stem, path.read_bytes()


def main() -> None:
    """Run all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20, help="good candidates of each name")
    parser.add_argument("--worse", type=int, default=5, help="worse candidates of each name")
    parser.add_argument("--products", type=int, default=240, help="products of the drawn catalog")
    chosen = parser.parse_args()
    base = embedder(HEIGHT, WIDTH)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        catalog = draw_catalog(root / "drawn", chosen.products, 7)
        with (catalog / "styles.csv").open(newline="") as stream:
            types = {row["id"]: row["articleType"] for row in csv.DictReader(stream)}
        pictures = dict(_sound(catalog, types))
        with service(root / "state", serving_workers=2, sample_every=1) as running:
            settings = load_settings(
                state_dir=root / "state", seldon_port=running.port, recall_queries=50
            )
            trials = Trials(Shop(settings, running, [], (WIDTH, HEIGHT), types), pictures)
            trials.promote(trials.night(base))
            tallies = [
                good(trials, "good, same model", lambda _: base, chosen.runs),
                good(
                    trials,
                    "good, retrained",
                    lambda number: embedder(HEIGHT, WIDTH, noise=0.1 * (number % 2)),
                    chosen.runs,
                ),
            ]
            for shadow in (True, False):
                slow = embedder(HEIGHT, WIDTH, slow=320)
                tallies.append(worse(trials, "slow encoder", slow, chosen.worse, shadow=shadow))
                tallies.append(
                    worse(
                        trials, "half the ids missing", base, chosen.worse, shadow=shadow, half=True
                    )
                )
            shifted = embedder(HEIGHT, WIDTH, shift=3.0)
            tallies.append(worse(trials, "shifted scores", shifted, chosen.worse, shadow=True))
    print("\n| candidate | runs | promoted | kept | median s | refused by |")
    print("|---|---|---|---|---|---|")
    print("\n".join(tally.said() for tally in tallies))


if __name__ == "__main__":
    main()
