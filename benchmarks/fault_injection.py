"""Plant every kind of fault into a real catalog and count what validation catches.

    python benchmarks/fault_injection.py path/to/catalog [--per-kind 300] [--seed 7]

The catalog is a folder in one of the layouts that the platform reads.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from recsys.artifacts.catalog import LABEL_COLUMN
from recsys.artifacts.digests import sha256_bytes
from recsys.catalog import open_delivery
from recsys.errors import GateRefused
from recsys.validation import measure_changed

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from faults.judging import LIMITS, Judged, caught, drift, false_alarms, judge, read_shop
from faults.planting import Planted, Shop, plant, without_type

# A fault of the whole delivery is planted into so many products or types of so many.
_SHUFFLED = (0.002, 0.02)
_TYPES = 5
_MIN_TYPE = 20


def main() -> None:
    """Measure once clean, once with faults, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("catalog", type=Path)
    parser.add_argument("--per-kind", type=int, default=300)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    shop = read_shop(open_delivery(asked.catalog, max_image_bytes=LIMITS.max_bytes))
    with tempfile.TemporaryDirectory() as docs:
        start = time.perf_counter()
        clean = judge(shop, Path(docs))
        print(f"{len(shop.rows)} products, clean: {time.perf_counter() - start:.1f} s")
        _tell_quarantine(clean)
        planted = plant(shop, asked.per_kind, asked.seed)
        judged = judge(planted.shop, Path(docs), known=clean.measures)
        _tell_kinds(planted, judged)
        _tell_nights(shop, clean, asked.seed, Path(docs))
        _tell_speed(shop, clean)


def _tell_quarantine(judged: Judged) -> None:
    reasons = judged.catalog.quarantine["reason"].value_counts()
    print("quarantined although nothing was planted:", reasons.to_dict())


def _tell_kinds(planted: Planted, judged: Judged) -> None:
    print(f"\n{'kind':18} {'caught':>12} {'share':>7}  reasons")
    for kind, found in caught(planted, judged).items():
        print(
            f"{kind:18} {found.caught:>5} of {found.planted:<4} {found.share:>6.1%}  "
            + ", ".join(f"{reason} {count}" for reason, count in found.reasons.most_common())
        )
    alarms = false_alarms(planted, judged)
    per_thousand = 1000 * len(alarms) / len(planted.clean)
    print(
        f"\nfalse alarms: {len(alarms)} of {len(planted.clean)} clean products,"
        f" {per_thousand:.2f} a thousand"
    )
    print(alarms["reason"].value_counts().to_string())


def _tell_nights(shop: Shop, clean: Judged, seed: int, docs: Path) -> None:
    """Faults of a whole delivery before the gate on drift."""
    print("\nnights, against the clean one:")
    sizes = pd.Series([row[LABEL_COLUMN] for row in shop.rows.values()]).value_counts()
    small = sizes[sizes >= _MIN_TYPE].index[::-1][:_TYPES]
    for article_type in (*small, sizes.index[0]):
        tonight = judge(without_type(shop, article_type), docs, known=clean.measures)
        what = f"without {article_type} ({sizes[article_type]})"
        print(f"  {what:40} {_verdict(tonight, clean, docs)}")
    for share in _SHUFFLED:
        shuffled = plant(shop, int(share * len(shop.rows)), seed, ["shuffled_ids"]).shop
        tonight = judge(shuffled, docs, known=clean.measures)
        print(f"  {f'{share:.1%} ids shuffled':40} {_verdict(tonight, clean, docs)}")
    for kind in ("blurred", "shifted_channel", "swapped_labels"):
        damaged = plant(shop, len(shop.rows) // 20, seed, [kind]).shop
        tonight = judge(damaged, docs, known=clean.measures)
        print(f"  {f'5 % {kind}':40} {_verdict(tonight, clean, docs)}")
    print(f"  {'unchanged':40} {_verdict(clean, clean, docs)}")


def _verdict(tonight: Judged, before: Judged, docs: Path) -> str:
    try:
        failures = drift(tonight, before, docs).failures
    except GateRefused as refusal:
        return "refused: " + str(refusal).splitlines()[1].strip()[:110]
    return "; ".join(f"told: {item.column} {item.observed}" for item in failures) or "passed"


def _tell_speed(shop: Shop, clean: Judged) -> None:
    """What a night costs in which one product in a hundred changed."""
    files = [
        (name, sha256_bytes(data), lambda data=data: data) for name, data in shop.images.items()
    ]
    changed = {sha256 for _, sha256, _ in files[::100]}
    known = clean.measures[~clean.measures["sha256_bytes"].isin(changed)]
    start = time.perf_counter()
    _, count = measure_changed(files, LIMITS, known)
    part = time.perf_counter() - start
    start = time.perf_counter()
    measure_changed(files, LIMITS, known.head(0))
    whole = time.perf_counter() - start
    print(f"\nmeasuring {count} changed images: {part:.2f} s; all: {whole:.1f} s")


if __name__ == "__main__":
    main()
