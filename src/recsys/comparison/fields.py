"""Plain data, such as settings, figures or an artefact's JSON, field by field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class FieldDifference:
    """One field that differs; ``name`` is its path (``figures.recall``, ``verdicts.0.suite``).

    A side that lacks the field has None.
    """

    name: str
    old: Any
    new: Any

    @property
    def delta(self) -> float | None:
        """New less old, of two numbers."""
        if isinstance(self.old, bool) or isinstance(self.new, bool):
            return None
        if isinstance(self.old, int | float) and isinstance(self.new, int | float):
            return self.new - self.old
        return None

    def __str__(self) -> str:
        change = "" if self.delta is None else f" ({self.delta:+.6g})"
        return f"{self.name} {_short(self.old)} → {_short(self.new)}{change}".lstrip()


def compare_fields(old: Any, new: Any) -> list[FieldDifference]:
    """The fields in which two JSON-ready values differ, by name.

    Objects are compared by key and lists by position, all the way down.
    """
    before, after = dict(_flat(old)), dict(_flat(new))
    return [
        FieldDifference(name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _short(value: Any) -> str:
    text = "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
