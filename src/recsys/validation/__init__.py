"""Measure every row and image of a delivery; split good products from quarantined ones."""

from __future__ import annotations

from recsys.validation.duplicates import DuplicateGroups, find_duplicates, thumbnails
from recsys.validation.measures import measure_changed, measure_images
from recsys.validation.rows import ParsedRows, parse_rows
from recsys.validation.sorting import SortedCatalog, apply_row_failures, sort_out
from recsys.validation.tables import (
    candidates_table,
    delivery_table,
    drift_table,
    products_table,
)

__all__ = [
    "DuplicateGroups",
    "ParsedRows",
    "SortedCatalog",
    "apply_row_failures",
    "candidates_table",
    "delivery_table",
    "drift_table",
    "find_duplicates",
    "measure_changed",
    "measure_images",
    "parse_rows",
    "products_table",
    "sort_out",
    "thumbnails",
]
