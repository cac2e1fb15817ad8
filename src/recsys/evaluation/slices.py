"""Where a model is weak: its figures on slices of the queries, found without being told.

A slice is the queries with one value of an attribute, or one fifth of them by a figure of
their pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.artifacts.catalog import ATTRIBUTES, LABEL_COLUMN
from recsys.evaluation.intervals import bootstrap_means

# Fewer queries say little about a slice.
MIN_QUERIES: Final = 30
SLICE_COLUMNS: Final = (
    "slice",
    "attribute",
    "value",
    "queries",
    "ndcg_at_10",
    "champion_ndcg_at_10",
    "change",
    "change_low",
    "change_high",
    "ndcg_low",
    "ndcg_high",
)
_FIFTHS: Final = ("lowest fifth", "second fifth", "middle fifth", "fourth fifth", "highest fifth")

_Floats = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]


def find_slices(queries: pd.DataFrame, pictures: pd.DataFrame) -> dict[tuple[str, str], _Mask]:
    """(attribute, value) → [q] which queries are in the slice.

    Slices of fewer than `MIN_QUERIES` queries are left out, as are those of all queries
    and, of two slices of the very same queries, the second.

    Parameters
    ----------
    queries
        [q] rows of products, with `ATTRIBUTES`.
    pictures
        [q] rows of `picture_figures`.
    """
    found: dict[tuple[str, str], _Mask] = {}
    seen: set[bytes] = set()
    for attribute, value, mask in _candidates(queries, pictures):
        members = mask.tobytes()
        if MIN_QUERIES <= mask.sum() < len(mask) and members not in seen:
            seen.add(members)
            found[attribute, value] = mask
    return found


def _candidates(queries: pd.DataFrame, pictures: pd.DataFrame) -> Iterator[tuple[str, str, _Mask]]:
    others = [name for name in ATTRIBUTES if name != LABEL_COLUMN]
    for attribute in (LABEL_COLUMN, *others):
        values = queries[attribute].to_numpy(dtype=str)
        for value in np.unique(values):
            yield attribute, str(value), values == value
    for figure in pictures.columns:
        values = pictures[figure].to_numpy(np.float64)
        fifth = np.searchsorted(np.quantile(values, [0.2, 0.4, 0.6, 0.8]), values, side="left")
        for number, named in enumerate(_FIFTHS):
            yield figure, named, fifth == number


def slice_table(
    slices: Mapping[tuple[str, str], _Mask],
    ndcg: _Floats,
    champion_ndcg: _Floats | None,
    clusters: npt.NDArray[np.int64],
    *,
    seed: int,
) -> pd.DataFrame:
    """One row a slice with `SLICE_COLUMNS`, the weakest first.

    ``ndcg_at_10`` is the mean over the slice's queries that have one, ``queries`` of them;
    ``change`` is against the champion on those very queries, 0 without one. The intervals
    are paired bootstrap ones (`bootstrap_means`).

    Parameters
    ----------
    slices
        As `find_slices` gives them.
    ndcg, champion_ndcg
        [q] of each query, NaN where it has none; None without a champion.
    """
    names = list(slices)
    masks = np.array([slices[name] for name in names], bool).reshape(len(names), len(ndcg)).T
    table = pd.DataFrame(names, columns=["attribute", "value"], dtype="str")
    table.insert(0, "slice", table["attribute"] + "=" + table["value"])
    table = pd.concat([table, _figures(masks, ndcg, champion_ndcg, clusters, seed)], axis=1)
    table = table[table["queries"] >= MIN_QUERIES]
    return table.sort_values(["ndcg_at_10", "slice"], ignore_index=True)[list(SLICE_COLUMNS)]


def _figures(
    masks: _Mask,
    ndcg: _Floats,
    champion_ndcg: _Floats | None,
    clusters: npt.NDArray[np.int64],
    seed: int,
) -> pd.DataFrame:
    """Means and intervals over each column of [q, s] masks."""
    own = np.where(masks, ndcg[:, None], np.nan)
    rival = np.full_like(own, np.nan)
    change = np.where(np.isnan(own), np.nan, 0.0)
    if champion_ndcg is not None:
        rival = np.where(masks, champion_ndcg[:, None], np.nan)
        change = own - rival
    low, high = bootstrap_means(np.hstack([own, change]), clusters, seed=seed)
    count = masks.shape[1]
    return pd.DataFrame(
        {
            "queries": (~np.isnan(own)).sum(axis=0),
            "ndcg_at_10": column_means(own),
            "champion_ndcg_at_10": column_means(rival),
            "change": column_means(change),
            "change_low": low[count:],
            "change_high": high[count:],
            "ndcg_low": low[:count],
            "ndcg_high": high[:count],
        }
    )


def column_means(values: _Floats) -> _Floats:
    """Means of the columns of [q, m] without their NaN; NaN for a column of nothing else."""
    there = ~np.isnan(values)
    count = there.sum(axis=0)
    total = np.where(there, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
