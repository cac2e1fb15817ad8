"""Read one delivery of products and pictures, whatever its layout, or draw a sample of one.

A delivery is the whole catalog or a delta, which is laid over the catalog accepted last.
"""

from recsys.catalog.delivery import Delivery
from recsys.catalog.drawn import PlantedFaults, draw_catalog, planted_faults
from recsys.catalog.layouts import open_delivery
from recsys.catalog.merge import (
    changes,
    merge_styles,
    row_digests,
    surviving_images,
    without_products,
)
from recsys.catalog.rows import only_products, products_in, rows_by_product, with_rows

__all__ = [
    "Delivery",
    "PlantedFaults",
    "changes",
    "draw_catalog",
    "merge_styles",
    "only_products",
    "open_delivery",
    "planted_faults",
    "products_in",
    "row_digests",
    "rows_by_product",
    "surviving_images",
    "with_rows",
    "without_products",
]
