"""How far a catalog has gone from the one that a model learned from."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from recsys.artifacts.catalog import ID_COLUMN


def catalog_change(
    products: pd.DataFrame, learned: pd.DataFrame, attributes: Sequence[str]
) -> dict[str, float]:
    """Shares of the products then: ``added_share``, ``removed_share``, ``pictures_share``
    (shows another picture), ``labels_share`` (another value of ``attributes``) and
    ``changed_share`` (any of these, a product once); ``new_labels`` counts values that no
    product had then.

    Parameters
    ----------
    products, learned
        Tonight's products and those that were learned from, with ``id``, ``sha256_pixels``
        and ``attributes``; the latter may not be empty.
    attributes
        What the network learns; others may change without a model knowing less.
    """
    columns = [ID_COLUMN, "sha256_pixels", *attributes]
    both = products[columns].merge(learned[columns], on=ID_COLUMN, suffixes=("", "_then"))
    pictures = both["sha256_pixels"] != both["sha256_pixels_then"]
    labels = pd.Series(False, index=both.index)
    for column in attributes:
        labels |= both[column] != both[f"{column}_then"]
    added, removed = len(products) - len(both), len(learned) - len(both)
    changed = int((pictures | labels).sum())
    known = len(learned)
    return {
        "products": float(len(products)),
        "added_share": added / known,
        "removed_share": removed / known,
        "pictures_share": int(pictures.sum()) / known,
        "labels_share": int(labels.sum()) / known,
        "changed_share": (added + removed + changed) / known,
        "new_labels": float(
            sum(len(set(products[name]) - set(learned[name])) for name in attributes)
        ),
    }
