"""What a product must be to be shown: one condition on one field."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Condition:
    """All of what is said here must hold; what is not said is not asked.

    Attributes
    ----------
    any_of
        The values that are accepted; None accepts all.
    none_of
        Values that are not accepted.
    at_least, at_most
        Bounds of a number, both included. A product whose value is unknown is within none.
    """

    any_of: tuple[str, ...] | None = None
    none_of: tuple[str, ...] = ()
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_range(self) -> bool:
        """Whether it compares numbers."""
        return self.at_least is not None or self.at_most is not None


# (field, condition) pairs, all of which must hold.
Conditions = tuple[tuple[str, Condition], ...]
