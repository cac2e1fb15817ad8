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

__all__ = [
    "Delivery",
    "PlantedFaults",
    "changes",
    "draw_catalog",
    "merge_styles",
    "open_delivery",
    "planted_faults",
    "row_digests",
    "surviving_images",
    "without_products",
]
