"""Which way a search takes, by how many products its filter leaves.

Reading few rows is exact and as quick as any index. Where most products are allowed, the
nearest of all hold enough allowed ones, and no selector has to be made. Between them the
index itself leaves out what is not allowed, and looks further for it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

# Up to so many allowed rows, reading just those takes less than a millisecond.
_FEW_ROWS: Final = 4_096
# From this share on, twice as many candidates hold what is asked for.
_COMMON_SHARE: Final = 0.5
# Up to so many, reading just those is no slower than a selector inside the index.
_SUBSET_UP_TO_ROWS: Final = 20_000


class Way(StrEnum):
    """How the neighbours of a query are found; all lead through the same exact scores."""

    UNFILTERED = "the index"
    SUBSET = "exact on the allowed rows"
    OVER_FETCH = "the index, over-fetched, less what is not allowed"
    SELECTOR = "the index with an ID selector"


def way_of(total: int, allowed: int) -> Way:
    """The way of a search over ``total`` rows of which ``allowed`` may be found."""
    if allowed == total:
        return Way.UNFILTERED
    if allowed <= _FEW_ROWS:
        return Way.SUBSET
    if allowed >= _COMMON_SHARE * total:
        return Way.OVER_FETCH
    return Way.SUBSET if allowed <= _SUBSET_UP_TO_ROWS else Way.SELECTOR
