"""How good a model's neighbours are; pure functions over vectors and labels."""

from recsys.evaluation.retrieval import RetrievalFigures, evaluate_retrieval
from recsys.evaluation.table import figures_table

__all__ = ["RetrievalFigures", "evaluate_retrieval", "figures_table"]
