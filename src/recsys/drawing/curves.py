"""Training curves: what was measured in every epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from recsys.drawing.paper import INK, LINES, plain, save, sheet, whole_numbers

_PANEL_WIDTH, _HEIGHT = 5.2, 3.8


def draw_curves(
    epochs: Sequence[Mapping[str, float]], out: Path, *, title: str = "Training", best: int = 0
) -> None:
    """Draw each figure against the epoch (from 1): losses, scores and seconds apart.

    ``best`` is the epoch whose weights were kept, or 0.

    Raises
    ------
    ValueError
        There is no epoch.
    """
    if not epochs:
        raise ValueError("training curves need an epoch")
    panels = _panels(list(dict.fromkeys(name for epoch in epochs for name in epoch)))
    figure = sheet(title, _PANEL_WIDTH * len(panels), _HEIGHT)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    steps = range(1, len(epochs) + 1)
    for panel, (kind, names) in zip(axes, panels.items(), strict=True):
        plain(panel)
        for number, name in enumerate(names):
            values = [epoch.get(name, float("nan")) for epoch in epochs]
            panel.plot(steps, values, label=name, marker=".", color=LINES[number % len(LINES)])
        if best:
            panel.axvline(best, color=INK, linewidth=0.8, linestyle=":", label=f"kept: {best}")
        panel.set_title(kind, fontsize=9, loc="left")
        panel.set_xlabel("epoch", fontsize=8)
        whole_numbers(panel)
        panel.legend(fontsize=7, frameon=False)
    save(figure, out)


def _panels(names: Sequence[str]) -> dict[str, list[str]]:
    """The figures by what they are measured in; kinds without a figure are left out."""
    panels: dict[str, list[str]] = {"loss": [], "score": [], "seconds": [], "rate": []}
    for name in names:
        kind = next((kind for kind in ("loss", "seconds", "rate") if kind in name), "score")
        panels[kind].append(name)
    return {kind: found for kind, found in panels.items() if found}
