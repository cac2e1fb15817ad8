"""Swap the microservice behind HAProxy again and again under load; count what failed.

A small release (48 products); what is measured is the changing over. Run it as
``.venv/bin/python benchmarks/swaps.py --swaps 20``; needs HAProxy.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from recsys.artifacts.live import write_live
from recsys.services import start_serving, stop_all, swap
from recsys.settings import Settings, load_settings
from serving_release import IDS, free_port, make_release


def ask_until(
    done: threading.Event, url: str, keep: bool, seen: Counter[str], ms: list[float]
) -> None:
    """One client: each outcome, and each answer's time in milliseconds."""
    headers = {} if keep else {"Connection": "close"}
    with httpx.Client(timeout=30, trust_env=False, headers=headers) as client:
        while not done.is_set():
            begun = time.perf_counter()
            try:
                response = client.post(url, json={"jsonData": {"product_id": IDS[3]}})
                seen[str(response.status_code)] += 1
            except httpx.HTTPError as error:
                seen[type(error).__name__] += 1
            ms.append(1e3 * (time.perf_counter() - begun))


def swaps_under_load(settings: Settings, count: int, clients: int) -> None:
    """Swap ``count`` times while ``clients`` ask, and print what came of it."""
    done, seen = threading.Event(), Counter[str]()
    times: list[list[float]] = [[] for _ in range(clients)]
    threads = [
        threading.Thread(
            target=ask_until, args=(done, settings.predictions_url, i % 2 == 0, seen, times[i])
        )
        for i in range(clients)
    ]
    for thread in threads:
        thread.start()
    swapped = [swap(settings) for _ in range(count)]
    done.set()
    for thread in threads:
        thread.join()
    ms = sorted(time for part in times for time in part)
    print(f"{count} swaps, {clients} clients: {dict(seen)}")
    for name in ("start_seconds", "drain_seconds"):
        found = [getattr(item, name) for item in swapped]
        print(f"{name}: median {statistics.median(found):.1f}, longest {max(found):.1f}")
    print(
        f"answers in ms: p50 {ms[len(ms) // 2]:.1f}, p99 {ms[int(len(ms) * 0.99)]:.1f},"
        f" longest {ms[-1]:.0f}"
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--clients", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="swaps-") as folder:
        settings = load_settings(
            state_dir=Path(folder),
            serving_front="haproxy",
            seldon_port=free_port(),
            seldon_blue_port=free_port(),
            seldon_green_port=free_port(),
        )
        write_live(settings.releases_dir, make_release(settings.releases_dir).id)
        try:
            start_serving(settings)
            swaps_under_load(settings, given.swaps, given.clients)
        finally:
            stop_all(settings)


if __name__ == "__main__":
    main()
