"""Plots of how a model was trained and how it does, as PNG files for people to look at.

The same tables give the same bytes. matplotlib is loaded by drawing, not by importing this
room, and nothing of its global state is touched.
"""

from recsys.drawing.confusion import draw_confused_pairs, draw_confusion_matrix
from recsys.drawing.curves import draw_curves
from recsys.drawing.search import draw_search
from recsys.drawing.slices import draw_slices
from recsys.drawing.trade_off import draw_trade_off

__all__ = [
    "draw_confused_pairs",
    "draw_confusion_matrix",
    "draw_curves",
    "draw_search",
    "draw_slices",
    "draw_trade_off",
]
