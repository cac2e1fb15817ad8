"""`recsys similar`: ask the running service which products look like this one."""

from __future__ import annotations

import base64
import math
import re
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
_CONDITION = re.compile(r"([^=!<>]+)(=|!=|>=|<=)(.+)", re.DOTALL)
_BOUNDS = {">=": "from", "<=": "to"}


def similar(
    target: Annotated[str, typer.Argument(help="A live product's id, or an image file.")],
    k: Annotated[int | None, typer.Option("-k", min=1, help="How many recommendations.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="field=value, !=, >= or <=; repeat to narrow down, or for = to widen."),
    ] = None,
    explain: Annotated[bool, typer.Option(help="Say why each product is there.")] = False,
    sheet: Annotated[Path | None, typer.Option(help="Also draw the answers to this PNG.")] = None,
    json: Json = False,
) -> None:
    """Ask the running REST service for products that look like this one.

    Example: recsys similar 15970 -k 5 --where gender=Men --sheet answers.png
    """
    settings = load_settings()
    answer = ask(settings, target, k, conditions(where or []), explain=explain)
    if sheet is not None:
        draw_sheet(settings, target, answer, sheet)
    if json:
        print_json(answer)
        return
    print_answer(target, answer)
    if sheet is not None:
        console.print(f"contact sheet: {sheet}")


def conditions(where: list[str]) -> dict[str, Any]:
    """Texts such as ``gender=Men``, ``usage!=Ethnic`` or ``year>=2010`` as a request's ``where``.

    A field that is equal to several values may have either; what it is to be unlike, and its
    bounds, hold together.

    Raises
    ------
    QueryRejected
        A text of another form; or a field with values and with bounds or values to avoid.
    """
    values: dict[str, list[str]] = {}
    spans: dict[str, dict[str, Any]] = {}
    for text in where:
        field, sign, value = _parts(text)
        if sign == "=":
            values.setdefault(field, []).append(value)
        elif sign == "!=":
            spans.setdefault(field, {}).setdefault("not", []).append(value)
        else:
            spans.setdefault(field, {})[_BOUNDS[sign]] = _number(text, value)
    if both := sorted(set(values) & set(spans)):
        raise QueryRejected(f"--where {both[0]}= cannot stand beside another condition on it")
    alone = {field: some[0] if len(some) == 1 else some for field, some in values.items()}
    return {**alone, **spans}


def _parts(text: str) -> tuple[str, str, str]:
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise QueryRejected(f"--where takes field=value, or != or >= or <=, not {text!r}")
    field, sign, value = found.groups()
    return field, sign, value


def _number(text: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise QueryRejected(f"--where {text}: {value!r} is not a number")
    return number


def ask(
    settings: Settings,
    target: str,
    k: int | None,
    where: dict[str, Any],
    *,
    explain: bool = False,
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
    if explain:
        query["explain"] = True
    token = settings.read_serving_token() or None
    with Recommender(settings.predictions_url, token=token, attempts=_ATTEMPTS) as recommender:
        return recommender.predict(query)


def print_answer(target: str, answer: dict[str, Any]) -> None:
    """The recommendations as a table."""
    table = Table(title=f"looks like {target}  (release {answer['jsonData']['release']})")
    for heading in ("score", "product", "name", "type", "colour", "gender"):
        table.add_column(heading, justify="right" if heading == "score" else "left")
    results = answer["jsonData"]["results"]
    explained = any("explanation" in result for result in results)
    if explained:
        table.add_column("why")
    for result in results:
        attributes = result["attributes"]
        table.add_row(
            f"{result['score']:.4f}",
            result["product_id"],
            result["name"],
            *(attributes.get(field, "") for field in ("articleType", "baseColour", "gender")),
            *([why(result["explanation"])] if explained else []),
        )
    console.print(table)


def why(explanation: dict[str, Any]) -> str:
    """An explanation in a line or two."""
    parts = [f"cosine {explanation['cosine']:.4f}"]
    for name in ("boost", "diversity"):
        if explanation[name]:
            parts.append(f"{name} {explanation[name]:+.4f}")
    if explanation.get("same_picture"):
        parts.append("the same picture")
    elif explanation["picture_products"] > 1:
        parts.append(f"one of {explanation['picture_products']} with this picture")
    shared = explanation.get("shared_attributes") or {}
    lines = [", ".join(parts), *([", ".join(shared.values())] if shared else [])]
    return "\n".join(lines)


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
