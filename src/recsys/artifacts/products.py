"""The product table that serving maps into memory: ids, names, attributes, filters.

numpy files only, so that the serving environment needs nothing else and its workers
share the pages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import getitem
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from recsys.artifacts.base import require
from recsys.artifacts.catalog import STOCK_COLUMN, UNKNOWN
from recsys.artifacts.conditions import Condition
from recsys.artifacts.digests import canonical_json
from recsys.errors import ProductUnknown, QueryRejected

FILES = (
    "product_ids.npy",
    "product_names.npy",
    "product_attributes.npy",
    "product_vocabulary.json",
)
_ALLOWED_SHOWN = 12
# What may stand behind the attributes' codes in their file, in this order.
_GROUP: Final = "group"
_MORE_COLUMNS: Final = (_GROUP, STOCK_COLUMN)
_STOCK_VALUES: Final = ("false", "true")
_NUMBER: Final = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?")

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True)
class ProductTable:
    """Products in row order, the order of the vectors.

    Attributes
    ----------
    ids
        [n] bytes (UTF-8), unique.
    names
        [n] bytes (UTF-8).
    codes
        [n, n_fields] int32, each a position in that field's vocabulary.
    vocabulary
        Field → its values, in code order.
    groups
        [n] int32, the same number for products that show the same picture; None when no
        two do, or when nobody looked.
    in_stock
        [n] int32, 1 for what can be bought and 0 for what cannot; None when the catalog
        does not say, and all can.
    """

    ids: npt.NDArray[np.bytes_]
    names: npt.NDArray[np.bytes_]
    codes: Codes
    vocabulary: dict[str, tuple[str, ...]]
    groups: Codes | None = None
    in_stock: Codes | None = None

    def __post_init__(self) -> None:
        rows = len(self.ids)
        require(len(self.names) == rows, f"{rows} product ids but {len(self.names)} names")
        require(
            self.codes.shape == (rows, len(self.vocabulary)),
            f"attribute codes have shape {self.codes.shape},"
            f" expected {(rows, len(self.vocabulary))}",
        )
        for name, column in self._more_columns.items():
            require(column.shape == (rows,), f"{name} has shape {column.shape}, not {(rows,)}")
        object.__setattr__(self, "_rows", {bytes(item): row for row, item in enumerate(self.ids)})
        require(len(self._row_of) == rows, "a product id stands twice in the product table")

    @property
    def _row_of(self) -> dict[bytes, int]:
        rows: dict[bytes, int] = self.__dict__["_rows"]
        return rows

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that a query may filter on."""
        return (*self.vocabulary, STOCK_COLUMN)

    @property
    def numeric_fields(self) -> tuple[str, ...]:
        """Those whose known values are numbers, all of them."""
        return tuple(field for field in self.vocabulary if self._numbers(field) is not None)

    @classmethod
    def from_columns(
        cls,
        ids: Sequence[str],
        product_names: Sequence[str],
        attributes: Mapping[str, Sequence[str]],
        *,
        groups: Sequence[str] | None = None,
        in_stock: Sequence[bool] | None = None,
    ) -> Self:
        """Build from plain columns of equal length.

        ``groups`` name the picture that each product shows: where no two show the same,
        they are left out.
        """
        vocabulary: dict[str, tuple[str, ...]] = {}
        codes = np.zeros((len(ids), len(attributes)), np.int32)
        for position, (field, values) in enumerate(attributes.items()):
            distinct, inverse = np.unique(np.asarray(values, dtype=str), return_inverse=True)
            vocabulary[field] = tuple(str(value) for value in distinct)
            codes[:, position] = inverse
        return cls(
            _utf8(ids),
            _utf8(product_names),
            codes,
            vocabulary,
            groups=None if groups is None or len(set(groups)) == len(groups) else _coded(groups),
            in_stock=None if in_stock is None else np.asarray(in_stock, np.int32),
        )

    def save(self, folder: Path) -> None:
        """Write the table's four files (`FILES`)."""
        np.save(folder / FILES[0], self.ids, allow_pickle=False)
        np.save(folder / FILES[1], self.names, allow_pickle=False)
        more = self._more_columns
        codes = np.column_stack([self.codes, *more.values()]) if more else self.codes
        np.save(folder / FILES[2], codes, allow_pickle=False)
        vocabulary: dict[str, Any] = {
            "fields": [[field, list(values)] for field, values in self.vocabulary.items()]
        }
        if more:
            vocabulary["columns"] = list(more)
        (folder / FILES[3]).write_bytes(canonical_json(vocabulary))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Map the table's files into memory.

        Raises
        ------
        ArtifactInvalid
            The files do not fit together.
        """
        # A map is looked into more slowly than an array over it.
        ids, product_names, codes = (
            np.asarray(np.load(folder / name, mmap_mode="r", allow_pickle=False))
            for name in FILES[:3]
        )
        described = json.loads((folder / FILES[3]).read_bytes())
        fields = {field: tuple(values) for field, values in described["fields"]}
        more = described.get("columns", [])
        require(
            codes.ndim == 2 and codes.shape[1] == len(fields) + len(more),
            f"{FILES[2]} has shape {codes.shape} for {len(fields)} fields and {len(more)} more",
        )
        require(set(more) <= set(_MORE_COLUMNS), f"{FILES[3]} names the columns {more}")
        columns = {name: codes[:, len(fields) + place] for place, name in enumerate(more)}
        return cls(
            ids,
            product_names,
            codes[:, : len(fields)],
            fields,
            columns.get(_GROUP),
            columns.get(STOCK_COLUMN),
        )

    def kept(self, mask: npt.NDArray[np.bool_]) -> Self:
        """The rows where the mask ([n] bool) is true, with the same vocabulary."""
        return type(self)(
            self.ids[mask],
            self.names[mask],
            self.codes[mask],
            self.vocabulary,
            None if self.groups is None else self.groups[mask],
            None if self.in_stock is None else self.in_stock[mask],
        )

    def with_others(
        self, kept: npt.NDArray[np.bool_], others: Self, groups: Codes | None
    ) -> tuple[Self, npt.NDArray[np.int64]]:
        """The rows where the mask is true together with other products, in the order of ids.

        As if all had been built together: the vocabulary holds the values that are in use.

        Parameters
        ----------
        kept
            [n] bool.
        others
            [t] products with the same fields, none of whose ids is kept.
        groups
            [n + t] the group of each row of both, None for none.

        Returns
        -------
            The table, [m] rows, and [m] where each comes from: a row of this table, or n and
            a row of the others.
        """
        both = np.concatenate([np.flatnonzero(kept), len(self) + np.arange(len(others))])
        ids = np.concatenate([self.ids[kept], others.ids])
        order = np.argsort(ids, kind="stable")
        origin = both[order].astype(np.int64)
        vocabulary: dict[str, tuple[str, ...]] = {}
        columns = []
        for place, (field, values) in enumerate(self.vocabulary.items()):
            codes = [self.codes[kept, place], others.codes[:, place]]
            vocabulary[field], column = _together((values, others.vocabulary[field]), codes)
            columns.append(column[order])
        says_stock = self.in_stock is not None or others.in_stock is not None
        stock = np.concatenate([self._stock[kept], others._stock])[order] if says_stock else None
        table = type(self)(
            ids[order],
            np.concatenate([self.names[kept], others.names])[order],
            np.column_stack(columns) if columns else np.zeros((len(order), 0), np.int32),
            vocabulary,
            None if groups is None else groups[origin],
            stock,
        )
        return table, origin

    def row(self, product_id: str) -> int:
        """The row of a product.

        Raises
        ------
        ProductUnknown
            No such product.
        """
        row = self._row_of.get(product_id.encode("utf-8", "replace"))
        if row is None:
            raise ProductUnknown(
                f"product_id {product_id[:80]!r} is not among the {len(self)} products"
                " of this release"
            )
        return row

    def rows(self, product_ids: Sequence[str]) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
        """The rows of the ids that are here, and the ids that are not, both in their order."""
        found = [(item, self._row_of.get(item.encode("utf-8", "replace"))) for item in product_ids]
        known = [row for _, row in found if row is not None]
        return np.array(known, np.int64), tuple(item for item, row in found if row is None)

    def describe(self, row: int) -> dict[str, Any]:
        """``product_id``, ``name`` and ``attributes`` of one row."""
        codes = self.codes[row].tolist()
        attributes = dict(
            zip(self.vocabulary, map(getitem, self.vocabulary.values(), codes), strict=True)
        )
        if self.in_stock is not None:
            attributes[STOCK_COLUMN] = _STOCK_VALUES[self.in_stock[row]]
        return {
            "product_id": bytes(self.ids[row]).decode(),
            "name": bytes(self.names[row]).decode(),
            "attributes": attributes,
        }

    def shared_attributes(self, one: int, other: int) -> dict[str, str]:
        """The attributes that two rows have in common; an unknown value is none."""
        first, second = (self.describe(row)["attributes"] for row in (one, other))
        return {
            field: value
            for field, value in first.items()
            if value == second[field] and value != UNKNOWN
        }

    def show_one_picture(self, one: int, other: int) -> bool:
        """Whether two rows show the same picture."""
        return self.groups is not None and bool(self.groups[one] == self.groups[other])

    def showing_the_picture_of(self, row: int) -> int:
        """How many rows show the picture of this one, itself included."""
        return 1 if self.groups is None else int(self._picture_sizes[self.groups[row]])

    @cached_property
    def _picture_sizes(self) -> npt.NDArray[np.int64]:
        """By group, how many rows it has."""
        return np.bincount(np.empty(0, np.int32) if self.groups is None else self.groups)

    def satisfying(self, field: str, condition: Condition) -> npt.NDArray[np.bool_]:
        """[n] bool: the rows that satisfy a condition.

        Raises
        ------
        QueryRejected
            A field or a value that the release does not have, or a range of a field that
            holds no numbers; says which are allowed.
        """
        values, codes = self.coded(field, "where")
        accepted = np.full(len(values), condition.any_of is None)
        for value in condition.any_of or ():
            accepted[self.code(field, value, "where")] = True
        for value in condition.none_of:
            accepted[self.code(field, value, "where")] = False
        if condition.is_range:
            accepted &= self._within(field, condition)
        # One look into a table of the field's values, whatever the condition.
        return accepted[codes]

    def coded(self, field: str, asked_in: str) -> tuple[tuple[str, ...], Codes]:
        """The values of a field in code order, and [n] the code of each row.

        Raises
        ------
        QueryRejected
            No such field; ``asked_in`` is the part of the request that names it.
        """
        if field in self.vocabulary:
            return self.vocabulary[field], self.codes[:, list(self.vocabulary).index(field)]
        if field == STOCK_COLUMN:
            return _STOCK_VALUES, self._stock
        raise QueryRejected(
            f"{asked_in}: unknown field {field[:80]!r}; allowed: {', '.join(self.fields)}"
        )

    def code(self, field: str, value: str, asked_in: str) -> int:
        """The code of a field's value.

        Raises
        ------
        QueryRejected
            No such field, or no product has this value; ``asked_in`` as for `coded`.
        """
        values, _ = self.coded(field, asked_in)
        if value not in values:
            raise QueryRejected(
                f"{asked_in}: {field} has no value {value[:80]!r}; allowed: {_listed(values)}"
            )
        return values.index(value)

    def has(self, field: str, value: str) -> bool:
        """Whether a query may name this value."""
        return field in self.fields and value in self.coded(field, "")[0]

    def _within(self, field: str, condition: Condition) -> npt.NDArray[np.bool_]:
        """[n_values] bool: the values between the bounds."""
        numbers = self._numbers(field)
        if numbers is None:
            raise QueryRejected(
                f"where: {field} holds texts, which are not compared; from and to work on:"
                f" {', '.join(self.numeric_fields) or 'no field of this release'}"
            )
        low = -np.inf if condition.at_least is None else condition.at_least
        high = np.inf if condition.at_most is None else condition.at_most
        within: npt.NDArray[np.bool_] = (numbers >= low) & (numbers <= high)
        return within

    def _numbers(self, field: str) -> npt.NDArray[np.float64] | None:
        """[n_values] a field's values as numbers, unknown ones as NaN; None if they are none."""
        values = self.vocabulary.get(field, ())
        known = [value for value in values if value != UNKNOWN]
        if not known or not all(_NUMBER.fullmatch(value) for value in known):
            return None
        return np.array([float("nan" if value == UNKNOWN else value) for value in values])

    @property
    def _stock(self) -> Codes:
        """[n] `in_stock`, where it is not said 1."""
        all_in_stock = np.broadcast_to(np.int32(1), len(self))
        return all_in_stock if self.in_stock is None else self.in_stock

    @property
    def _more_columns(self) -> dict[str, Codes]:
        """What stands behind the attributes' codes, in the order of the file."""
        columns = zip(_MORE_COLUMNS, (self.groups, self.in_stock), strict=True)
        return {name: column for name, column in columns if column is not None}


def _listed(values: Sequence[str]) -> str:
    more = len(values) - _ALLOWED_SHOWN
    return ", ".join(values[:_ALLOWED_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _together(
    vocabularies: Sequence[tuple[str, ...]], codes: Sequence[Codes]
) -> tuple[tuple[str, ...], Codes]:
    """One vocabulary, sorted, of the values in use, and the rows of all by it."""
    used = [np.unique(part) for part in codes]
    values = sorted(
        {
            vocabulary[code]
            for vocabulary, part in zip(vocabularies, used, strict=True)
            for code in part.tolist()
        }
    )
    code_of = {value: code for code, value in enumerate(values)}
    parts = []
    for vocabulary, part in zip(vocabularies, codes, strict=True):
        new = np.array([code_of.get(value, -1) for value in vocabulary], np.int32)
        parts.append(new[part])
    return tuple(values), np.concatenate(parts)


def _coded(texts: Sequence[str]) -> Codes:
    """[n] int32: equal texts get equal numbers."""
    return np.unique(np.asarray(texts, dtype=str), return_inverse=True)[1].astype(np.int32)


def _utf8(texts: Sequence[str]) -> npt.NDArray[np.bytes_]:
    return np.asarray([text.encode() for text in texts], dtype=np.bytes_)
