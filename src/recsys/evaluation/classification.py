"""How well a model names the article types of the held-out products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsys.evaluation.intervals import wilson_interval


@dataclass(frozen=True)
class Naming:
    """Shares are in [0, 1], higher is better; intervals hold 95 % (Wilson).

    ``figures``: accuracy, accuracy_low, accuracy_high. ``per_class``: label, recall,
    recall_low, recall_high, support; by label. ``confusion``: label, predicted, count, of
    the pairs that occur.
    """

    figures: dict[str, float]
    per_class: pd.DataFrame
    confusion: pd.DataFrame


def evaluate_naming(labels: Sequence[str], predicted: Sequence[str]) -> Naming:
    """Compare [q] true labels, at least one, with the [q] predicted ones."""
    pairs = pd.DataFrame({"label": list(labels), "predicted": list(predicted)}, dtype="str")
    right = (pairs["label"] == pairs["predicted"]).to_numpy()
    low, high = wilson_interval(right.sum(), len(right))
    figures = {
        "accuracy": float(right.mean()),
        "accuracy_low": float(low),
        "accuracy_high": float(high),
    }
    per_class = (
        pairs.assign(right=right)
        .groupby("label", as_index=False)
        .agg(recall=("right", "mean"), hits=("right", "sum"), support=("right", "size"))
    )
    lows, highs = wilson_interval(per_class["hits"], per_class["support"])
    per_class = per_class.assign(recall_low=lows, recall_high=highs)
    confusion = pairs.groupby(["label", "predicted"], as_index=False).size()
    return Naming(
        figures,
        per_class[["label", "recall", "recall_low", "recall_high", "support"]],
        confusion.rename(columns={"size": "count"}).astype({"count": np.int64}),
    )
