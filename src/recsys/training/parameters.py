"""What training depends on beside the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recsys.artifacts.catalog import LABEL_COLUMN


@dataclass(frozen=True)
class TrainingParameters:
    """What training depends on beside the data.

    ``learning_rate`` is the peak, reached after ``warmup`` (a share of all steps) and lowered
    to nothing by a cosine; 0 leaves the network untrained. ``likeness`` are the attributes
    that are learned, each with its share of the similarity. ``backbone`` is a name of
    `recsys.training.backbones`; ``backbone_weights`` a file of its weights, or empty, and
    ``backbone_digest`` that file's SHA-256; ``patch`` is the side in pixels of what the first
    layer of ``patches`` takes together.
    ``dropout`` is the share of the hidden layer that a training step leaves out.
    ``shift`` is how far pictures are moved at most in training, in pixels; ``class_balance``
    0 draws pictures as they come, 1 every article type equally often. ``patience`` is after
    how many epochs without a gain training stops; 0: never.
    """

    embedding_dim: int
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    image_width: int
    image_height: int
    likeness: Mapping[str, float] = field(default_factory=lambda: {LABEL_COLUMN: 1.0})
    backbone: str = "patches"
    backbone_weights: str = ""
    backbone_digest: str = ""
    patch: int = 4
    warmup: float = 0.1
    weight_decay: float = 0.0
    dropout: float = 0.0
    shift: int = 0
    class_balance: float = 0.0
    patience: int = 0
    mixed_precision: bool = False
