"""What a night knew of single products: picture, labels, side of the split, doubts.

Read by pyarrow straight from the committed tables, without pandas: a trace should answer
before one has wondered whether it hangs.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from recsys import names
from recsys.artifacts.catalog import ATTRIBUTES, NAME_COLUMN, ValidatedCatalog
from recsys.errors import FileMissing
from recsys.stages.night import Night, Opened

# The tables' paths stand in `recsys.stages.frames`, which loads pandas.
_PRODUCTS = "/products.parquet"
_SPLIT = "/split.parquet"
_LABEL_ISSUES = "/label_issues.parquet"


@dataclass(frozen=True)
class ProductFacts:
    """One product as a release holds it.

    ``picture`` is (commit, path), ``sha256`` of the picture's bytes; ``side`` is empty when
    the split is not known; ``label_issue`` holds ``suggested``, ``rank`` and
    ``self_confidence`` when the label is in doubt.
    """

    product: str
    name: str
    labels: dict[str, str]
    picture: tuple[str, str]
    sha256: str
    side: str
    label_issue: dict[str, Any]


def product_facts(
    night: Night, validated_ref: str, products: Collection[str], beside: Sequence[str]
) -> list[ProductFacts]:
    """The facts of these products; those that the catalog does not hold are left out.

    ``beside`` are refs of commits among which the split and the label report are looked for.
    """
    validated = night.open(validated_ref, ValidatedCatalog)
    rows = _rows(night, validated_ref, _PRODUCTS, "id", products)
    commit_of = {names.parse_ref(ref)[0]: ref for ref in beside}
    digests = [row["sha256_pixels"] for row in rows]
    sides = {
        row["pixels_sha256"]: row["side"]
        for row in _rows(night, commit_of.get(names.SPLITS), _SPLIT, "pixels_sha256", digests)
    }
    issues = {
        row["id"]: {key: row[key] for key in ("suggested", "rank", "self_confidence")}
        for row in _rows(night, commit_of.get(names.LABEL_REPORTS), _LABEL_ISSUES, "id", products)
    }
    return [
        ProductFacts(
            product=row["id"],
            name=row[NAME_COLUMN],
            labels={field: row[field] for field in ATTRIBUTES},
            picture=_picture(validated, row),
            sha256=row["sha256_bytes"],
            side=sides.get(row["sha256_pixels"], ""),
            label_issue=issues.get(row["id"], {}),
        )
        for row in rows
    ]


def products_showing(night: Night, validated_ref: str, pictures: Collection[str]) -> list[str]:
    """The products of a validated catalog with one of these pictures (SHA-256 of the bytes)."""
    rows = _rows(night, validated_ref, _PRODUCTS, "sha256_bytes", pictures)
    return [row["id"] for row in rows]


def _picture(validated: Opened[ValidatedCatalog], row: dict[str, Any]) -> tuple[str, str]:
    if row["kept"]:
        return validated.ref, f"/kept/{row['image']}"
    return validated.artifact.catalog, f"/images/{row['image']}"


def _rows(
    night: Night, ref: str | None, path: str, column: str, values: Collection[str]
) -> list[dict[str, Any]]:
    """The table's rows with one of these values; none when there is no such table."""
    if ref is None:
        return []
    try:
        content = night.read(ref, path)
    except FileMissing:
        return []
    # Neither `read_table` nor pyarrow.compute: both load pandas.
    table = pq.ParquetFile(io.BytesIO(content)).read()
    wanted = set(values)
    places = [row for row, value in enumerate(table[column].to_pylist()) if value in wanted]
    return [row for place in places for row in table.slice(place, 1).to_pylist()]
