"""How good a model is: neighbours, names, weak slices, exposure; pure functions of arrays."""

from recsys.evaluation.change import ndcg_changes
from recsys.evaluation.classification import Naming, evaluate_naming
from recsys.evaluation.exposure import exposure_figures
from recsys.evaluation.health import largest_duplicate_distance
from recsys.evaluation.pictures import picture_figures
from recsys.evaluation.relevance import MAIN, RELEVANCES, relevances
from recsys.evaluation.retrieval import Retrieval, evaluate_retrieval
from recsys.evaluation.slices import find_slices, slice_table
from recsys.evaluation.table import (
    figures_table,
    largest_falls,
    least_label_recall_high,
    slices_table,
)

__all__ = [
    "MAIN",
    "RELEVANCES",
    "Naming",
    "Retrieval",
    "evaluate_naming",
    "evaluate_retrieval",
    "exposure_figures",
    "figures_table",
    "find_slices",
    "largest_duplicate_distance",
    "largest_falls",
    "least_label_recall_high",
    "ndcg_changes",
    "picture_figures",
    "relevances",
    "slice_table",
    "slices_table",
]
