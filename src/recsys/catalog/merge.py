"""Lay a delta delivery over the catalog that was accepted last, and tell what changed."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import Final

import pandas as pd

from recsys.artifacts.catalog import ID_COLUMN
from recsys.catalog.delivery import check_styles
from recsys.catalog.records import Record, Table, read_table
from recsys.errors import DeliveryUnreadable

ADDED: Final = "added"
IMAGE_CHANGED: Final = "image_changed"
ATTRIBUTES_CHANGED: Final = "attributes_changed"
BOTH_CHANGED: Final = "both_changed"
REMOVED: Final = "removed"

_SHOWN = 5


def merge_styles(base_csv: bytes, delta_csv: bytes, removed: Sequence[str]) -> bytes:
    """The base's rows, changed as the delta says.

    A sound row of the delta (the header's number of fields, UTF-8) stands where the base's
    first row of its id stood, all of which it replaces; if there was none, at the end. The
    rows of removed ids go. What the delta does not mention stays byte for byte, malformed
    rows too (blank lines go, a missing last line end is added). A malformed row of the
    delta replaces nothing: it is added at the end as it is, for validation's gate to
    judge. Several rows of one id in the delta are all kept.

    Raises
    ------
    DeliveryUnreadable
        Other columns, or in another order, than the base's; no ``id``; an id that is both
        delivered and removed; rows that stray quotes would make run together; too large.
    """
    base = read_table(base_csv, "the catalog that was accepted last")
    delta = read_table(delta_csv, "the delta's styles.csv")
    _check_columns(base, delta)
    fresh = list(delta.records())
    _check_removed(fresh, removed)
    records = list(_merged(list(base.records()), fresh, frozenset(removed)))
    # A stray quote may reach into a quoted line end that now follows it; behind all sound
    # rows it cannot.
    for order in (records, sorted(records, key=lambda record: not record.sound)):
        merged = base.encode(order)
        if _reads_back(merged, order):
            return check_styles(merged, "the merged styles.csv")
    raise DeliveryUnreadable(
        "the delta cannot be merged: malformed rows with stray quotes would run into others."
        " Mend them, or deliver the whole catalog"
    )


def without_products(styles_csv: bytes, products: Collection[str]) -> bytes:
    """The table without the rows of these ids; every other line as it was.

    A table that cannot be read as one comes back as it is, for validation's gate to judge.
    """
    try:
        table = read_table(styles_csv, "the delivered styles.csv")
    except DeliveryUnreadable:
        return styles_csv
    return table.encode([record for record in table.records() if record.id not in products])


def surviving_images(
    base: Iterable[str], delivered: Collection[str], removed: Sequence[str]
) -> Iterator[str]:
    """The base's picture names that neither a delivered picture replaces nor a removal takes.

    A picture replaces every one of the same product, whatever its suffix.
    """
    gone = {PurePosixPath(name).stem for name in delivered} | set(removed)
    return (name for name in base if PurePosixPath(name).stem not in gone)


def row_digests(styles_csv: bytes) -> dict[str, str]:
    """Product id → SHA-256 (hex) of its row: column names and fields, in any column order.

    Of several rows of an id the first sound one counts, else the first; a row whose id
    cannot be read is left out.

    Raises
    ------
    DeliveryUnreadable
        No header, or one without exactly one ``id``.
    """
    table = read_table(styles_csv, "styles.csv")
    order = sorted(range(len(table.columns)), key=table.columns.__getitem__)
    start = hashlib.sha256(_json([table.columns[place] for place in order]))
    digests: dict[str, str] = {}
    malformed: dict[str, str] = {}
    for record, fields in table.rows:
        known = digests if record.sound else malformed
        if record.id and record.id not in known:
            digest = start.copy()
            digest.update(_json([fields[place] for place in order] if record.sound else fields))
            known[record.id] = digest.hexdigest()
    return malformed | digests


def changes(old: Mapping[str, tuple[str, str]], new: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """What differs between two catalogs: ``id`` and ``change``, both text, sorted by id.

    The mappings give (row digest, image digest) of each product. ``change`` is added,
    image_changed, attributes_changed, both_changed or removed; what is alike is left out.
    """
    rows = [
        (product, change)
        for product in sorted(old.keys() | new.keys())
        if (change := _change(old.get(product), new.get(product)))
    ]
    return pd.DataFrame(rows, columns=[ID_COLUMN, "change"], dtype="str")


def _change(old: tuple[str, str] | None, new: tuple[str, str] | None) -> str:
    if old is None:
        return ADDED
    if new is None:
        return REMOVED
    row, image = old[0] != new[0], old[1] != new[1]
    if row and image:
        return BOTH_CHANGED
    return ATTRIBUTES_CHANGED if row else IMAGE_CHANGED if image else ""


def _check_columns(base: Table, delta: Table) -> None:
    if delta.columns == base.columns:
        return
    same = sorted(delta.columns) == sorted(base.columns)
    raise DeliveryUnreadable(
        f"the delta's columns are {', '.join(delta.columns)[:300]!r};"
        f" {'in this order' if same else 'but'} the catalog has {', '.join(base.columns)[:300]!r}."
        f" {'Reorder them' if same else 'Use the same'}, or deliver the whole catalog"
    )


def _check_removed(delta: Sequence[Record], removed: Sequence[str]) -> None:
    both = sorted({record.id for record in delta if record.sound} & set(removed))
    if both:
        shown = ", ".join(both[:_SHOWN]) + (", …" if len(both) > _SHOWN else "")
        raise DeliveryUnreadable(
            f"{len(both):,} ids are both in the delta's styles.csv and in removed.csv: {shown}"
        )


def _merged(
    base: Sequence[Record], delta: Sequence[Record], removed: frozenset[str]
) -> Iterator[Record]:
    fresh: dict[str, list[Record]] = defaultdict(list)
    for record in delta:
        if record.sound and record.id:
            fresh[record.id].append(record)
    placed: set[str] = set()
    for record in base:
        if record.id in fresh:
            yield from fresh[record.id] if record.id not in placed else ()
            placed.add(record.id)
        elif record.id not in removed:
            yield record
    for record in delta:
        if not record.sound or record.id not in placed:
            yield record


def _reads_back(merged: bytes, records: Sequence[Record]) -> bool:
    """Whether the merged table holds these very records, sound or malformed as they were."""
    found = read_table(merged, "the merged styles.csv").records()
    return all(one == other for one, other in zip_longest(found, records))


def _json(texts: Sequence[str]) -> bytes:
    """As ASCII, so that bytes that are not UTF-8 (lone surrogates) have a digest too."""
    return json.dumps(texts, separators=(",", ":")).encode()
