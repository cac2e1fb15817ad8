"""Products set aside: since when and why, what stays on the shelf, what a person let through."""

from recsys.quarantine.ledger import keep_on_shelf, update_ledger
from recsys.quarantine.overrides import Override, Overrides, without_released

__all__ = ["Override", "Overrides", "keep_on_shelf", "update_ledger", "without_released"]
