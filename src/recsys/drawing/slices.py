"""How a model does in every slice of the queries, beside the champion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recsys.drawing.paper import (
    BETTER,
    CHAMPION,
    FAINT,
    INK,
    MODEL,
    WORSE,
    plain,
    save,
    sheet,
    short,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_slices(slices: pd.DataFrame, out: Path, *, most: int = 40) -> None:
    """Draw the quality of each slice and its change against the champion with its interval.

    ``slices`` has slice, queries, ndcg_at_10, champion_ndcg_at_10 (NaN without a champion),
    change, change_low, change_high, ndcg_low and ndcg_high (ends of 95 % intervals). Those
    that lost most come first; without a champion the weakest.
    """
    against = bool(slices["champion_ndcg_at_10"].notna().any())
    order = ["change", "slice"] if against else ["ndcg_at_10", "slice"]
    drawn = slices.sort_values(order).head(most)
    rows = np.arange(len(drawn))
    title = f"nDCG@10 by slice ({len(drawn)} of {len(slices)})"
    figure = sheet(title, 11 if against else 7.5, 1.4 + 0.24 * len(drawn))
    panels = figure.subplots(1, 2 if against else 1, squeeze=False, sharey=True)[0]
    labels = [
        f"{short(str(name))} ({queries})"
        for name, queries in zip(drawn["slice"], drawn["queries"], strict=True)
    ]
    _quality(panels[0], drawn, rows)
    panels[0].set_yticks(rows, labels, fontsize=7)
    panels[0].invert_yaxis()
    if against:
        _change(panels[1], drawn, rows)
    save(figure, out)


def _quality(axes: Axes, drawn: pd.DataFrame, rows: np.ndarray) -> None:
    plain(axes, grid="x")
    known = drawn["champion_ndcg_at_10"].notna().to_numpy()
    if known.any():
        axes.scatter(
            drawn["champion_ndcg_at_10"][known], rows[known], color=CHAMPION, s=22, label="champion"
        )
    axes.hlines(rows, drawn["ndcg_low"], drawn["ndcg_high"], colors=MODEL, linewidth=1.2)
    axes.scatter(drawn["ndcg_at_10"], rows, color=MODEL, s=26, label="model")
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("nDCG@10", fontsize=8)
    axes.legend(fontsize=7, frameon=False)


def _change(axes: Axes, drawn: pd.DataFrame, rows: np.ndarray) -> None:
    """The change with its interval; coloured when the interval leaves zero out."""
    plain(axes, grid="x")
    axes.axvline(0, color=INK, linewidth=0.8)
    low, high = drawn["change_low"].to_numpy(), drawn["change_high"].to_numpy()
    colours = np.where(high < 0, WORSE, np.where(low > 0, BETTER, FAINT))
    axes.hlines(rows, low, high, colors=list(colours), linewidth=2)
    axes.scatter(drawn["change"], rows, color=list(colours), s=24)
    axes.set_xlabel("change against the champion, with its interval", fontsize=8)
