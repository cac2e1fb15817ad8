"""The `recsys` command: one file a command group, errors to exit codes in one place."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Final

import typer

from recsys.errors import RecsysError

# Command → the module under recsys.cli that holds it: as a function of the command's name,
# or as an ``app`` of subcommands. In the order of --help.
_MODULE_OF: Final = {
    "nightly": "nightly",
    "similar": "similar",
    "evaluate": "evaluate",
    "batch": "batch",
    "releases": "releases",
    "manifest": "manifest",
    "models": "models",
    "embeddings": "embeddings",
    "tune": "tune",
    "diff": "diff",
    "upsert": "changes",
    "delist": "changes",
    "changes": "changes",
    "rollback": "rollback",
    "watch": "watch",
    "trace": "trace",
    "reproduce": "reproduce",
    "purge": "purge",
    "store": "store",
    "quarantine": "quarantine",
    "labels": "labels",
    "duplicates": "duplicates",
    "up": "services",
    "down": "services",
    "status": "services",
    "swap": "services",
    "replay": "reproduce",
}
# Called by our own processes, not by people.
_HIDDEN: Final = frozenset({"replay"})
_HELP: Final = """Nightly visual recommendations: a catalog arrives, a checked release answers.

    Exit codes: 0 done, 1 refused by a gate, 2 bad input or usage, 3 something outside failed.

    Settings are RECSYS_… variables or lines of recsys.toml; see src/recsys/settings.py."""


def command_line(commands: Iterable[str]) -> typer.Typer:
    """The command line with these commands; only their modules are loaded."""
    app = typer.Typer(
        name="recsys",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        help=_HELP,
    )
    app.callback()(_no_options)  # else one command alone would swallow its own name
    for name in commands:
        module = import_module(f"recsys.cli.{_MODULE_OF[name]}")
        if hasattr(module, "app"):
            app.add_typer(module.app)
        else:
            app.command(name, hidden=name in _HIDDEN)(getattr(module, name))
    return app


def _no_options() -> None:
    """The group itself takes none."""


def main() -> None:
    """Run the command line; an error of ours becomes its message and its exit code."""
    named = [name for name in sys.argv[1:2] if name in _MODULE_OF]
    try:
        command_line(named or _MODULE_OF)()
    except RecsysError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
