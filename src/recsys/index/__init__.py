"""Nearest neighbours: plan, build and open a FAISS index, search it, measure its recall."""

from recsys.index.build import Index, build, open_index, save
from recsys.index.plan import plan
from recsys.index.recall import RecallReport, measure_recall
from recsys.index.search import Neighbours, search

__all__ = [
    "Index",
    "Neighbours",
    "RecallReport",
    "build",
    "measure_recall",
    "open_index",
    "plan",
    "save",
    "search",
]
