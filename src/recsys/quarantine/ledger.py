"""The quarantine from night to night, and yesterday's good picture while a product is in it."""

from __future__ import annotations

import pandas as pd

FIRST_SEEN = "first_seen"
LAST_SEEN = "last_seen"


def update_ledger(previous: pd.DataFrame | None, tonight: pd.DataFrame, night: str) -> pd.DataFrame:
    """Tonight's quarantine with ``first_seen`` and ``last_seen``.

    A product that stays for the same reason keeps its ``first_seen``; one that was mended
    is not in tonight's table and so leaves by itself.

    Parameters
    ----------
    previous
        The ledger of the night before, or None.
    tonight
        Columns id, reason and whatever else is told; one row a delivered row.
    night
        ``YYYY-MM-DD``.
    """
    ledger = tonight.copy()
    since = {}
    if previous is not None:
        pairs = zip(previous["id"], previous["reason"], strict=True)
        since = dict(zip(pairs, previous[FIRST_SEEN], strict=True))
    ledger[FIRST_SEEN] = pd.Series(
        [since.get(pair, night) for pair in zip(ledger["id"], ledger["reason"], strict=True)],
        ledger.index,
        dtype="str",
    )
    ledger[LAST_SEEN] = pd.Series(night, ledger.index, dtype="str")
    return ledger


def keep_on_shelf(
    products: pd.DataFrame, quarantine: pd.DataFrame, previous_products: pd.DataFrame | None
) -> pd.DataFrame:
    """Yesterday's rows of products that are in tonight's quarantine and nowhere else.

    A shopper should not lose a product because tonight's photo of it is broken: its last
    good row and picture stay. A product that was never good is not here, nor one that the
    delivery no longer names.

    Parameters
    ----------
    products
        Tonight's good products, column id.
    quarantine
        Tonight's quarantine, column id.
    previous_products
        The good products of the last accepted night, or None.
    """
    if previous_products is None:
        return products.head(0)
    troubled = set(quarantine["id"]) - set(products["id"])
    return previous_products[previous_products["id"].isin(troubled)]
