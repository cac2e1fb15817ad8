"""The records of a product table with the very bytes that they came as.

Records are told apart as validation does: one that runs over several lines because of a
stray quote is read again line by line, so that it costs its own row only.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from recsys.artifacts.catalog import ID_COLUMN
from recsys.catalog.delivery import is_safe_name
from recsys.errors import DeliveryUnreadable

# A record of more is malformed: else a quoted field a line could take in a whole file.
MAX_RECORD_CHARACTERS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Record:
    """One record; ``id`` is empty where none can be told.

    ``text`` ends with its line end; bytes that are not UTF-8 stand in it as lone
    surrogates. ``sound`` says that it has the header's number of fields and is UTF-8.
    """

    text: str
    id: str
    sound: bool


@dataclass(frozen=True)
class Table:
    """A product table; ``columns`` are the header's names without blanks around them.

    ``rows`` can be gone through once: (record, its fields; none where it is not CSV).
    """

    header: str
    columns: tuple[str, ...]
    rows: Iterator[tuple[Record, Sequence[str]]]

    def records(self) -> Iterator[Record]:
        """The rows without their fields, once."""
        return (record for record, _ in self.rows)

    def encode(self, records: Iterable[Record]) -> bytes:
        """The table's header with these records, as bytes."""
        text = "".join([self.header, *(record.text for record in records)])
        return text.encode("utf-8", "surrogateescape")


def read_table(styles_csv: bytes, what: str) -> Table:
    """Tell the records apart; blank lines are no records.

    Raises
    ------
    DeliveryUnreadable
        No header, or one without exactly one ``id``; ``what`` names the table.
    """
    marked = styles_csv.startswith(codecs.BOM_UTF8)
    pieces = _pieces(styles_csv)
    header = next(pieces, _Piece((), (), is_csv=False))
    columns = tuple(name.strip() for name in header.fields)
    if columns.count(ID_COLUMN) != 1:
        raise DeliveryUnreadable(
            f"{what}: the header is {','.join(columns)[:200]!r}; expected one column {ID_COLUMN!r}"
        )
    text = header.ended("\n")
    end = text[len(text.rstrip("\r\n")) :]
    place, width = columns.index(ID_COLUMN), len(columns)
    rows = ((_record(piece, place, width, end), piece.fields) for piece in pieces)
    return Table("\ufeff" + text if marked else text, columns, rows)


@dataclass(frozen=True)
class _Piece:
    """Lines that belong together; no fields where they are blank or not CSV."""

    lines: tuple[str, ...]
    fields: tuple[str, ...]
    is_csv: bool

    def ended(self, line_end: str) -> str:
        """The lines as they came; the last of a file may lack its end."""
        text = "".join(self.lines)
        return text if text.endswith(("\r", "\n")) else text + line_end


class _Lines:
    """The lines of a table, noting those taken; an iterator that can go on after an error."""

    def __init__(self, content: bytes) -> None:
        self._stream = io.TextIOWrapper(
            io.BytesIO(content), encoding="utf-8-sig", errors="surrogateescape", newline=""
        )
        self._size = 0
        self.taken: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._stream)
        self.taken.append(line)
        self._size += len(line)
        if self._size > MAX_RECORD_CHARACTERS:
            raise csv.Error(f"a record of more than {MAX_RECORD_CHARACTERS:,} characters")
        return line

    def begin(self) -> None:
        self.taken, self._size = [], 0


def _pieces(content: bytes) -> Iterator[_Piece]:
    lines = _Lines(content)
    reader = csv.reader(lines, strict=True)
    width = 0
    while True:
        lines.begin()
        piece = _next(reader, lines.taken)
        if piece is None:
            return
        width = width or len(piece.fields)
        alone = list(_line_by_line(lines.taken)) if len(lines.taken) > 1 else []
        if alone and _is_stray_quote(piece, alone, width):
            yield from alone
        elif piece.fields or not piece.is_csv:
            yield piece


def _next(reader: Iterator[list[str]], taken: Sequence[str]) -> _Piece | None:
    try:
        fields = next(reader)
    except StopIteration:
        return None
    except csv.Error:
        return _Piece(tuple(taken), (), is_csv=False)
    return _Piece(tuple(taken), tuple(fields), is_csv=True)


def _line_by_line(lines: Sequence[str]) -> Iterator[_Piece]:
    for line in lines:
        piece: _Piece | None = _Piece((line,), (), is_csv=False)
        if len(line) <= MAX_RECORD_CHARACTERS:
            piece = _next(csv.reader([line], strict=True), [line])
        if piece is not None and (piece.fields or not piece.is_csv):
            yield piece


def _is_stray_quote(piece: _Piece, alone: Sequence[_Piece], width: int) -> bool:
    """Whether lines were joined by a quote too many, and not by a quoted line end."""
    swallowed = any(len(line.fields) == width for line in alone[1:])
    return not piece.is_csv or len(piece.fields) != width or swallowed


def _record(piece: _Piece, place: int, width: int, line_end: str) -> Record:
    text = piece.ended(line_end)
    sound = piece.is_csv and len(piece.fields) == width and _is_utf8(text)
    product = piece.fields[place] if place < len(piece.fields) else ""
    # In a malformed record anything may stand where the id is expected.
    known = product if sound or is_safe_name(product) else ""
    return Record(text, known, sound)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
