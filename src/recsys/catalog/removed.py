"""``removed.csv`` of a delta delivery: the ids to take out."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Final

from recsys.artifacts.catalog import ID_COLUMN
from recsys.catalog.delivery import check_name, read_bounded
from recsys.errors import DeliveryUnreadable

# Some five million ids; the longest that are accepted fill it with 300,000.
MAX_REMOVED_BYTES: Final = 64_000_000


def read_removed(path: Path) -> tuple[str, ...]:
    """The ids, each once, in the order of the file; blank lines do not count.

    Raises
    ------
    DeliveryUnreadable
        Another header than ``id``, not UTF-8, not CSV of one column, an id that could not
        be a file name, or too large a file. Guessing would take out the wrong products.
    """
    data = read_bounded(path, MAX_REMOVED_BYTES)
    try:
        return tuple(_ids(data.decode("utf-8-sig"), path))
    except UnicodeDecodeError as error:
        raise DeliveryUnreadable(f"{path}: not UTF-8 at byte {error.start:,}") from error
    except csv.Error as error:
        raise DeliveryUnreadable(f"{path}: not CSV ({error})") from error


def _ids(text: str, path: Path) -> dict[str, None]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = next(reader, [])
    if [name.strip() for name in header] != [ID_COLUMN]:
        raise DeliveryUnreadable(
            f"{path}: the header is {','.join(header)[:80]!r}; expected {ID_COLUMN!r} alone"
        )
    ids: dict[str, None] = {}
    for fields in filter(None, reader):
        if len(fields) != 1 or fields[0] != fields[0].strip() or not fields[0]:
            raise DeliveryUnreadable(
                f"{path}: line {reader.line_num:,} holds {','.join(fields)[:80]!r};"
                " expected one id, without blanks around it"
            )
        check_name(fields[0], path, "id")
        ids[fields[0]] = None
    return ids
