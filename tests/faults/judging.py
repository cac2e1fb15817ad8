"""Put a delivery with planted faults through validation, and count what was caught."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from faults.planting import Planted, Shop
from recsys import gates
from recsys.artifacts.verdict import Verdict
from recsys.catalog import Delivery
from recsys.images import ImageLimits
from recsys.validation import (
    SortedCatalog,
    apply_row_failures,
    candidates_table,
    drift_table,
    measure_images,
    parse_rows,
    sort_out,
)

SUITES = Path(__file__).resolve().parents[2] / "expectations"
LIMITS = ImageLimits(max_bytes=8_000_000, max_pixels=40_000_000)


@dataclass(frozen=True)
class Judged:
    """What validation made of a delivery."""

    catalog: SortedCatalog
    measures: pd.DataFrame


@dataclass(frozen=True)
class Caught:
    """Of one kind: how many were planted and set aside, and for which reasons."""

    kind: str
    planted: int
    caught: int
    reasons: Counter[str]

    @property
    def share(self) -> float:
        return self.caught / self.planted


def read_shop(delivery: Delivery) -> Shop:
    """A delivery in hand: all its well-formed rows and all its pictures."""
    table = parse_rows(delivery.styles_csv()).frame
    rows = [dict(zip(table.columns, map(str, row), strict=True)) for row in table.to_numpy()]
    return Shop({row["id"]: row for row in rows}, dict(delivery.images()))


def judge(shop: Shop, docs_dir: Path, known: pd.DataFrame | None = None) -> Judged:
    """Rows, images and the suite that judges rows; the gates on the whole are not asked."""
    measures = measure_images(shop.images.items(), LIMITS, known=known)
    catalog = sort_out(parse_rows(shop.styles_csv()), measures)
    sifted = gates.sift(
        "product_rows",
        candidates_table(catalog, measures),
        id_column="id",
        subject="a delivery with planted faults",
        expectations_dir=SUITES,
        docs_dir=docs_dir,
        night="faults",
    )
    return Judged(apply_row_failures(catalog, sifted.failures), measures)


def drift(tonight: Judged, before: Judged, docs_dir: Path) -> Verdict:
    """The gate on drift; raises as the night would be refused."""
    return gates.check(
        "drift",
        drift_table(
            tonight.catalog.products, tonight.measures, before.catalog.products, before.measures
        ),
        subject="a delivery with planted faults",
        expectations_dir=SUITES,
        docs_dir=docs_dir,
        night="faults",
    )


def caught(planted: Planted, judged: Judged) -> dict[str, Caught]:
    """Kind by kind: products in quarantine, for any reason."""
    quarantine = judged.catalog.quarantine
    of_kind: Callable[[frozenset[str]], pd.DataFrame] = lambda ids: quarantine[  # noqa: E731
        quarantine["id"].isin(ids)
    ]
    return {
        kind: Caught(
            kind, len(ids), of_kind(ids)["id"].nunique(), Counter(of_kind(ids)["reason"].tolist())
        )
        for kind, ids in planted.ids.items()
    }


def false_alarms(planted: Planted, judged: Judged) -> pd.DataFrame:
    """Quarantined products that no fault was planted in."""
    quarantine = judged.catalog.quarantine
    return quarantine[quarantine["id"].isin(planted.clean)]
