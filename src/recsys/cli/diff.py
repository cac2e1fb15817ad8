"""`recsys diff`: what differs between two releases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from recsys.cli.console import Json, console, print_json
from recsys.comparison import FieldDifference
from recsys.settings import load_settings
from recsys.stages.compare_releases import (
    ProductDifference,
    ReleaseDifference,
    compare_releases,
)
from recsys.stages.night import Night

_FIRST = 5


def diff(
    old: Annotated[str, typer.Argument(help="A release id.")],
    new: Annotated[str, typer.Argument(help="Another release id.")],
    json: Json = False,
) -> None:
    """Compare two releases: products, labels, data, code, settings, figures and gates.

    `recsys releases` lists their ids.

    Example: recsys diff r-0123456789abcdef r-fedcba9876543210
    """
    found = compare_releases(Night(load_settings(), "0001-01-01"), old, new)
    if json:
        print_json(_document(found))
    else:
        _print(found)


def _document(found: ReleaseDifference) -> dict[str, Any]:
    return {
        "old": found.old,
        "new": found.new,
        "products": asdict(found.products),
        "incomplete": list(found.incomplete),
        **{
            topic: {
                field.name: {"old": field.old, "new": field.new, "delta": field.delta}
                for field in fields
            }
            for topic, fields in found.fields.items()
        },
    }


def _print(found: ReleaseDifference) -> None:
    _print_products(found.products)
    table = Table("", "what", found.old, found.new, "change")
    for topic, fields in found.fields.items():
        for position, field in enumerate(fields):
            table.add_row("" if position else topic, field.name, *_sides(field))
    if table.row_count:
        console.print(table)
    alike = [topic for topic, fields in found.fields.items() if not fields]
    if alike:
        console.print(f"alike: {', '.join(alike)}")
    for said in found.incomplete:
        console.print(f"not compared: {said}")


def _sides(field: FieldDifference) -> tuple[str, str, str]:
    shown = ["–" if value is None else str(value) for value in (field.old, field.new)]
    if field.delta is not None:
        shown = [f"{value:.6g}" for value in (field.old, field.new)]
    return shown[0], shown[1], "" if field.delta is None else f"{field.delta:+.6g}"


def _print_products(found: ProductDifference) -> None:
    console.print(f"products: {found.old} → {found.new}")
    for called, products in (
        ("added", found.added),
        ("removed", found.removed),
        ("another picture", found.pictures or ()),
        ("other attributes", found.attributes),
        ("another label", [f"{key} ({old} → {new})" for key, old, new in found.labels]),
    ):
        if products:
            console.print(f"  {len(products)} {called}: {_some(products)}")


def _some(products: Sequence[str]) -> str:
    more = len(products) - _FIRST
    return ", ".join(products[:_FIRST]) + (f" and {more} more" if more > 0 else "")
