"""The tables that the gates judge: one row on the delivery or its drift, one row a product."""

from __future__ import annotations

import math
from typing import Final

import pandas as pd

from recsys.artifacts.catalog import DELIVERY_COLUMNS, ID_COLUMN, LABEL_COLUMN, UNKNOWN
from recsys.validation.rows import ParsedRows
from recsys.validation.sorting import SortedCatalog

# A type of fewer products may come and go, and a share of them says little.
MIN_TYPE_PRODUCTS: Final = 20
_SHIFTING = ("brightness", "contrast", "sharpness")
_MEASURES_OF_PRODUCT = ["path", "width", "height", "brightness", "contrast", "greyscale", "bytes"]


def delivery_table(
    rows: ParsedRows, measures: pd.DataFrame, catalog: SortedCatalog
) -> pd.DataFrame:
    """One row of figures for the suite ``delivery``; a share of nothing is 0.

    ``quarantined_share`` is of delivered rows that did not become a product, the malformed
    ones without a readable id included; ``worst_type_quarantined_share`` is the largest
    such share of an article type of at least 20 rows.
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
                "worst_type_quarantined_share": _worst_type_share(rows, catalog.products),
                "undecodable_images_share": _share(undecodable_images, len(measures)),
                "images_without_row_share": _share(int((~named).sum()), len(measures)),
                "rows_without_image_share": _share(without_image, rows.rows),
            }
        ]
    )


def _worst_type_share(rows: ParsedRows, products: pd.DataFrame) -> float:
    if LABEL_COLUMN not in rows.frame:
        return 0.0
    delivered = rows.frame[LABEL_COLUMN].value_counts()
    judged = delivered[(delivered >= MIN_TYPE_PRODUCTS) & ~delivered.index.isin(["", UNKNOWN])]
    kept = products[LABEL_COLUMN].value_counts().reindex(judged.index, fill_value=0)
    return float(((judged - kept) / judged).max()) if len(judged) else 0.0


def products_table(catalog: SortedCatalog, measures: pd.DataFrame) -> pd.DataFrame:
    """The products with their image's measures, for the suite ``products``."""
    return _with_measures(catalog.products, measures[_MEASURES_OF_PRODUCT])


def candidates_table(catalog: SortedCatalog, measures: pd.DataFrame) -> pd.DataFrame:
    """The structurally sound products with all their image's measures, one row each.

    For the suite ``product_rows``, which judges them one by one.
    """
    ours = [name for name in measures.columns if name not in catalog.products.columns]
    return _with_measures(catalog.products, measures[ours])


def drift_table(
    products: pd.DataFrame,
    measures: pd.DataFrame,
    previous_products: pd.DataFrame,
    previous_measures: pd.DataFrame,
) -> pd.DataFrame:
    """One row: tonight's products and images against those of the last accepted night.

    Parameters
    ----------
    products, previous_products
        As `SortedCatalog.products`; neither may be empty.
    measures, previous_measures
        As `measure_images` gives them.

    Returns
    -------
    pandas.DataFrame
        ``rows_ratio``: products tonight over products then. ``label_share_change``: the
        largest change of an article type's share. ``vanished_types``: types of at least 20
        products then and of none tonight, as a text, empty when there is none.
        ``added_share``, ``removed_share``, ``changed_share`` (row or picture) and
        ``moved_images_share`` (products that show what another product showed then, and not
        what they showed): of the products then. ``brightness_shift``, ``contrast_shift``
        and ``sharpness_shift``: change of the mean over the products' images, in standard
        deviations then.
    """
    then, now = _shares(previous_products), _shares(products)
    changes = now.sub(then, fill_value=0.0).abs()
    counts = previous_products[LABEL_COLUMN].value_counts()
    large = counts[counts >= MIN_TYPE_PRODUCTS].index
    figures: dict[str, object] = {
        "rows_ratio": len(products) / len(previous_products),
        "label_share_change": float(changes.max()),
        "vanished_types": ", ".join(sorted(set(large) - set(now.index))),
        **_changed_shares(products, previous_products),
    }
    tonight, before = _pictures(products, measures), _pictures(previous_products, previous_measures)
    for name in _SHIFTING:
        figures[f"{name}_shift"] = _shift(tonight, before, name)
    return pd.DataFrame([figures])


def _shares(products: pd.DataFrame) -> pd.Series:
    return products[LABEL_COLUMN].value_counts(normalize=True)


def _changed_shares(products: pd.DataFrame, previous: pd.DataFrame) -> dict[str, object]:
    both = products.merge(previous, on=ID_COLUMN, suffixes=("", "_then"))
    looks = both["sha256_pixels"] != both["sha256_pixels_then"]
    changed = looks.copy()
    for column in DELIVERY_COLUMNS[1:]:
        changed |= both[column] != both[f"{column}_then"]
    moved = looks & both["sha256_pixels"].isin(previous["sha256_pixels"])
    return {
        "added_share": _share(len(products) - len(both), len(previous)),
        "removed_share": _share(len(previous) - len(both), len(previous)),
        "changed_share": _share(int(changed.sum()), len(previous)),
        "moved_images_share": _share(int(moved.sum()), len(previous)),
    }


def _pictures(products: pd.DataFrame, measures: pd.DataFrame) -> pd.DataFrame:
    """Measures of the products' pictures; of one that was kept from an earlier night, none."""
    of_image = measures.rename(columns={"path": "image"}).drop(columns=[ID_COLUMN])
    return products[["image", "sha256_bytes"]].merge(of_image, on=["image", "sha256_bytes"])


def _shift(tonight: pd.DataFrame, before: pd.DataFrame, name: str) -> float:
    if name not in before:  # a night from before this figure was measured: nothing to compare
        return 0.0
    change = abs(tonight[name].mean() - before[name].mean())
    spread = before[name].std(ddof=0)
    if spread > 0:
        return float(change / spread)
    return 0.0 if change == 0 else math.inf


def _with_measures(products: pd.DataFrame, measures: pd.DataFrame) -> pd.DataFrame:
    of_image = measures.rename(columns={"path": "image"})
    return products.merge(of_image, on="image", how="left", validate="many_to_one")


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
