"""Decide how tonight's model comes about: kept, fine-tuned, or trained from scratch."""

from recsys.planning.change import catalog_change
from recsys.planning.decision import Champion, Decision, Limits, decide

__all__ = [
    "Champion",
    "Decision",
    "Limits",
    "catalog_change",
    "decide",
]
