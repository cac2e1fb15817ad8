"""The one-row table that the model gate judges."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

COLUMNS = (
    "accuracy",
    "precision_at_10",
    "hit_rate_at_10",
    "map_at_10",
    "chance_precision_at_10",
    "precision_at_10_change",
    "embedding_nan_share",
    "embedding_norm_error",
    "collapsed_dimension_share",
    "parity_max_difference",
)


def figures_table(
    figures: Mapping[str, float], champion_figures: Mapping[str, float]
) -> pd.DataFrame:
    """One row with `COLUMNS` in order.

    ``precision_at_10_change`` is the model's figure less the champion's on the same
    queries; 0 when no champion reigns. A figure that was not measured is NaN, which no
    floor lets pass.
    """
    change = 0.0
    if champion_figures:
        change = figures["precision_at_10"] - champion_figures["precision_at_10"]
    row = {**figures, "precision_at_10_change": change}
    return pd.DataFrame([{column: row.get(column, float("nan")) for column in COLUMNS}])
