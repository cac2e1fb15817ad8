"""`recsys watch`: wait beside the live release, and take it back when it disappoints."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from recsys.artifacts.trial import WatchedRelease
from recsys.cli.console import Json, console, print_json
from recsys.settings import load_settings
from recsys.stages import run_stage
from recsys.stages.night import Night


def watch(
    seconds: Annotated[
        float | None, typer.Option(help="How long after its deployment. Default: the setting.")
    ] = None,
    json: Json = False,
) -> None:
    """Compare what the live release answers with what the one before it answered.

    Errors, unknown products, empty and underfilled answers and slow ones are counted in the
    request log. Where one of them is surely more frequent, the release before is live again and
    the exit code is 1. It can be stopped and started again: it goes on where it was.

    Example: recsys watch --seconds 600
    """
    settings = load_settings(**({} if seconds is None else {"watch_seconds": seconds}))
    date = datetime.now(UTC).date().isoformat()
    receipt = run_stage("watch_release", settings, night=date, run={"orchestrator": "command line"})
    watched = Night(settings, date).open(receipt.ref, WatchedRelease).artifact
    if json:
        print_json(watched.to_data())
        return
    console.print(watched.said)
    for sign, (before, after) in watched.signs.items():
        console.print(f"  {sign}: {after:.1%}, before {before:.1%}")
