"""`recsys embeddings`: how fresh the vectors are, and what there is of one product."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from recsys.cli.console import Json, console, print_json
from recsys.settings import load_settings
from recsys.stages.embedding_coverage import (
    Coverage,
    ProductVector,
    embedding_coverage,
    product_vector,
)
from recsys.stages.night import Night

_NAMED = 6
_COMPONENTS = 8
_HOUR_SECONDS = 3_600


def embeddings(
    product: Annotated[
        str, typer.Argument(help="A product's id: show its vector. Without: the whole store.")
    ] = "",
    json: Json = False,
) -> None:
    """Show whose vectors the feature store holds, which products lack one, and how old they are.

    Exit code 1 when they are stale: another model's than the champion's or the live release's,
    or not of every product's picture.

    Example: recsys embeddings 15970
    """
    night = Night(load_settings(), "0001-01-01")
    if product:
        _show_product(product_vector(night, product), json)
        return
    found = embedding_coverage(night)
    if json:
        print_json({**asdict(found), "fresh": not found.stale})
    else:
        _print(found)
    if found.stale:
        raise typer.Exit(1)


def _print(found: Coverage) -> None:
    table = Table("", "")
    for name, told in (
        ("vectors of", f"{found.model}  ({found.embeddings})"),
        ("champion", found.champion or "none"),
        (
            "live release",
            f"{found.live_model}  ({found.live_release})" if found.live_release else "none",
        ),
        ("newest catalog", f"{found.products} products  ({found.catalog})"),
        ("with a vector", f"{found.with_vector} of {found.products}"),
        ("without", _some(found.without)),
        ("taken over", f"{found.taken_over} of {found.rows}, {found.embedded} embedded"),
        ("age", f"{found.age_seconds / _HOUR_SECONDS:.1f} hours"),
    ):
        table.add_row(name, told)
    console.print(table)
    for said in found.stale:
        console.print(f"stale: {said}")
    if not found.stale:
        console.print("fresh")


def _show_product(found: ProductVector, json: bool) -> None:
    facts = _facts(found)
    if json:
        print_json({**facts, "vector": found.embedding.vector.tolist()})
        return
    for name, value in facts.items():
        console.print(f"{name:<12} {value}")
    shown = " ".join(f"{value:+.4f}" for value in found.embedding.vector[:_COMPONENTS])
    console.print(f"{'vector':<12} {shown} …")


def _facts(found: ProductVector) -> dict[str, Any]:
    vector = found.embedding.vector
    return {
        "product": found.embedding.product,
        "model": found.model,
        "picture": found.embedding.picture,
        "current": found.current,
        "commit": found.embeddings,
        "dimension": len(vector),
        "norm": round(float(np.linalg.norm(vector.astype(np.float64))), 6),
    }


def _some(products: tuple[str, ...]) -> str:
    if not products:
        return "none"
    more = f" and {len(products) - _NAMED} more" if len(products) > _NAMED else ""
    return f"{', '.join(products[:_NAMED])}{more}"
