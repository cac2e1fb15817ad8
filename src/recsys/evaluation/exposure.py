"""Who is recommended at all: coverage of the catalog, hubs, and shares of segments."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.artifacts.catalog import ATTRIBUTES

# A smaller segment's share of so few slots is a matter of luck.
MIN_PRODUCTS: Final = 30
MIN_SHARE: Final = 0.01
EXPOSURE_COLUMNS: Final = (
    "segment",
    "attribute",
    "value",
    "products",
    "catalog_share",
    "exposure_share",
    "ratio",
)


def exposure_figures(
    neighbours: npt.NDArray[np.int64], products: pd.DataFrame
) -> tuple[dict[str, float], pd.DataFrame]:
    """What the top tens of all queries show of the catalog, and of its segments.

    Figures: exposure_coverage_share, of the products that are in some other product's top
    ten, and exposure_coverage_of_chance, that over the share which random top tens would
    reach; exposure_gini, 0 when all are shown alike, 1 when one takes all, and
    chance_exposure_gini, what random top tens have; largest_hub_share, of the queries
    whose top ten holds the most shown product; least_ and most_exposed_segment_ratio over
    the segments of at least 1 % of the catalog.

    The table has one row a segment (the products with one value of an attribute) of at
    least 30 products, with `EXPOSURE_COLUMNS`; ``ratio`` is its share of the exposure over
    its share of the catalog, 1 when it is shown as often as it is stocked. The least
    exposed comes first.

    Parameters
    ----------
    neighbours
        [q, 10] rows of the catalog, -1 for none.
    products
        [n] the catalog, with `ATTRIBUTES`.
    """
    shown = np.bincount(neighbours[neighbours >= 0], minlength=len(products))
    slots = int(shown.sum())
    table = _segments(shown, products)
    ratios = table.loc[table["catalog_share"] >= MIN_SHARE, "ratio"]
    chance = 1 - (1 - 1 / len(products)) ** slots
    coverage = float((shown > 0).mean())
    figures = {
        "exposure_coverage_share": coverage,
        "exposure_coverage_of_chance": coverage / chance if chance else 1.0,
        "exposure_gini": gini(shown),
        "chance_exposure_gini": _chance_gini(slots / len(products)),
        "largest_hub_share": float(shown.max() / len(neighbours)),
        "least_exposed_segment_ratio": float(ratios.min()) if len(ratios) else 1.0,
        "most_exposed_segment_ratio": float(ratios.max()) if len(ratios) else 1.0,
    }
    return figures, table


def gini(counts: npt.NDArray[np.int64]) -> float:
    """Gini coefficient of [n] counts, each 0 or more: 0 when equal; 0 of nothing at all."""
    total = int(counts.sum())
    if total == 0:
        return 0.0
    ranks = np.arange(1, len(counts) + 1)
    return float(2 * (ranks @ np.sort(counts)) / (len(counts) * total) - 1 - 1 / len(counts))


def _chance_gini(mean: float) -> float:
    """Gini of counts that are Poisson with this mean: E|X - Y| / 2 mean."""
    if mean == 0:
        return 0.0
    counts = np.arange(int(mean + 20 * np.sqrt(mean) + 20))
    logs = counts * np.log(mean) - mean - np.concatenate([[0.0], np.log(counts[1:]).cumsum()])
    below = np.exp(logs).cumsum().clip(max=1)
    # E|X - Y| is twice the sum of F(1 - F).
    return float((below * (1 - below)).sum() / mean)


def _segments(shown: npt.NDArray[np.int64], products: pd.DataFrame) -> pd.DataFrame:
    slots = max(int(shown.sum()), 1)
    rows = []
    for attribute in ATTRIBUTES:
        grouped = pd.Series(shown).groupby(products[attribute].to_numpy(dtype=str))
        for value, counts in grouped:
            stocked, exposed = len(counts) / len(products), float(counts.sum()) / slots
            if MIN_PRODUCTS <= len(counts) < len(products):
                named = f"{attribute}={value}"
                ratio = exposed / stocked
                rows.append((named, attribute, value, len(counts), stocked, exposed, ratio))
    table = pd.DataFrame(rows, columns=list(EXPOSURE_COLUMNS))
    return table.sort_values(["ratio", "segment"], ignore_index=True)
