"""A bounded memory of what was worked out before; safe to use from several threads."""

from __future__ import annotations

from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """At most ``most`` values by key; whichever was put in first gives way.

    Unlike `functools.lru_cache` it holds no function, so no release is kept by a circle of
    references until somebody looks for those.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[Hashable, Value] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> Value | None:
        """The value, or None."""
        return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> None:
        """Remember a value; it must not be changed from here on."""
        with self._lock:
            if key not in self._values and len(self._values) >= self._most:
                del self._values[next(iter(self._values))]
            self._values[key] = value
