"""`recsys releases`: which releases are on this machine, which is live, and which stay."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from recsys import release
from recsys.artifacts.live import read_live
from recsys.cli.console import Json, console, print_json
from recsys.errors import BadInput
from recsys.settings import load_settings


def releases(
    pin: Annotated[str, typer.Option(help="Keep this release until it is unpinned.")] = "",
    unpin: Annotated[str, typer.Option(help="Let this release go with its age again.")] = "",
    why: Annotated[str, typer.Option(help="The reason, for whoever asks tomorrow.")] = "",
    json: Json = False,
) -> None:
    """List the releases, newest first, and the deployments.

    `recsys store gc` keeps the newest RECSYS_KEEP_RELEASES, the live one, the one before it
    and every pinned one, each with all that it was made of.

    Example: recsys releases --pin r-… --why "the one before the move to the new shop"
    """
    settings = load_settings()
    _change_pins(settings.releases_dir, pin, unpin, why)
    live = read_live(settings.releases_dir)
    found = release.list_releases(settings.releases_dir)
    events = release.history(settings.releases_dir)
    pins = release.pins(events)
    if json:
        print_json(
            {
                "live": live,
                "pinned": {pinned: event.why for pinned, event in pins.items()},
                "releases": [{"id": item.id, **item.to_data()} for item in found],
                "history": [vars(event) for event in events],
            }
        )
        return
    table = Table("", "release", "products", "model", "index", "catalog")
    for item in found:
        table.add_row(
            " ".join(("live",) * (item.id == live) + ("pinned",) * (item.id in pins)),
            item.id,
            str(item.products),
            item.model_version,
            item.index_version,
            item.inputs["catalog"],
        )
    console.print(table)
    for event in events[-10:]:
        console.print(f"{event.when}  {event.event:<12} {event.release}  {event.why}")


def _change_pins(releases_dir: Path, pin: str, unpin: str, why: str) -> None:
    if pin and unpin:
        raise BadInput("give --pin or --unpin, not both")
    if why and not (pin or unpin):
        raise BadInput("--why belongs to --pin or --unpin")
    if pin:
        release.pin(releases_dir, pin, getpass.getuser(), why)
    if unpin:
        release.unpin(releases_dir, unpin, getpass.getuser(), why)
