"""The tables that the model's gates judge."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from recsys.evaluation.relevance import MAIN, RELEVANCES
from recsys.evaluation.slices import MIN_QUERIES

WHOLE = "all"
_LARGE_QUERIES = 100
_FALLS_TOLD = 5
_PLAIN = (
    "accuracy",
    "precision_at_10",
    "hit_rate_at_10",
    "map_at_10",
    "embedding_nan_share",
    "embedding_norm_error",
    "collapsed_dimension_share",
    "effective_rank",
    "duplicate_max_distance",
    "parity_max_difference",
    "exposure_coverage_of_chance",
    "largest_hub_share",
    "least_exposed_segment_ratio",
)


def figures_table(figures: Mapping[str, float], *, against_champion: bool) -> pd.DataFrame:
    """One row for the suite ``model``.

    Of each relevance, under its suffix: ``ndcg_at_10``; ``ndcg_over_chance``, that less what
    random neighbours would reach; ``ndcg_at_10…_change`` against the champion and the upper
    end of its interval, ``…_change_high``, 0 when no champion reigns. A relevance that the
    catalog cannot be asked, as its attributes are missing or constant, has the figures of
    the type alone. A figure that was not measured is NaN, which no floor lets pass.
    """
    unchanged = math.nan if against_champion else 0.0
    row = {name: figures.get(name, math.nan) for name in _PLAIN}
    for suffix in RELEVANCES:
        asked = suffix if f"ndcg_at_10{suffix}" in figures else MAIN
        reached = figures.get(f"ndcg_at_10{asked}", math.nan)
        row[f"ndcg_at_10{suffix}"] = reached
        row[f"ndcg_over_chance{suffix}"] = reached - figures.get(
            f"chance_ndcg_at_10{asked}", math.nan
        )
        for end in ("_change", "_change_high"):
            row[f"ndcg_at_10{suffix}{end}"] = figures.get(f"ndcg_at_10{asked}{end}", unchanged)
    return pd.DataFrame([row])


def slices_table(
    slices: pd.DataFrame, figures: Mapping[str, float], *, queries: int, against_champion: bool
) -> pd.DataFrame:
    """One row a slice for the suite ``model_slices``, first that of all ``queries``.

    slice, queries, ndcg_at_10, change, change_low, change_high: as in `slice_table`.
    large_ndcg_at_10: of a slice of fewer than 100 queries that of all queries, as one model's
    figure on so few says little.
    """
    unchanged = math.nan if against_champion else 0.0
    whole: dict[str, object] = {
        "slice": WHOLE,
        "queries": queries - int(figures["queries_left_out"]),
        "ndcg_at_10": figures["ndcg_at_10"],
    }
    for end in ("change", "change_low", "change_high"):
        whole[end] = figures.get(f"ndcg_at_10_{end}", unchanged)
    table = pd.concat([pd.DataFrame([whole]), slices[list(whole)]], ignore_index=True)
    small = table["queries"] < _LARGE_QUERIES
    return table.assign(large_ndcg_at_10=table["ndcg_at_10"].mask(small, figures["ndcg_at_10"]))


def least_label_recall_high(per_class: pd.DataFrame) -> float:
    """Upper end of the interval of the recall of the label that is named worst.

    ``per_class`` as in `Naming`; labels of fewer than 30 held-out products are left out, as
    little is known of them; 1 when none is left.
    """
    known = per_class.loc[per_class["support"] >= MIN_QUERIES, "recall_high"]
    return 1.0 if known.empty else float(known.min())


def largest_falls(table: pd.DataFrame) -> str:
    """A line on the slices that fell most, for the reasons of a refusal; empty if none did."""
    fell = table[table["change_high"] < 0].sort_values("change_high").head(_FALLS_TOLD)
    told = [
        f"{name} by {-change:.3f} (at least {-high:.3f})"
        for name, change, high in zip(
            fell["slice"], fell["change"], fell["change_high"], strict=True
        )
    ]
    return f"\nSlices that fell most: {', '.join(told)}" if told else ""
