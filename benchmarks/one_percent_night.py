"""A night with 1 % new products and the same model, beside the first night: stage by stage.

    python benchmarks/one_percent_night.py CATALOG --products 2000 --epochs 2     # a try
    python benchmarks/one_percent_night.py CATALOG                                # all of it

The first night gets a delivery without the new products and trains in full; the second gets
all of them and keeps the champion (``retrain`` is skip). Both run the stages of `recsys
nightly`, each night in a process of its own as that command is, against a store, a registry
and a Seldon service of their own, which are gone afterwards. The suites that say how good
model and labels are judge as ever, but refuse nothing: after an epoch a model is a poor one.

Prints JSON lines: every stage's wall and CPU seconds on both nights, then what the second
night takes of the first one's: up to the new index, in the index's own stages (embed and
build), and of the whole night. Several ``--rounds``, each of two nights, give medians. A
process's start and its first imports are among the seconds; the service's own are not.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import shutil
import socket
import statistics
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recsys import names, services
from recsys.catalog import open_delivery
from recsys.settings import PROJECT_ROOT, Settings, load_settings
from recsys.stages import NIGHT_STAGES, run_stage

NEW_SHARE = 0.01
JUDGING = (
    names.SUITE_MODEL,
    names.SUITE_MODEL_SLICES,
    names.SUITE_MODEL_PROBES,
    names.SUITE_LABELS,
)
INDEX_STAGES = ("embed_catalog", "build_index")
UP_TO_INDEX = NIGHT_STAGES[: NIGHT_STAGES.index("build_index") + 1]

# Wall and CPU seconds by stage.
Seconds = dict[str, tuple[float, float]]


def deliver(catalog: Path, folder: Path, products: int) -> tuple[Path, Path]:
    """Two deliveries, without and with the new products; as many products as asked (0: all)."""
    delivery = open_delivery(catalog, max_image_bytes=load_settings().max_image_bytes)
    table = pd.read_csv(io.BytesIO(delivery.styles_csv()), dtype=str, keep_default_na=False)
    drawn = np.random.default_rng(20).permutation(table["id"].to_numpy())[: products or None]
    new = frozenset(drawn[: max(1, round(NEW_SHARE * len(drawn)))])
    chosen = frozenset(drawn)
    pictures = {name: data for name, data in delivery.images() if Path(name).stem in chosen}
    found = []
    for place, wanted in (("first", chosen - new), ("second", chosen)):
        (folder / place).mkdir()
        table[table["id"].isin(wanted)].to_csv(folder / place / "styles.csv", index=False)
        with tarfile.open(folder / place / "images.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for name, data in pictures.items():
                if Path(name).stem in wanted:
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        found.append(folder / place)
    return found[0], found[1]


def only_telling(folder: Path) -> Path:
    """The suites, of which those that judge model and labels refuse nothing."""
    copied = Path(shutil.copytree(PROJECT_ROOT / "expectations", folder / "expectations"))
    for name in JUDGING:
        path = copied / f"{name}.json"
        suite = json.loads(path.read_bytes())
        for expectation in suite["expectations"]:
            expectation["severity"] = "warning"
        path.write_text(json.dumps(suite))
    return copied


def run_night(options: Mapping[str, Any], date: str) -> Seconds:
    """All stages of one night, in the process that calls."""
    settings = load_settings(**options)
    receipts: dict[str, Any] = {}
    seconds: Seconds = {}
    for stage in NIGHT_STAGES:
        wall, cpu = time.perf_counter(), time.process_time()
        receipts[stage] = run_stage(stage, settings, night=date, receipts=receipts)
        seconds[stage] = (time.perf_counter() - wall, time.process_time() - cpu)
    return seconds


def in_own_process(options: Mapping[str, Any], date: str) -> Seconds:
    """As `run_night`, with nothing loaded that another night has loaded."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(run_night, options, date).result()


@contextmanager
def served(settings: Settings) -> Iterator[None]:
    """The Seldon service that the nights deploy to."""
    try:
        services.start_serving(settings)
        yield
    finally:
        services.stop_all(settings)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def two_nights(
    state: Path, deliveries: tuple[Path, Path], suites: Path, epochs: int
) -> tuple[Seconds, Seconds]:
    """A first night and one with some new products, in a state folder of their own."""
    options: dict[str, Any] = {
        "state_dir": state,
        "expectations_dir": suites,
        "seldon_port": free_port(),
        **({"epochs": epochs} if epochs else {}),
    }
    with served(load_settings(**options)):
        first = in_own_process({**options, "catalog": str(deliveries[0])}, "2026-01-01")
        again = {**options, "catalog": str(deliveries[1]), "retrain": "skip"}
        return first, in_own_process(again, "2026-01-02")


def total(night: Seconds, stages: Sequence[str]) -> tuple[float, float]:
    """Wall and CPU seconds of some stages."""
    return sum(night[stage][0] for stage in stages), sum(night[stage][1] for stage in stages)


def told(rounds: Sequence[tuple[Seconds, Seconds]], stages: Sequence[str]) -> dict[str, float]:
    """Medians over the rounds of both nights' seconds and of their ratio."""
    figures: dict[str, float] = {}
    for clock, name in enumerate(("wall", "cpu")):
        pairs = [
            (total(first, stages)[clock], total(second, stages)[clock]) for first, second in rounds
        ]
        figures[f"first_{name}_seconds"] = round(statistics.median(one for one, _ in pairs), 3)
        figures[f"second_{name}_seconds"] = round(statistics.median(two for _, two in pairs), 3)
        ratios = [two / one for one, two in pairs if one > 0]
        figures[f"{name}_ratio"] = round(statistics.median(ratios), 4)
    return figures


def main() -> None:
    """Live through the nights, and print JSON lines."""
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        deliveries = deliver(options.catalog, folder, options.products)
        suites = only_telling(folder)
        rounds = []
        for number in range(1, options.rounds + 1):
            last = number == options.rounds
            state = options.state if last and options.state else folder / f"state-{number}"
            rounds.append(two_nights(state, deliveries, suites, options.epochs))
            print(json.dumps({"round": number, **told(rounds[-1:], NIGHT_STAGES)}), flush=True)
    for stage in NIGHT_STAGES:
        print(json.dumps({"stage": stage, **told(rounds, [stage])}))
    parts = {"up to the new index": UP_TO_INDEX, "embed and build": INDEX_STAGES}
    for what, stages in {**parts, "the whole night": NIGHT_STAGES}.items():
        print(json.dumps({"what": what, **told(rounds, stages)}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="a night with 1 % new products")
    parser.add_argument("catalog", type=Path, help="a folder in a layout that recsys reads")
    parser.add_argument("--products", type=int, default=0, help="products to take (0: all)")
    parser.add_argument("--epochs", type=int, default=0, help="of the training (0: the setting)")
    parser.add_argument("--rounds", type=int, default=1, help="of two nights; medians are told")
    parser.add_argument("--state", type=Path, help="keep the last round's state folder here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
