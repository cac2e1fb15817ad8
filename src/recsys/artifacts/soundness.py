"""Which products could be shown at all: one judgement for the night and for changes between."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from recsys.artifacts.catalog import ID_COLUMN, LABEL_COLUMN, NAME_COLUMN, STOCK_COLUMN, UNKNOWN

# A smaller picture shows nothing that could be learned.
MIN_SIDE_PIXELS: Final = 16
# Standard deviation of the luma (0 to 255) below which all pixels look alike.
MIN_CONTRAST: Final = 1.0
_SHOWN = 100
# Ids become file names and URLs.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# How a delivery may say that a product can be bought, or not; what says nothing can be.
_STOCK: Final = {
    **dict.fromkeys(("true", "1", "yes", "", UNKNOWN.lower()), "true"),
    **dict.fromkeys(("false", "0", "no"), "false"),
}


@dataclass(frozen=True)
class ProductFacts:
    """What decides whether a product may go on: its row's texts and its picture's figures.

    ``repeated`` when an earlier row has its id; ``contrast`` is the standard deviation of
    the luma (0 to 255), ``width`` and ``height`` are pixels; 0 where it does not decode.
    """

    id: str
    label: str
    name: str
    stock: str
    repeated: bool
    has_image: bool
    decodes: bool
    error: str
    width: int
    height: int
    contrast: float


def judge_product(facts: ProductFacts) -> tuple[str, str]:
    """(reason, detail) why a product may not go on; both empty for a sound one."""
    empty = _missing_fields(facts)
    if empty:
        return "missing_field", f"no {', '.join(empty)}"
    if not usable_id(facts.id):
        return "bad_id", "ids are letters, digits, '.', '_' and '-', at most 100 of them"
    if facts.repeated:
        return "duplicate_id", "an earlier row has this id"
    if stock_flag(facts.stock) is None:
        return "bad_stock", f"{STOCK_COLUMN} is {facts.stock[:_SHOWN]!r}; allowed: true or false"
    if not facts.has_image:
        return "no_image", "no image file of this name was delivered"
    if not facts.decodes:
        return "undecodable_image", facts.error
    if min(facts.width, facts.height) < MIN_SIDE_PIXELS:
        return (
            "tiny_image",
            f"{facts.width:.0f} x {facts.height:.0f} pixels; at least {MIN_SIDE_PIXELS} a side",
        )
    if facts.contrast < MIN_CONTRAST:
        return "blank_image", f"contrast {facts.contrast:.3g}; at least {MIN_CONTRAST:g}"
    return "", ""


def usable_id(text: str) -> bool:
    """Whether an id can be a file name and part of a URL."""
    return _ID.fullmatch(text) is not None


def stock_flag(text: str) -> str | None:
    """A delivered flag as it is kept, ``true`` or ``false``; None if it is none."""
    return _STOCK.get(text.strip().lower())


def known_value(text: str) -> str:
    """An attribute as it is kept: a blank one is unknown."""
    return text if text.strip() else UNKNOWN


def _missing_fields(facts: ProductFacts) -> list[str]:
    empty = [] if facts.id.strip() else [ID_COLUMN]
    # An unknown article type cannot be learned. A name may well be NA.
    empty += [LABEL_COLUMN] if facts.label.strip() in ("", UNKNOWN) else []
    return empty if facts.name.strip() else [*empty, NAME_COLUMN]
