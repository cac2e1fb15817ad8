"""`recsys quarantine`: what was set aside and why, in words and pictures, and let through."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.table import Table

from recsys import images
from recsys.artifacts.catalog import MeasuredCatalog, ValidatedCatalog
from recsys.cli.console import Json, console, print_json
from recsys.errors import BadInput
from recsys.settings import load_settings
from recsys.stages import frames
from recsys.stages.night import Night, Opened
from recsys.stages.overrides import release_product

_SHEET_COLUMNS = 8
_NO_PICTURE = b""
_COLUMNS = ("id", "reason", "detail", "expectation", "first_seen", "last_seen")

app = typer.Typer(
    name="quarantine",
    no_args_is_help=True,
    help="Products that were set aside, why and since when.",
)

Reason = Annotated[str, typer.Option(help="Only products with this reason code.")]


@app.command("list")
def list_products(reason: Reason = "", json: Json = False) -> None:
    """List the quarantine of the newest delivery, whether its night was accepted or refused.

    Example: recsys quarantine list --reason blurred_image
    """
    night, measured, ledger = _ledger(reason)
    accepted = night.newest("validate_catalog", ValidatedCatalog)
    went_on = accepted is not None and accepted.artifact.measured == measured.ref
    if json:
        print_json({"accepted": went_on, "products": ledger.to_dict("records")})
        return
    table = Table(*_COLUMNS)
    for row in ledger[list(_COLUMNS)].astype("str").to_numpy().tolist():
        table.add_row(*row)
    console.print(table)
    for code, count in ledger["reason"].value_counts().items():
        console.print(f"  {count:6} {code}")
    console.print(
        f"{len(ledger)} set aside, {measured.artifact.products} sound;"
        f" the night {'went on' if went_on else 'was refused or is not over'}"
    )


@app.command("sheet")
def sheet(
    out: Annotated[Path, typer.Argument(help="The PNG to draw.")],
    reason: Reason = "",
    most: Annotated[int, typer.Option(min=1, max=400, help="Pictures at the most.")] = 64,
) -> None:
    """Draw the set-aside products as a contact sheet; what cannot be decoded is a crossed box.

    Example: recsys quarantine sheet blurred.png --reason blurred_image
    """
    night, measured, ledger = _ledger(reason)
    if ledger.empty:
        raise BadInput(
            "nothing to draw: the quarantine is empty" + (f" of {reason}" if reason else "")
        )
    measures = frames.read_frame(night, measured.ref, frames.MEASURES)
    path_of = dict(zip(measures["id"], measures["path"], strict=True))
    shown = ledger.head(most)
    cells = [
        (_picture(night, measured, path_of.get(product)), f"{product} {code}\n{detail}")
        for product, code, detail in zip(shown["id"], shown["reason"], shown["detail"], strict=True)
    ]
    images.contact_sheet(cells, _SHEET_COLUMNS, out, title=f"quarantine: {len(ledger)} products")
    console.print(f"contact sheet: {out}")


@app.command()
def release(
    product: Annotated[str, typer.Argument(help="The product's id.")],
    note: Annotated[str, typer.Option(help="Why it is good after all.")],
) -> None:
    """Let a product through by hand, from the next night on, as long as its picture stays.

    Example: recsys quarantine release 44998 --note "a white candle on white, as it should be"
    """
    released = release_product(_night(), product, note, getpass.getuser())
    for item in released:
        console.print(f"{item.id} will pass {item.reason} from the next night on: {item.note}")


def _night() -> Night:
    return Night(load_settings(), "0001-01-01")


def _ledger(reason: str) -> tuple[Night, Opened[MeasuredCatalog], pd.DataFrame]:
    night = _night()
    measured = night.newest("measure_catalog", MeasuredCatalog)
    if measured is None:
        raise BadInput("nothing was measured yet: run a night first (`recsys nightly`)")
    ledger = frames.read_frame(night, measured.ref, frames.QUARANTINE)
    return night, measured, ledger[ledger["reason"] == reason] if reason else ledger


def _picture(night: Night, measured: Opened[MeasuredCatalog], path: str | None) -> bytes:
    if path is None:
        return _NO_PICTURE
    return night.read(measured.artifact.catalog, f"/images/{path}")
