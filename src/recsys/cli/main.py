"""The `recsys` command: one file a command group, errors to exit codes in one place."""

from __future__ import annotations

import sys

import typer

from recsys.cli import (
    diff,
    duplicates,
    labels,
    nightly,
    quarantine,
    releases,
    reproduce,
    services,
    similar,
    store,
)
from recsys.errors import RecsysError

app = typer.Typer(
    name="recsys",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="""Nightly visual recommendations: a catalog arrives, a checked release answers.

    Exit codes: 0 done, 1 refused by a gate, 2 bad input or usage, 3 something outside failed.

    Settings are RECSYS_… variables or lines of recsys.toml; see src/recsys/settings.py.""",
)
app.command()(nightly.nightly)
app.command()(similar.similar)
app.command()(releases.releases)
app.command()(diff.diff)
app.command()(reproduce.reproduce)
app.command(hidden=True)(reproduce.replay)
app.add_typer(quarantine.app)
app.command()(labels.labels)
app.command()(duplicates.duplicates)
app.add_typer(store.app)
app.command()(services.up)
app.command()(services.down)
app.command()(services.status)


def main() -> None:
    """Run the command line; an error of ours becomes its message and its exit code."""
    try:
        app()
    except RecsysError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
