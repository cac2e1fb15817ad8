"""`recsys diff`: what differs between two releases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from recsys.cli.console import Json, console, print_json
from recsys.cli.differences import differences_document, print_differences
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
        **differences_document(found.fields),
    }


def _print(found: ReleaseDifference) -> None:
    _print_products(found.products)
    print_differences(found.old, found.new, found.fields)
    for said in found.incomplete:
        console.print(f"not compared: {said}")


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
