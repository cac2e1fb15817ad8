"""The tables that the gates judge: one row on the delivery, one row a product."""

from __future__ import annotations

import pandas as pd

from recsys.artifacts.catalog import ID_COLUMN, LABEL_COLUMN
from recsys.validation.rows import ParsedRows
from recsys.validation.sorting import SortedCatalog

_MEASURES_OF_PRODUCT = ["path", "width", "height", "brightness", "contrast", "greyscale", "bytes"]


def delivery_table(
    rows: ParsedRows, measures: pd.DataFrame, catalog: SortedCatalog
) -> pd.DataFrame:
    """One row of figures for the suite ``delivery``; a share of nothing is 0.

    ``quarantined_share`` is of delivered rows that did not become a product, the malformed
    ones without a readable id included.
    """
    delivered_ids = set(rows.frame[ID_COLUMN]) if ID_COLUMN in rows.frame else set()
    named = measures["id"].isin(delivered_ids) | measures["id"].isin(rows.malformed["id"])
    without_image = int((catalog.quarantine["reason"] == "no_image").sum())
    undecodable_images = int((~measures["decodes"]).sum())
    return pd.DataFrame(
        [
            {
                "rows": rows.rows,
                "images": len(measures),
                "products": len(catalog.products),
                "article_types": catalog.products[LABEL_COLUMN].nunique(),
                "columns_missing": len(rows.columns_missing),
                "columns_unknown": len(rows.columns_unknown),
                "duplicate_ids": rows.duplicate_ids,
                "malformed_share": _share(rows.malformed_rows, rows.rows),
                "undecodable_share": _share(rows.undecodable_rows, rows.rows),
                "quarantined_share": _share(rows.rows - len(catalog.products), rows.rows),
                "undecodable_images_share": _share(undecodable_images, len(measures)),
                "images_without_row_share": _share(int((~named).sum()), len(measures)),
                "rows_without_image_share": _share(without_image, rows.rows),
            }
        ]
    )


def products_table(catalog: SortedCatalog, measures: pd.DataFrame) -> pd.DataFrame:
    """The products with their image's measures, for the suite ``products``."""
    of_image = measures[_MEASURES_OF_PRODUCT].rename(columns={"path": "image"})
    return catalog.products.merge(of_image, on="image", how="left", validate="many_to_one")


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
