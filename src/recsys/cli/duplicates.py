"""`recsys duplicates`: products that show one picture, those with several labels first."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from recsys.artifacts.catalog import CatalogSplit
from recsys.cli.console import Json, console, print_json
from recsys.errors import BadInput
from recsys.settings import load_settings
from recsys.stages import frames
from recsys.stages.night import Night

_COLUMNS = ("kind", "group", "size", "labels", "products")


def duplicates(
    conflicting: Annotated[
        bool, typer.Option("--conflicting", help="Only groups with several article types.")
    ] = False,
    most: Annotated[int, typer.Option(min=1, help="Groups at the most.")] = 40,
    json: Json = False,
) -> None:
    """List groups of products that show the same picture, exactly or nearly.

    Example: recsys duplicates --conflicting
    """
    night = Night(load_settings(), "0001-01-01")
    split = night.newest("split_catalog", CatalogSplit)
    if split is None:
        raise BadInput("no catalog was split yet: run a night first (`recsys nightly`)")
    groups = frames.read_frame(night, split.ref, frames.DUPLICATES)
    groups = groups[groups["conflicting"]] if conflicting else groups
    shown = groups.sort_values(["conflicting", "size"], ascending=False, kind="stable").head(most)
    if json:
        print_json(shown.to_dict("records"))
        return
    table = Table(*_COLUMNS)
    for row in shown[list(_COLUMNS)].astype("str").to_numpy().tolist():
        table.add_row(*row)
    console.print(table)
    console.print(
        f"{split.artifact.duplicate_groups} groups,"
        f" {split.artifact.conflicting_groups} of them with several article types"
    )
