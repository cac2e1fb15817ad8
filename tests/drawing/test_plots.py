"""Plots are pictures that can be opened, whose bytes follow from what they show."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from recsys.drawing import (
    draw_confused_pairs,
    draw_confusion_matrix,
    draw_curves,
    draw_search,
    draw_slices,
    draw_trade_off,
)

EPOCHS = [
    {"loss": 2 / step, "validation_accuracy": 1 - 1 / (step + 1), "cpu_seconds": 3.0}
    for step in range(1, 6)
]
TYPES = [f"Type {number}" for number in range(24)]
SEED = np.random.default_rng(4)


def confusion(mixed_up: int = 2) -> pd.DataFrame:
    """Each type is right nine times, and its neighbour ``mixed_up`` times."""
    right = [(name, name, 9) for name in TYPES]
    wrong = [(name, TYPES[number - 1], mixed_up) for number, name in enumerate(TYPES)]
    return pd.DataFrame(right + wrong, columns=["label", "predicted", "count"])


def slices(champion: float = 0.7) -> pd.DataFrame:
    ndcg = np.linspace(0.4, 0.9, len(TYPES))
    return pd.DataFrame(
        {
            "slice": [f"articleType={name}" for name in TYPES],
            "attribute": "articleType",
            "value": TYPES,
            "queries": 30,
            "ndcg_at_10": ndcg,
            "champion_ndcg_at_10": champion,
            "change": ndcg - champion,
            "change_low": ndcg - champion - 0.05,
            "change_high": ndcg - champion + 0.05,
            "ndcg_low": ndcg - 0.1,
            "ndcg_high": ndcg + 0.1,
        }
    )


def trials() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "number": range(8),
            "value": [0.5, 0.6, 0.2, 0.7, 0.3, 0.65, 0.72, 0.1],
            "finished": [True, True, False, True, False, True, True, False],
            "learning_rate": np.geomspace(1e-4, 1e-2, 8),
            "embedding_dim": [64, 64, 128, 128, 256, 256, 256, 512],
        }
    )


def candidates() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "factory": ["Flat", "IVF256,Flat", "IVF256,Flat", "IVF512,Flat"],
            "breadth": [1, 4, 8, 8],
            "recall_at_k": [1.0, 0.98, 0.999, 0.99],
            "read_bytes": [4e7, 1e6, 1.6e6, 1.2e6],
            "index_bytes": [40_000_000] * 4,
            "chosen": [False, False, True, False],
        }
    )


DRAWINGS: dict[str, Callable[[Path], None]] = {
    "curves": lambda out: draw_curves(EPOCHS, out, best=4),
    "one epoch": lambda out: draw_curves(EPOCHS[:1], out),
    "pairs": lambda out: draw_confused_pairs(confusion(), out),
    "no pairs": lambda out: draw_confused_pairs(confusion(0), out),
    "matrix": lambda out: draw_confusion_matrix(confusion(), out),
    "two types": lambda out: draw_confusion_matrix(confusion().head(2), out),
    "slices": lambda out: draw_slices(slices(), out),
    "slices without champion": lambda out: draw_slices(slices(float("nan")), out),
    "search": lambda out: draw_search(trials(), out, value="validation accuracy"),
    "trade-off": lambda out: draw_trade_off(candidates(), out, target=0.998),
    "search that only pruned": lambda out: draw_search(
        trials().assign(finished=False), out, value="validation accuracy"
    ),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_plot_is_a_picture_and_the_same_table_gives_the_same_bytes(
    name: str, tmp_path: Path
) -> None:
    DRAWINGS[name](tmp_path / "one.png")
    DRAWINGS[name](tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert min(picture.size) > 150
        colours = picture.convert("RGB").getcolors(1 << 24)
        assert colours is not None
        assert len(colours) > 20  # something is drawn on the paper


def test_other_figures_give_another_picture(tmp_path: Path) -> None:
    draw_slices(slices(0.7), tmp_path / "one.png")
    draw_slices(slices(0.5), tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "two.png").read_bytes()


def test_curves_of_no_epoch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="need an epoch"):
        draw_curves([], tmp_path / "none.png")


def test_the_room_loads_matplotlib_only_to_draw_and_never_pyplot(tmp_path: Path) -> None:
    program = f"""
import sys
from recsys.drawing import draw_curves
assert "matplotlib" not in sys.modules
from pathlib import Path
draw_curves([{{"loss": 1.0}}], Path({str(tmp_path / "plot.png")!r}))
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
