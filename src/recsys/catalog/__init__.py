"""Read one delivery of products and pictures, whatever its layout, or draw a sample of one."""

from recsys.catalog.delivery import Delivery
from recsys.catalog.drawn import PlantedFaults, draw_catalog, planted_faults
from recsys.catalog.layouts import open_delivery

__all__ = ["Delivery", "PlantedFaults", "draw_catalog", "open_delivery", "planted_faults"]
