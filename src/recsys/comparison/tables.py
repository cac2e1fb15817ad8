"""Two versions of a table, row by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

_SHOWN = 3


@dataclass(frozen=True)
class TableDifference:
    """Rows are named by the table's key, its first column by default.

    Attributes
    ----------
    rows
        How many rows the old table has, and the new one.
    removed, added
        Keys of rows that only the old table has, or only the new one.
    changed
        Column → keys of the rows that both have and in which it differs; columns that only
        one table has are here with no keys.
    largest
        Numeric column → largest absolute difference.
    """

    rows: tuple[int, int]
    removed: tuple[str, ...]
    added: tuple[str, ...]
    changed: dict[str, tuple[str, ...]]
    largest: dict[str, float]

    @property
    def changed_rows(self) -> tuple[str, ...]:
        """Keys of the rows that both have and that differ somewhere, sorted."""
        return tuple(sorted({key for keys in self.changed.values() for key in keys}))

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.changed)

    def __str__(self) -> str:
        columns = ", ".join(self._column(name) for name in self.changed)
        counts = (
            (f"{len(self.changed_rows)} of {self.rows[0]} rows differ ({columns})", self.changed),
            (f"{len(self.removed)} rows are gone", self.removed),
            (f"{len(self.added)} rows are new", self.added),
        )
        some = (*self.changed_rows, *self.removed, *self.added)[:_SHOWN]
        said = "; ".join(text for text, there in counts if there)
        return f"{said}, such as {', '.join(some)}" if some else said

    def _column(self, name: str) -> str:
        return f"{name} by up to {self.largest[name]:.3g}" if name in self.largest else name


def compare_tables(
    old: pd.DataFrame, new: pd.DataFrame, key: str | None = None
) -> TableDifference | None:
    """What differs, or None; the order of the rows does not matter.

    Rows that share a key are matched in order, and named ``key#2`` from the second on.
    """
    key = key or str(old.columns[0])
    before, after = _keyed(old, key), _keyed(new, key)
    both = before.index.intersection(after.index)
    changed: dict[str, tuple[str, ...]] = {}
    largest: dict[str, float] = {}
    for name in dict.fromkeys([*before.columns, *after.columns]):
        if name not in before.columns or name not in after.columns:
            changed[str(name)] = ()
            continue
        left, right = before.loc[both, name], after.loc[both, name]
        differs = ~((left == right) | (left.isna() & right.isna())).to_numpy(bool)
        if differs.any():
            changed[str(name)] = tuple(both[differs])
            if _numeric(left) and _numeric(right):
                gap = np.abs(left.to_numpy(float) - right.to_numpy(float))[differs]
                largest[str(name)] = float(np.nanmax(gap)) if not np.isnan(gap).all() else np.nan
    found = TableDifference(
        (len(old), len(new)),
        tuple(before.index.difference(after.index)),
        tuple(after.index.difference(before.index)),
        changed,
        largest,
    )
    return found or None


def _keyed(table: pd.DataFrame, key: str) -> pd.DataFrame:
    names = table[key].astype(str)
    turn = names.groupby(names).cumcount()
    return table.drop(columns=key).set_axis(
        pd.Index(names.where(turn == 0, names + "#" + (turn + 1).astype(str))), axis=0
    )


def _numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
