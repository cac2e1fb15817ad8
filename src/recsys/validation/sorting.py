"""Split the delivery: sound products, and those set aside with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd

from recsys.artifacts.base import require
from recsys.artifacts.catalog import (
    ATTRIBUTES,
    DELIVERY_COLUMNS,
    ID_COLUMN,
    LABEL_COLUMN,
    NAME_COLUMN,
    STOCK_COLUMN,
    UNKNOWN,
)
from recsys.artifacts.soundness import ProductFacts, judge_product, stock_flag
from recsys.validation.rows import ParsedRows

_SHOWN = 100
# The rule behind each reason that is no expectation of a suite.
_RULES: Final = {
    "malformed_row": "a row is well-formed CSV in UTF-8",
    "missing_field": f"{ID_COLUMN}, {LABEL_COLUMN} and {NAME_COLUMN} are given",
    "bad_stock": f"{STOCK_COLUMN} is true or false where it is given",
    "bad_id": "an id can be a file name and part of a URL",
    "duplicate_id": "an id has one row",
    "no_image": "a product has an image",
    "undecodable_image": "an image decodes",
    "tiny_image": "an image shows something",
    "blank_image": "an image shows something",
}
QUARANTINE_COLUMNS: Final = (ID_COLUMN, "reason", "detail", "expectation")


@dataclass(frozen=True)
class SortedCatalog:
    """What may go on, and what may not.

    Attributes
    ----------
    products
        The sound products, sorted by id as text: the columns of `DELIVERY_COLUMNS` (an
        unknown attribute is ``NA``), ``in_stock`` (true or false) if it was delivered,
        ``image`` (its path), ``sha256_bytes`` and ``sha256_pixels``.
    quarantine
        One row a delivered row: ``id``; ``reason`` (malformed_row, missing_field, bad_id,
        duplicate_id, bad_stock, no_image, undecodable_image, tiny_image or blank_image, or
        a code of the suite that judges rows: the first that applies); ``detail``, what was
        found;
        ``expectation``, which of the suite's it failed, or the rule. A repeated id stands
        here although its first row may be a product.
    """

    products: pd.DataFrame
    quarantine: pd.DataFrame


def sort_out(rows: ParsedRows, measures: pd.DataFrame) -> SortedCatalog:
    """Split rows and images into products and quarantine.

    Images that no row names are left out; of several images with one stem the first by
    path counts.
    """
    columns = [*DELIVERY_COLUMNS, *rows.frame.columns.intersection([STOCK_COLUMN])]
    delivered = rows.frame.reindex(columns=columns, fill_value="").astype("str")
    images = measures.sort_values("path").drop_duplicates("id").set_index("id")
    table = delivered.join(images, on=ID_COLUMN)
    verdicts = [judge_product(row) for row in _facts(table)]
    table["reason"] = pd.Series([reason for reason, _ in verdicts], table.index, dtype="str")
    table["detail"] = pd.Series([detail for _, detail in verdicts], table.index, dtype="str")
    return SortedCatalog(
        _products(table[table["reason"] == ""]),
        _quarantine(table[table["reason"] != ""], rows.malformed),
    )


def apply_row_failures(catalog: SortedCatalog, failures: pd.DataFrame) -> SortedCatalog:
    """The catalog less the products that fail something critical, which are quarantined.

    Of several failures of a product the first counts; warnings set nothing aside.

    Parameters
    ----------
    failures
        ``id``, ``reason``, ``expectation``, ``column``, ``severity`` and ``observed``, as
        `recsys.gates.sift` gives them over these very products.

    Raises
    ------
    ArtifactInvalid
        A failure is of no product of this catalog.
    """
    critical = failures[failures["severity"] == "critical"].drop_duplicates(ID_COLUMN)
    fails = catalog.products[ID_COLUMN].isin(critical[ID_COLUMN])
    require(
        int(fails.sum()) == len(critical),
        f"{len(critical) - int(fails.sum())} failures are of no product of this catalog",
    )
    judged_by = critical["expectation"].str.cat(critical["column"], sep=" on ")
    moved = critical.assign(detail=critical["observed"], expectation=judged_by)
    return SortedCatalog(
        catalog.products[~fails].reset_index(drop=True),
        _ordered(pd.concat([catalog.quarantine, moved[list(QUARANTINE_COLUMNS)]])),
    )


def _facts(table: pd.DataFrame) -> list[ProductFacts]:
    filled = {"decodes": False, "error": "", "width": 0, "height": 0, "contrast": 0.0}
    has_image = table["path"].notna()
    known = table.assign(
        **{column: table[column].where(has_image, value) for column, value in filled.items()}
    )
    return [
        ProductFacts(*values)
        for values in zip(
            known[ID_COLUMN],
            known[LABEL_COLUMN],
            known[NAME_COLUMN],
            known.get(STOCK_COLUMN, pd.Series("", known.index)),
            known[ID_COLUMN].duplicated(),
            has_image,
            known["decodes"],
            known["error"],
            known["width"],
            known["height"],
            known["contrast"],
            strict=True,
        )
    ]


def _products(sound: pd.DataFrame) -> pd.DataFrame:
    products = sound.rename(columns={"path": "image"})[
        [
            *DELIVERY_COLUMNS,
            *sound.columns.intersection([STOCK_COLUMN]),
            "image",
            "sha256_bytes",
            "sha256_pixels",
        ]
    ].astype("str")
    if STOCK_COLUMN in products:
        products[STOCK_COLUMN] = products[STOCK_COLUMN].map(stock_flag).astype("str")
    for field in ATTRIBUTES:
        products[field] = products[field].where(products[field].str.strip() != "", UNKNOWN)
    return products.sort_values(ID_COLUMN, ignore_index=True)


def _quarantine(set_aside: pd.DataFrame, malformed: pd.DataFrame) -> pd.DataFrame:
    named = malformed[malformed["id"] != ""].assign(reason="malformed_row")
    columns = [ID_COLUMN, "reason", "detail"]
    table = pd.concat([set_aside[columns], named[columns]]).astype("str")
    table[ID_COLUMN] = table[ID_COLUMN].str.slice(0, _SHOWN)
    return _ordered(table.assign(expectation=table["reason"].map(_RULES)))


def _ordered(quarantine: pd.DataFrame) -> pd.DataFrame:
    table = quarantine[list(QUARANTINE_COLUMNS)].astype("str")
    return table.sort_values([ID_COLUMN, "reason"], kind="stable", ignore_index=True)
