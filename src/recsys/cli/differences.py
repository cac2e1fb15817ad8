"""What differs between two things, as a table by topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from recsys.cli.console import console
from recsys.comparison import FieldDifference

_LONGEST = 300


def print_differences(old: str, new: str, topics: Mapping[str, Sequence[FieldDifference]]) -> None:
    """A row a field, under the titles of both sides; topics without a difference by name."""
    table = Table("", "what", old, new, "change")
    for topic, fields in topics.items():
        for position, field in enumerate(fields):
            table.add_row("" if position else topic, field.name, *_sides(field))
    if table.row_count:
        console.print(table)
    alike = [topic for topic, fields in topics.items() if not fields]
    if alike:
        console.print(f"alike: {', '.join(alike)}")


def differences_document(topics: Mapping[str, Sequence[FieldDifference]]) -> dict[str, Any]:
    """The same for a program."""
    return {
        topic: {
            field.name: {"old": field.old, "new": field.new, "delta": field.delta}
            for field in fields
        }
        for topic, fields in topics.items()
    }


def _sides(field: FieldDifference) -> tuple[str, str, str]:
    if field.delta is not None:
        return f"{field.old:.6g}", f"{field.new:.6g}", f"{field.delta:+.6g}"
    return _shown(field.old), _shown(field.new), ""


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return escape(shortened(f"{value:.6g}" if isinstance(value, float) else str(value)))


def shortened(text: str) -> str:
    """What fits into a cell."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
