"""`recsys reproduce`: make a release again from its records; is it the same to the bit?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from recsys.cli.console import Json, console, print_json, progress_bars
from recsys.errors import BadInput
from recsys.settings import Settings, load_settings
from recsys.stages.find_release import find_live_release
from recsys.stages.night import Night
from recsys.stages.replay_release import replay_release
from recsys.stages.reproduce_release import Reproduction, reproduce_release

_NO_NIGHT = "0001-01-01"  # each stage takes the date that its commit recorded

Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="NAME=VALUE",
        help="Another setting than recorded (again for more): what would it have changed?",
    ),
]


def reproduce(
    release: Annotated[str, typer.Argument(help="A release id. Default: the live one.")] = "",
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Rebuild a release in a scratch place and compare it, digest by digest.

    Data, settings, seeds and code are those that its commits recorded. Nothing that is in
    use is touched. Exit code 0: identical; 1: something differs, or a gate refused.

    Example: recsys reproduce r-0123456789abcdef

    Example: recsys reproduce --with seed=21
    """
    settings = load_settings()
    night = Night(settings, _NO_NIGHT, progress=progress_bars)
    wanted = release or find_live_release(night).artifact.id
    found = reproduce_release(
        night,
        wanted,
        changes=_parsed(settings, changes),
        on_stage=(lambda stage, seconds: None) if json else _tell,
    )
    if json:
        print_json(_document(found))
    else:
        _print(found)
    if not found.identical:
        raise typer.Exit(1)


def replay(release: str, folder: Path, changes: Changes = None) -> None:
    """Only rebuild, into a folder: for `recsys reproduce` with the code of another commit."""
    settings = load_settings()
    night = Night(settings, _NO_NIGHT)
    replay_release(night, release, folder, changes=_parsed(settings, changes))


def _parsed(settings: Settings, changes: Sequence[str] | None) -> dict[str, str]:
    parsed = {}
    for change in changes or ():
        name, equals, value = change.partition("=")
        if not equals or name not in type(settings).model_fields:
            raise BadInput(f"--with {change!r}: expected a setting as name=value, such as seed=21")
        parsed[name] = value
    return parsed


def _tell(stage: str, seconds: float) -> None:
    console.print(f"✓ {stage:<18} {seconds:8.1f} s  made again")


def _document(found: Reproduction) -> dict[str, Any]:
    return {
        "release": found.release,
        "rebuilt": found.release_id,
        "identical": found.identical,
        "code": {"as_recorded": found.code.as_recorded, "said": found.code.said},
        "circumstances": list(found.circumstances),
        "refused": found.refused,
        "seconds": found.seconds,
        "artefacts": [{**asdict(row), "identical": row.identical} for row in found.rows],
    }


def _print(found: Reproduction) -> None:
    table = Table("artefact", "made again", "what differs", "recorded commit")
    for row in found.rows:
        said = "identical" if row.identical else "differs" if row.rebuilt else "not made"
        table.add_row(
            row.artefact,
            said,
            "\n".join(f"{item.what}: {item.said}" for item in row.differences),
            row.recorded,
        )
    console.print(table)
    console.print(f"code: {found.code.said}")
    for circumstance in found.circumstances:
        console.print(f"not as it was: {circumstance}")
    if found.refused:
        console.print(found.refused)
    if found.identical:
        console.print(f"{found.release} was made again, identical to the bit")
    else:
        console.print(
            f"{found.release} differs when it is made again: {found.release_id or 'no release'}"
        )
