"""`recsys upsert`, `delist` and `changes`: products that change between two nights."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from recsys.artifacts.change import Change
from recsys.artifacts.live import living_workers
from recsys.changes import Spool
from recsys.cli.console import Json, console, print_json, progress_bars
from recsys.settings import load_settings
from recsys.stages.change_products import Changed, delist_products, upsert_products
from recsys.stages.fold_changes import folded_by_live
from recsys.stages.night import Night


def upsert(
    products: Annotated[
        list[str] | None, typer.Argument(help="Product ids; by default all of the delivery.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="The delivery, in any layout. Default: where tonight's is."),
    ] = None,
    json: Json = False,
) -> None:
    """Put new or changed products in effect now; the next night folds them in.

    Row and picture are taken from a delivery and judged as a night judges them. Of a delta,
    what it lacks is taken from the catalog; without PRODUCTS its removed.csv delists.

    Example: recsys upsert 15970 --from ~/today
    """
    _tell(upsert_products(_night(), products or [], source, getpass.getuser()), json=json)


def delist(
    products: Annotated[list[str], typer.Argument(help="Product ids.")], json: Json = False
) -> None:
    """Stop showing products now; the next night folds it in.

    Example: recsys delist 15970 15971
    """
    _tell(delist_products(_night(), products, getpass.getuser()), json=json)


def changes(json: Json = False) -> None:
    """List the changes between nights: in effect, folded in, and set aside.

    Example: recsys changes --json
    """
    settings = load_settings()
    spool = Spool(settings.changes_dir)
    folded, last = folded_by_live(settings), spool.last()
    found, rejected = spool.after(0, last), spool.rejected()
    workers = {worker.pid: worker.changes for worker in living_workers(settings.serving_dir)}
    if json:
        print_json(
            {
                "changes": [_data(change, folded) for change in found],
                "folded_in_through": folded,
                "last": last,
                "workers": {str(pid): number for pid, number in workers.items()},
                "set_aside": [{"name": name, "why": why} for name, why in rejected],
            }
        )
        return
    table = Table("number", "change", "product", "by", "when", "")
    for change in found:
        state = "folded in" if change.number <= folded else "in effect"
        table.add_row(
            str(change.number), change.action, change.product, change.who, change.when, state
        )
    console.print(table)
    console.print(
        f"the live release has folded in the changes through {folded}; the last is {last}"
    )
    for pid, number in workers.items():
        console.print(f"worker {pid} answers with the changes through {number}")
    for name, why in rejected:
        console.print(f"set aside {name}: {why}")


def _night() -> Night:
    today = datetime.now(UTC).date().isoformat()
    return Night(load_settings(), today, progress=progress_bars)


def _tell(done: Changed, *, json: bool) -> None:
    if json:
        print_json(
            {
                "changes": [_data(change, 0) for change in done.changes],
                "workers": done.workers,
                "seconds": round(done.seconds, 3),
            }
        )
        return
    for change in done.changes:
        console.print(f"change {change.number}: {change.action} {change.product}")
    console.print(
        f"in effect on {done.workers} workers after {done.seconds:.1f} s"
        if done.workers
        else "no service answers with a release; whoever starts takes the changes up"
    )


def _data(change: Change, folded: int) -> dict[str, Any]:
    return {**change.to_data(), "folded_in": change.number <= folded}
