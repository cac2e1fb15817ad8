"""Nearest neighbours: plan, choose, build and open a FAISS index, search it, measure its recall."""

from recsys.index.build import Index, build, open_index, save
from recsys.index.plan import plan
from recsys.index.recall import FilteredRecall, RecallReport, measure_recall
from recsys.index.search import Neighbours, exact_scores, search
from recsys.index.tune import Candidate, Choice, choose
from recsys.index.ways import Way, way_of

__all__ = [
    "Candidate",
    "Choice",
    "FilteredRecall",
    "Index",
    "Neighbours",
    "RecallReport",
    "Way",
    "build",
    "choose",
    "exact_scores",
    "measure_recall",
    "open_index",
    "plan",
    "save",
    "search",
    "way_of",
]
