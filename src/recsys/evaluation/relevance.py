"""What makes a neighbour relevant: the attributes that it shares with the query."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.artifacts.catalog import LABEL_COLUMN, UNKNOWN

# Suffix of a relevance's figures → the columns in which query and neighbour must agree.
MAIN: Final = ""
RELEVANCES: Final[dict[str, tuple[str, ...]]] = {
    MAIN: (LABEL_COLUMN,),
    "_type_gender": (LABEL_COLUMN, "gender"),
    "_type_colour": (LABEL_COLUMN, "baseColour"),
    "_type_gender_colour": (LABEL_COLUMN, "gender", "baseColour"),
}


def relevances(products: pd.DataFrame) -> dict[str, npt.NDArray[np.int64]]:
    """By suffix, [n] codes: two products are relevant to each other when theirs are equal.

    A product that lacks one of the attributes has -1 and is relevant to none. A relevance
    is left out when the catalog has none of its attributes beyond the type, or they are
    constant: it would be another one again.
    """
    telling = {name for name in products.columns if products[name].nunique() > 1}
    return {
        suffix: _codes(products[list(columns)])
        for suffix, columns in RELEVANCES.items()
        if suffix == MAIN or set(columns[1:]) <= telling
    }


def _codes(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    codes = table.groupby(list(table.columns), sort=True).ngroup().to_numpy(np.int64)
    unknown = table.isin([UNKNOWN]).any(axis=1).to_numpy()
    return np.where(unknown, np.int64(-1), codes)
