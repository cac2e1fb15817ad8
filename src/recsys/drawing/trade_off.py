"""Indexes that were tried: what they find against what a query reads."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from recsys.drawing.paper import INK, LINES, WORSE, plain, save, sheet


def draw_trade_off(candidates: pd.DataFrame, out: Path, *, target: float) -> None:
    """Draw the recall of each candidate against the bytes that it reads, one line a factory.

    ``candidates`` has factory, breadth, recall_at_k, read_bytes, index_bytes and chosen (bool);
    ``target`` is the recall that was asked for.
    """
    figure = sheet("Index: what is found against what is read", 8, 4)
    axes = figure.subplots()
    plain(axes)
    for number, (factory, tried) in enumerate(candidates.groupby("factory", sort=False)):
        megabytes = tried["index_bytes"].iloc[0] / 1e6
        axes.plot(
            tried["read_bytes"] / 1e6,
            tried["recall_at_k"],
            marker=".",
            color=LINES[number % len(LINES)],
            label=f"{factory} ({megabytes:,.0f} MB)",
        )
    axes.axhline(target, color=INK, linewidth=0.8, linestyle=":", label=f"asked for: {target:g}")
    chosen = candidates[candidates["chosen"]]
    axes.scatter(
        chosen["read_bytes"] / 1e6,
        chosen["recall_at_k"],
        s=70,
        facecolors="none",
        edgecolors=WORSE,
        label=f"chosen, breadth {chosen['breadth'].iloc[0]}",
    )
    axes.set_xscale("log")
    axes.set_xlabel("MB read by a query", fontsize=8)
    axes.set_ylabel("recall at 10", fontsize=8)
    axes.legend(fontsize=7, frameon=False)
    save(figure, out)
