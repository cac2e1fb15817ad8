"""A network as `train` builds it, before it has learned anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recsys.artifacts.catalog import LABEL_COLUMN
from recsys.training import TrainingParameters

if TYPE_CHECKING:
    from recsys.training.network import Network


def untrained_network(width: int, height: int, dimension: int, classes: int) -> Network:
    from recsys.training.heads import Head
    from recsys.training.network import build_network

    names = tuple(f"class {number}" for number in range(classes))
    head = Head(LABEL_COLUMN, names, np.zeros(0, np.int64), 1.0)
    return build_network(TrainingParameters(dimension, 1, 2, 0.0, 1, width, height), [head])
