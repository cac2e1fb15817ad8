"""The product table that serving maps into memory: ids, names, attributes, filters.

numpy files only, so that the serving environment needs nothing else and its workers
share the pages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from recsys.artifacts.base import require
from recsys.artifacts.digests import canonical_json
from recsys.errors import ProductUnknown, QueryRejected

FILES = (
    "product_ids.npy",
    "product_names.npy",
    "product_attributes.npy",
    "product_vocabulary.json",
)
_ALLOWED_SHOWN = 12


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
    """

    ids: npt.NDArray[np.bytes_]
    names: npt.NDArray[np.bytes_]
    codes: npt.NDArray[np.int32]
    vocabulary: dict[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        rows = len(self.ids)
        require(len(self.names) == rows, f"{rows} product ids but {len(self.names)} names")
        require(
            self.codes.shape == (rows, len(self.vocabulary)),
            f"attribute codes have shape {self.codes.shape},"
            f" expected {(rows, len(self.vocabulary))}",
        )
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
        return tuple(self.vocabulary)

    @classmethod
    def from_columns(
        cls,
        ids: Sequence[str],
        product_names: Sequence[str],
        attributes: Mapping[str, Sequence[str]],
    ) -> Self:
        """Build from plain columns of equal length."""
        vocabulary: dict[str, tuple[str, ...]] = {}
        codes = np.zeros((len(ids), len(attributes)), np.int32)
        for position, (field, values) in enumerate(attributes.items()):
            distinct, inverse = np.unique(np.asarray(values, dtype=str), return_inverse=True)
            vocabulary[field] = tuple(str(value) for value in distinct)
            codes[:, position] = inverse
        return cls(_utf8(ids), _utf8(product_names), codes, vocabulary)

    def save(self, folder: Path) -> None:
        """Write the table's four files (`FILES`)."""
        np.save(folder / FILES[0], self.ids, allow_pickle=False)
        np.save(folder / FILES[1], self.names, allow_pickle=False)
        np.save(folder / FILES[2], self.codes, allow_pickle=False)
        (folder / FILES[3]).write_bytes(
            canonical_json(
                {"fields": [[field, list(values)] for field, values in self.vocabulary.items()]}
            )
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Map the table's files into memory."""
        ids, product_names, codes = (
            np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in FILES[:3]
        )
        fields = json.loads((folder / FILES[3]).read_bytes())["fields"]
        return cls(ids, product_names, codes, {field: tuple(values) for field, values in fields})

    def kept(self, mask: npt.NDArray[np.bool_]) -> Self:
        """The rows where the mask ([n] bool) is true, with the same vocabulary."""
        return type(self)(self.ids[mask], self.names[mask], self.codes[mask], self.vocabulary)

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

    def describe(self, row: int) -> dict[str, Any]:
        """``product_id``, ``name`` and ``attributes`` of one row."""
        return {
            "product_id": bytes(self.ids[row]).decode(),
            "name": bytes(self.names[row]).decode(),
            "attributes": {
                field: values[self.codes[row, position]]
                for position, (field, values) in enumerate(self.vocabulary.items())
            },
        }

    def mask(self, where: Mapping[str, str | Sequence[str]]) -> npt.NDArray[np.bool_]:
        """[n] bool: the rows that satisfy every condition; a list means any of its values.

        Raises
        ------
        QueryRejected
            A field or a value that the release does not have; says which are allowed.
        """
        keep = np.ones(len(self), bool)
        for field, wanted in where.items():
            if field not in self.vocabulary:
                raise QueryRejected(
                    f"where: unknown field {field[:80]!r}; allowed: {', '.join(self.fields)}"
                )
            values = self.vocabulary[field]
            accepted = []
            for value in [wanted] if isinstance(wanted, str) else wanted:
                if value not in values:
                    shown = ", ".join(values[:_ALLOWED_SHOWN])
                    more = (
                        f" and {len(values) - _ALLOWED_SHOWN} more"
                        if len(values) > _ALLOWED_SHOWN
                        else ""
                    )
                    raise QueryRejected(
                        f"where: {field} has no value {value[:80]!r}; allowed: {shown}{more}"
                    )
                accepted.append(values.index(value))
            keep &= np.isin(self.codes[:, self.fields.index(field)], accepted)
        return keep


def _utf8(texts: Sequence[str]) -> npt.NDArray[np.bytes_]:
    return np.asarray([text.encode() for text in texts], dtype=np.bytes_)
