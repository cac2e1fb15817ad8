"""`recsys purge`: a product's picture and vectors out of service and out of history."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import Annotated

import typer

from recsys.cli.console import Json, console, print_json, progress_bars
from recsys.errors import BadInput
from recsys.settings import load_settings
from recsys.stages.night import Night
from recsys.stages.purge_product import purge_product


def purge(
    product: Annotated[str, typer.Argument(help="The product's id.")],
    why: Annotated[str, typer.Option(help="The reason; it stands in the picture's place.")],
    may_return: Annotated[
        bool, typer.Option("--may-return", help="Let the product come back with another picture.")
    ] = False,
    with_others: Annotated[
        bool, typer.Option("--with-others", help="Products with the same picture lose it too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: there is no way back.")] = False,
    json: Json = False,
) -> None:
    """Remove a product's picture and vectors at once, everywhere, for good.

    The live release is replaced by one without the product, and so is every release kept
    for a rollback; then the bytes go from all stored history. A tombstone stays in the
    lineage (`recsys trace` shows it), and no later delivery can bring the picture back.

    Example: recsys purge 15970 --why "the photographer withdrew the licence"
    """
    night = Night(load_settings(), datetime.now(UTC).date().isoformat(), progress=progress_bars)
    if not yes and not typer.confirm(f"Purge {product} from all history? There is no way back"):
        raise BadInput("nothing was purged")
    done = purge_product(
        night, product, getpass.getuser(), why, may_return=may_return, with_others=with_others
    )
    if json:
        print_json(vars(done))
        return
    console.print(
        f"purged {', '.join(done.products)}: {len(done.pictures)} pictures, {done.files} files"
        f" of history, {len(done.commits)} whole commits"
    )
    for old, new in done.releases.items():
        console.print(f"  release {old} gave way to {new}")
    console.print("what is not removed:")
    for what in done.remains:
        console.print(f"  {what}")
