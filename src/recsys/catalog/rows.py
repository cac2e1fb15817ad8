"""Single products of a product table: their lines as delivered, and what these say."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from csv import writer
from io import StringIO

from recsys.catalog.merge import merge_styles
from recsys.catalog.records import read_table


def only_products(styles_csv: bytes, products: Collection[str]) -> bytes:
    """The table with the rows of these ids alone, as they came.

    Raises
    ------
    DeliveryUnreadable
        No header, or one without exactly one ``id``.
    """
    table = read_table(styles_csv, "the delivered styles.csv")
    return table.encode([record for record in table.records() if record.id in products])


def products_in(styles_csv: bytes) -> list[str]:
    """The ids of the sound rows, as delivered, each once.

    Raises
    ------
    DeliveryUnreadable
        As `only_products`.
    """
    table = read_table(styles_csv, "the delivered styles.csv")
    return list(dict.fromkeys(record.id for record in table.records() if record.sound))


def rows_by_product(styles_csv: bytes) -> dict[str, dict[str, str]]:
    """Id → column → text of its first sound row.

    Raises
    ------
    DeliveryUnreadable
        As `only_products`.
    """
    table = read_table(styles_csv, "the delivered styles.csv")
    rows: dict[str, dict[str, str]] = {}
    for record, fields in table.rows:
        if record.sound:
            rows.setdefault(record.id, dict(zip(table.columns, fields, strict=True)))
    return rows


def with_rows(
    styles_csv: bytes, rows: Iterable[Mapping[str, str]], removed: Collection[str]
) -> bytes:
    """The table with these rows (column → text) in it and those of the removed ids gone.

    As `merge_styles` does it. A column that a row does not have is empty; one that the table
    does not have is left out.
    """
    columns = read_table(styles_csv, "the delivered styles.csv").columns
    text = StringIO()
    lines = writer(text, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows([row.get(column, "") for column in columns] for row in rows)
    return merge_styles(styles_csv, text.getvalue().encode(), sorted(removed))
