"""`recsys releases`: which releases are on this machine, and which is live."""

from __future__ import annotations

from rich.table import Table

from recsys import release
from recsys.artifacts.live import read_live
from recsys.cli.console import Json, console, print_json
from recsys.settings import load_settings


def releases(json: Json = False) -> None:
    """List the releases, newest first, and the deployments.

    Example: recsys releases --json
    """
    settings = load_settings()
    live = read_live(settings.releases_dir)
    found = release.list_releases(settings.releases_dir)
    events = release.history(settings.releases_dir)
    if json:
        print_json(
            {
                "live": live,
                "releases": [{"id": item.id, **item.to_data()} for item in found],
                "history": [vars(event) for event in events],
            }
        )
        return
    table = Table("", "release", "products", "model", "index", "catalog")
    for item in found:
        table.add_row(
            "live" if item.id == live else "",
            item.id,
            str(item.products),
            item.model_version,
            item.index_version,
            item.inputs["catalog"],
        )
    console.print(table)
    for event in events[-10:]:
        console.print(f"{event.when}  {event.event:<12} {event.release}  {event.why}")
