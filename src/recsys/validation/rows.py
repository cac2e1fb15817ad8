"""Read the delivered CSV: strict about each row, never fatal, all values as text.

A row that cannot be read is set aside and counted; whether there are too many is for the
delivery gate to say.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from recsys.artifacts.catalog import DELIVERY_COLUMNS, ID_COLUMN, STOCK_COLUMN
from recsys.artifacts.soundness import usable_id

# Longer values are no catalog text. csv's own bound on a field, 131,072 characters, stands
# behind it, so that a quote which is never closed cannot eat the whole file.
MAX_FIELD_CHARACTERS = 2_000
_READ_COLUMNS = (*DELIVERY_COLUMNS, STOCK_COLUMN)
# What errors="surrogateescape" makes of a byte that is not UTF-8.
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True)
class ParsedRows:
    """The delivery's rows.

    Attributes
    ----------
    frame
        One row a well-formed row, in delivered order, ids possibly repeated; the columns
        of `DELIVERY_COLUMNS` that were delivered, and ``in_stock`` if it was, all text:
        ``NA`` and the empty text stay what they are.
    malformed
        One row a row set aside: ``id`` (empty when unreadable) and ``detail``.
    undecodable_rows
        How many of the malformed are not UTF-8.
    columns_missing
        Columns that are absent, or stand in the header twice.
    columns_unknown
        Delivered columns that nobody asked for; not read.
    """

    frame: pd.DataFrame
    malformed: pd.DataFrame
    undecodable_rows: int
    columns_missing: tuple[str, ...]
    columns_unknown: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Rows delivered, the malformed included."""
        return len(self.frame) + len(self.malformed)

    @property
    def malformed_rows(self) -> int:
        """Rows with a wrong number of fields, an overlong field or bytes that are not UTF-8."""
        return len(self.malformed)

    @property
    def duplicate_ids(self) -> int:
        """Rows whose id an earlier row has."""
        if ID_COLUMN not in self.frame:
            return 0
        return int(self.frame[ID_COLUMN].duplicated().sum())


def parse_rows(styles_csv: bytes) -> ParsedRows:
    """Read ``styles.csv``; never raises because of its content.

    Comma separated, quoted with ``"`` where needed, UTF-8 with or without a byte order
    mark; columns are found by their header, in any order.
    """
    records = _records(styles_csv)
    header = next(records, _Record((), ""))
    places = _places(header.fields)
    identity = places.get(ID_COLUMN)
    good: list[list[str]] = []
    bad: list[tuple[str, str]] = []
    undecodable = 0
    for record in records:
        fault = record.fault or _fault(record.fields, len(header.fields))
        if not fault:
            good.append([record.fields[place] for place in places.values()])
            continue
        undecodable += fault == _FAULT_UTF8
        bad.append((_readable_id(record.fields, identity), fault))
    return ParsedRows(
        frame=pd.DataFrame(good, columns=list(places), dtype="str"),
        malformed=pd.DataFrame(bad, columns=["id", "detail"], dtype="str"),
        undecodable_rows=undecodable,
        columns_missing=tuple(name for name in DELIVERY_COLUMNS if name not in places),
        columns_unknown=tuple(
            _printable(name) for name in header.fields if name not in _READ_COLUMNS
        ),
    )


_FAULT_UTF8 = "bytes that are not UTF-8"


@dataclass(frozen=True)
class _Record:
    fields: Sequence[str]
    fault: str


def _records(content: bytes) -> Iterator[_Record]:
    """The CSV's records without blank lines.

    A record of several lines that is not sound is read again line by line: one stray quote
    then costs its own row and not those that follow.
    """
    taken: list[str] = []
    stream = io.TextIOWrapper(
        io.BytesIO(content), encoding="utf-8-sig", errors="surrogateescape", newline=""
    )

    def lines() -> Iterator[str]:
        for line in stream:
            taken.append(line)
            yield line

    reader = csv.reader(lines(), strict=True)
    width = 0
    while True:
        taken.clear()
        record = _next(reader)
        if record is None:
            return
        width = width or len(record.fields)
        lines_alone = list(_line_by_line(taken)) if len(taken) > 1 else []
        if lines_alone and _is_stray_quote(record, lines_alone, width):
            yield from lines_alone
        elif record.fields or record.fault:
            yield record


def _is_stray_quote(record: _Record, lines_alone: Sequence[_Record], width: int) -> bool:
    """Whether a record of several lines is a quote too many, and not a quoted line end.

    Then it is no sound record, or some line that it swallowed is one.
    """
    swallowed = any(len(line.fields) == width for line in lines_alone[1:])
    return bool(record.fault) or len(record.fields) != width or swallowed


def _line_by_line(lines: Sequence[str]) -> Iterator[_Record]:
    for line in lines:
        record = _next(csv.reader([line], strict=True))
        if record is not None and (record.fields or record.fault):
            yield record


def _next(reader: Iterator[list[str]]) -> _Record | None:
    try:
        return _Record(next(reader), "")
    except StopIteration:
        return None
    except csv.Error as error:
        return _Record((), f"not CSV: {error}")


def _places(header: Sequence[str]) -> dict[str, int]:
    """Where each delivery column stands; a doubled one is as good as missing."""
    names = [name.strip() for name in header]
    return {name: names.index(name) for name in _READ_COLUMNS if names.count(name) == 1}


def _fault(fields: Sequence[str], width: int) -> str:
    if any(_NOT_UTF8.search(field) for field in fields):
        return _FAULT_UTF8
    if len(fields) != width:
        return f"{len(fields)} fields, expected {width}"
    longest = max(len(field) for field in fields)
    if longest > MAX_FIELD_CHARACTERS:
        return f"a field of {longest} characters, at most {MAX_FIELD_CHARACTERS} are accepted"
    return ""


def _readable_id(fields: Sequence[str], place: int | None) -> str:
    if place is None or place >= len(fields) or not usable_id(fields[place]):
        return ""
    return fields[place]


def _printable(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()[:80]
