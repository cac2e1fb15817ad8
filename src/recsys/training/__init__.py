"""Learn the image embedding: split, network, training, export, classification figures.

TensorFlow is loaded by calling `train` or `classify`, never by importing this room.
"""

from recsys.training.classify import Classification, classify
from recsys.training.parameters import TrainingParameters
from recsys.training.split import assign_sides
from recsys.training.train import TrainedNetwork, train
from recsys.training.trained_classifier import TrainedClassifier

__all__ = [
    "Classification",
    "TrainedClassifier",
    "TrainedNetwork",
    "TrainingParameters",
    "assign_sides",
    "classify",
    "train",
]
