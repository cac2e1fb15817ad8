"""`recsys rollback`: an earlier release back into service, in seconds."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import Annotated

import typer

from recsys.cli.console import Json, console, print_json
from recsys.errors import BadInput
from recsys.settings import load_settings
from recsys.stages.night import Night
from recsys.stages.roll_back import lift_rollback, roll_back


def rollback(
    release: Annotated[
        str, typer.Argument(help="The release; by default the one that was live before.")
    ] = "",
    why: Annotated[str, typer.Option(help="The reason, for whoever asks tomorrow.")] = "",
    lift: Annotated[
        bool, typer.Option("--lift", help="Let the next night redeploy again instead.")
    ] = False,
    json: Json = False,
) -> None:
    """Put an earlier release back into service, without training or building anything.

    The rollback stands: the next night deploys only a release whose model beats this one on
    the same frozen queries, until `recsys rollback --lift --why "…"` lifts it.

    Example: recsys rollback --why "shoes are shown for hats since this morning"
    """
    night = Night(load_settings(), datetime.now(UTC).date().isoformat())
    if lift:
        if release:
            raise BadInput("--lift takes no release: it lifts the rollback that stands")
        event, seconds = lift_rollback(night, getpass.getuser(), why), 0.0
    else:
        event, seconds = roll_back(night, release, getpass.getuser(), why)
    if json:
        print_json({**vars(event), "seconds": round(seconds, 3)})
    elif lift:
        console.print("the rollback is lifted: the next night deploys as usual")
    else:
        console.print(
            f"release {event.release} is live again ({seconds:.1f} s), not {event.previous}"
        )
        console.print("the nights keep it until one beats it, or `recsys rollback --lift`")
