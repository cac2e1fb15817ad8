"""`recsys similar`: ask the running service which products look like this one."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.table import Table

from recsys import images, names
from recsys.artifacts.catalog import ValidatedCatalog
from recsys.artifacts.change import Action, last_of_each
from recsys.artifacts.release import read_manifest
from recsys.changes import Spool
from recsys.cli.console import Json, console, print_json
from recsys.client import Recommender
from recsys.errors import QueryRejected
from recsys.settings import Settings, load_settings
from recsys.stages.frames import PRODUCTS, read_frame
from recsys.stages.night import Night
from recsys.stages.pixels import picture_place

# A person is waiting, and can ask again.
_ATTEMPTS = 2
_SHEET_COLUMNS = 6


def similar(
    target: Annotated[str, typer.Argument(help="A live product's id, or an image file.")],
    k: Annotated[int | None, typer.Option("-k", min=1, help="How many recommendations.")] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="field=value; repeat to narrow down further.")
    ] = None,
    sheet: Annotated[Path | None, typer.Option(help="Also draw the answers to this PNG.")] = None,
    json: Json = False,
) -> None:
    """Ask the running REST service for products that look like this one.

    Example: recsys similar 15970 -k 5 --where gender=Men --sheet answers.png
    """
    settings = load_settings()
    answer = ask(settings, target, k, conditions(where or []))
    if sheet is not None:
        draw_sheet(settings, target, answer, sheet)
    if json:
        print_json(answer)
        return
    print_answer(target, answer)
    if sheet is not None:
        console.print(f"contact sheet: {sheet}")


def conditions(where: list[str]) -> dict[str, str | list[str]]:
    """``field=value`` texts as the request's ``where``; a field named twice means either value.

    Raises
    ------
    QueryRejected
        A text without a field, or without a value.
    """
    found: dict[str, list[str]] = {}
    for text in where:
        field, equals, value = text.partition("=")
        if not (field and equals and value):
            raise QueryRejected(f"--where takes field=value, not {text!r}")
        found.setdefault(field, []).append(value)
    return {field: values[0] if len(values) == 1 else values for field, values in found.items()}


def ask(
    settings: Settings, target: str, k: int | None, where: dict[str, str | list[str]]
) -> dict[str, Any]:
    """The service's whole answer to one query.

    Raises
    ------
    ProductUnknown, QueryRejected
        The service says 404 or 400; with its message.
    ServiceUnavailable, OutsideFailed
        Nothing answers, or not as it should.
    """
    query: dict[str, Any] = {"product_id": target}
    if Path(target).is_file():
        query = {"image": base64.b64encode(Path(target).read_bytes()).decode()}
    if k is not None:
        query["k"] = k
    if where:
        query["where"] = where
    token = settings.read_serving_token() or None
    with Recommender(settings.predictions_url, token=token, attempts=_ATTEMPTS) as recommender:
        return recommender.predict(query)


def print_answer(target: str, answer: dict[str, Any]) -> None:
    """The recommendations as a table."""
    table = Table(title=f"looks like {target}  (release {answer['jsonData']['release']})")
    for heading in ("score", "product", "name", "type", "colour", "gender"):
        table.add_column(heading, justify="right" if heading == "score" else "left")
    for result in answer["jsonData"]["results"]:
        attributes = result["attributes"]
        table.add_row(
            f"{result['score']:.4f}",
            result["product_id"],
            result["name"],
            *(attributes.get(field, "") for field in ("articleType", "baseColour", "gender")),
        )
    console.print(table)


def draw_sheet(settings: Settings, target: str, answer: dict[str, Any], out: Path) -> None:
    """Query and answers as a PNG contact sheet, from the very images the release was made of."""
    pictures = _Pictures(settings, answer["jsonData"]["release"])
    query = Path(target).read_bytes() if Path(target).is_file() else pictures.of(target)
    cells = [(query, f"query {Path(target).name}")]
    for result in answer["jsonData"]["results"]:
        caption = f"{result['score']:.3f} {result['product_id']}\n{result['name']}"
        cells.append((pictures.of(result["product_id"]), caption))
    images.contact_sheet(cells, _SHEET_COLUMNS, out, highlighted=[0])


class _Pictures:
    """The catalog images of one release, from the data store, and those of changes since."""

    def __init__(self, settings: Settings, release_id: str) -> None:
        self._night = Night(settings, "0001-01-01")
        manifest = read_manifest(settings.releases_dir / release_id)
        self._spool = Spool(settings.changes_dir)
        self._changes = last_of_each(
            self._spool.after(manifest.changes_through, self._spool.last())
        )
        ref = manifest.inputs[names.VALIDATED]
        self._validated = self._night.open(ref, ValidatedCatalog)
        products: pd.DataFrame = read_frame(self._night, ref, PRODUCTS)
        places = zip(products["image"], products["kept"], strict=True)
        self._place_of = dict(zip(products["id"], places, strict=True))

    def of(self, product_id: str) -> bytes:
        change = self._changes.get(product_id)
        if change is not None and change.action is Action.UPSERT:
            return self._spool.picture(change)
        return self._night.read(*picture_place(self._validated, *self._place_of[product_id]))
