"""What the commands share on screen: one console, progress bars, JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from recsys.stages.night import Advance

# Away from a terminal nobody minds long lines, and ids must not be cut.
_PIPE_WIDTH = 160
console = Console(
    highlight=False,
    soft_wrap=True,
    width=None if sys.stdout.isatty() else _PIPE_WIDTH,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def print_json(data: Any) -> None:
    """One JSON document on standard output, keys sorted."""
    text = orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    console.out(text.decode(), highlight=False)


@contextmanager
def progress_bars(what: str, total: int) -> Iterator[Advance]:
    """A progress bar on a terminal that goes when the work is done; nothing elsewhere."""
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(what, total=total or None)
        yield lambda steps: bars.advance(task, steps)
