"""`recsys labels`: labels that are probably wrong, the worst first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from recsys import images
from recsys.artifacts.catalog import LabelReport, ValidatedCatalog
from recsys.artifacts.model import TrainedModel
from recsys.cli.console import Json, console, print_json
from recsys.errors import BadInput
from recsys.settings import load_settings
from recsys.stages import frames
from recsys.stages.night import Night
from recsys.stages.pixels import picture_place, products_of

_COLUMNS = ("rank", "id", "given", "suggested", "self_confidence", "name")
_SHEET_COLUMNS = 8


def labels(
    most: Annotated[int, typer.Option(min=1, help="Products at the most.")] = 40,
    sheet: Annotated[Path | None, typer.Option(help="Also draw them to this PNG.")] = None,
    json: Json = False,
) -> None:
    """Rank the products whose label is probably wrong, of the last night whose labels passed.

    Example: recsys labels --most 24 --sheet labels.png
    """
    night = Night(load_settings(), "0001-01-01")
    report = night.newest("check_labels", LabelReport)
    if report is None:
        raise BadInput("no labels were checked yet: run a night first (`recsys nightly`)")
    issues = frames.read_frame(night, report.ref, frames.LABEL_ISSUES).head(most)
    if json:
        print_json(issues.to_dict("records"))
    else:
        table = Table(*_COLUMNS)
        for row in issues[list(_COLUMNS)].round(4).astype("str").to_numpy().tolist():
            table.add_row(*row)
        console.print(table)
        share = report.artifact.overall_noise_share
        console.print(f"{report.artifact.issues} in all; about {share:.1%} of the labels")
    if sheet is not None:
        if issues.empty:
            raise BadInput("nothing to draw: no label looks wrong")
        model = night.open(report.artifact.model, TrainedModel)
        validated = night.open(model.artifact.validated, ValidatedCatalog)
        products = products_of(night, validated).set_index("id")
        cells = [
            (
                night.read(*picture_place(validated, *products.loc[product, ["image", "kept"]])),
                f"{product} {given}\n{suggested}?",
            )
            for product, given, suggested in zip(
                issues["id"], issues["given"], issues["suggested"], strict=True
            )
        ]
        images.contact_sheet(
            cells, _SHEET_COLUMNS, sheet, title="given label, and the likelier one"
        )
        console.print(f"contact sheet: {sheet}")
