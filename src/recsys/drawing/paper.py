"""What every plot is drawn on, and how it is saved."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Final

from recsys.artifacts.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#22262d"
FAINT: Final = "#9aa1ac"
GRID: Final = "#e4e7eb"
MODEL: Final = "#1d5fa8"
CHAMPION: Final = "#9aa1ac"
BETTER: Final = "#2b8a3e"
WORSE: Final = "#c92a2a"
LINES: Final = (MODEL, "#d9480f", "#2b8a3e", "#7048a8", "#0b7285", "#a61e4d")
_DOTS_PER_INCH = 110
_LONGEST_NAME = 34


def sheet(title: str, width: float, height: float) -> Figure:
    """An empty figure of so many inches, drawn by Agg whatever the screen is."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained", facecolor="white"
    )
    FigureCanvasAgg(figure)
    figure.suptitle(title, color=INK, fontsize=12, x=0.01, ha="left")
    return figure


def plain(axes: Axes, *, grid: str = "y") -> None:
    """Take away what does not tell anything."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=8)
    axes.set_axisbelow(True)
    axes.grid(axis=grid, color=GRID, linewidth=0.8)  # type: ignore[arg-type]


def whole_numbers(axes: Axes) -> None:
    """Half an epoch and half a query are not counted along x."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def short(name: str) -> str:
    """A label that does not push the plot away."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def save(figure: Figure, out: Path) -> None:
    """Write a PNG without a date or a program's name, so that its bytes say what it shows."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_atomically(out, buffer.getvalue())
