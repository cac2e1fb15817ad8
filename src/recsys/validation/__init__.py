"""Measure every row and image of a delivery; split good products from quarantined ones."""

from __future__ import annotations

from recsys.validation.measures import measure_images
from recsys.validation.rows import ParsedRows, parse_rows
from recsys.validation.sorting import SortedCatalog, sort_out
from recsys.validation.tables import delivery_table, products_table

__all__ = [
    "ParsedRows",
    "SortedCatalog",
    "delivery_table",
    "measure_images",
    "parse_rows",
    "products_table",
    "sort_out",
]
