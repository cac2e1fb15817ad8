"""Pictures that explain a model: curves, confusions, slices, neighbours of frozen queries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from recsys import drawing, images
from recsys.artifacts.catalog import LABEL_COLUMN, ValidatedCatalog
from recsys.artifacts.model import ModelReport, TrainedModel
from recsys.errors import FileMissing
from recsys.stages import frames
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import picture_place, products_of

PLOTS = "plots"
# Contact sheets show shoppers' products: a purge takes this folder out of every run.
NEIGHBOURS = "neighbours"
_HISTORY = "/history.json"
_QUERIES_A_SHEET = 8
_NEIGHBOURS_SHOWN = 6
_CAPTION = (LABEL_COLUMN, "baseColour", "gender")


def draw_model_pictures(
    night: Night, model: Opened[TrainedModel], report: Opened[ModelReport], out: Path
) -> None:
    """Draw into the folders `PLOTS` and `NEIGHBOURS` of ``out`` what the commits hold.

    A table that an older commit lacks is not drawn, and so is one without a row.
    """
    _draw_curves(night, model, out / PLOTS / "training.png")
    if (confusion := _frame(night, report.ref, frames.CONFUSION)) is not None:
        drawing.draw_confused_pairs(confusion, out / PLOTS / "confused_pairs.png")
        drawing.draw_confusion_matrix(confusion, out / PLOTS / "confusion.png")
    if (slices := _frame(night, report.ref, frames.SLICES)) is not None:
        drawing.draw_slices(slices, out / PLOTS / "slices.png")
    if (neighbours := _frame(night, report.ref, frames.NEIGHBOURS)) is not None:
        validated = night.open(model.artifact.validated, ValidatedCatalog)
        _draw_neighbours(night, validated, neighbours, out / NEIGHBOURS)


def _frame(night: Night, ref: str, path: str) -> pd.DataFrame | None:
    try:
        frame = frames.read_frame(night, ref, path)
    except FileMissing:
        return None
    return None if frame.empty else frame


def _draw_curves(night: Night, model: Opened[TrainedModel], out: Path) -> None:
    history = json.loads(night.read(model.ref, _HISTORY))
    drawing.draw_curves(
        history["epochs"],
        out,
        title=f"Training of {model.artifact.version}",
        best=history["best_epoch"],
    )


def _draw_neighbours(
    night: Night, validated: Opened[ValidatedCatalog], neighbours: pd.DataFrame, folder: Path
) -> None:
    """Sheets of some queries each, a row a query: framed, then what the model finds nearest."""
    products = products_of(night, validated).set_index("id")
    queries = list(dict.fromkeys(neighbours["query"]))
    for first in range(0, len(queries), _QUERIES_A_SHEET):
        shown = queries[first : first + _QUERIES_A_SHEET]
        cells = list(_cells(night, validated, products, neighbours, shown))
        images.contact_sheet(
            cells,
            1 + _NEIGHBOURS_SHOWN,
            folder / f"queries_{first + 1:02}_to_{first + len(shown):02}.png",
            title="Held-out products (framed) and their nearest",
            highlighted=range(0, len(cells), 1 + _NEIGHBOURS_SHOWN),
        )


def _cells(
    night: Night,
    validated: Opened[ValidatedCatalog],
    products: pd.DataFrame,
    neighbours: pd.DataFrame,
    queries: list[str],
) -> Iterator[tuple[bytes, str]]:
    for query in queries:
        nearest = neighbours[neighbours["query"] == query].sort_values("rank")
        nearest = nearest.head(_NEIGHBOURS_SHOWN)
        yield _cell(night, validated, products, query, query)
        for product, score in zip(nearest["id"], nearest["score"], strict=True):
            yield _cell(night, validated, products, product, f"{product}  {score:.3f}")
        for _ in range(_NEIGHBOURS_SHOWN - len(nearest)):
            yield b"", ""


def _cell(
    night: Night,
    validated: Opened[ValidatedCatalog],
    products: pd.DataFrame,
    product: str,
    caption: str,
) -> tuple[bytes, str]:
    row = products.loc[product]
    told = f"{caption}\n{', '.join(str(row[column]) for column in _CAPTION)}"
    try:
        return night.read(*picture_place(validated, *row[["image", "kept"]])), told
    except FileMissing:  # purged meanwhile
        return b"", told
