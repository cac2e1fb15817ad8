"""A search for better parameters: what was tried, and how well it did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from recsys.drawing.paper import FAINT, INK, MODEL, WORSE, plain, save, sheet, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3


def draw_search(trials: pd.DataFrame, out: Path, *, value: str) -> None:
    """Draw the best value by trial, then the value against each parameter.

    ``trials`` has number, value (higher is better), finished (bool: not stopped early) and one
    column a parameter; ``value`` says what the value is.
    """
    parameters = [name for name in trials if name not in ("number", "value", "finished")]
    drawn = trials.sort_values("number")
    done = drawn[drawn["finished"]]
    rows = 1 + -(-len(parameters) // _COLUMNS)
    figure = sheet(
        f"Search: {len(done)} trials finished, {len(drawn) - len(done)} stopped early",
        11,
        3.2 * rows,
    )
    grid = figure.add_gridspec(rows, _COLUMNS)
    history = figure.add_subplot(grid[0, :])
    plain(history)
    _points(history, drawn, "number")
    if len(done):
        history.step(done["number"], done["value"].cummax(), where="post", color=INK, linewidth=1)
    whole_numbers(history)
    history.set_xlabel("trial; the line is the best so far", fontsize=8)
    history.set_ylabel(value, fontsize=8)
    history.legend(fontsize=7, frameon=False)
    for place, name in enumerate(parameters, start=_COLUMNS):
        axes = figure.add_subplot(grid[place // _COLUMNS, place % _COLUMNS])
        plain(axes)
        _points(axes, drawn, str(name))
        axes.set_xlabel(str(name), fontsize=8)
        if drawn[name].dtype == "float64" and drawn[name].min() > 0:
            axes.set_xscale("log")
        else:
            whole_numbers(axes)
    save(figure, out)


def _points(axes: Axes, drawn: pd.DataFrame, name: str) -> None:
    done = drawn[drawn["finished"]]
    stopped = drawn[~drawn["finished"]]
    axes.scatter(
        stopped[name], stopped["value"], marker="x", s=20, color=FAINT, label="stopped early"
    )
    axes.scatter(done[name], done["value"], s=22, color=MODEL, label="finished")
    if len(done):
        best = done.sort_values("value").tail(1)
        axes.scatter(best[name], best["value"], s=60, facecolors="none", edgecolors=WORSE)
