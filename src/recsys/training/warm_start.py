"""Begin with the weights of an earlier model instead of random ones.

Importing this module loads TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recsys.errors import ArtifactInvalid
from recsys.training.heads import Head
from recsys.training.stored import read_classifier


def take_weights(classifier: Any, heads: Sequence[Head], start: Path) -> None:
    """Copy into an untrained classifier what a trained one of the same make has learned.

    ``start`` is a folder written by `train`. Classes are matched by name: a new one keeps its
    random weights, one that is gone is left behind.

    Raises
    ------
    ArtifactInvalid
        The earlier model cannot be read, or is of another make.
    """
    known, earlier = read_classifier(start)
    learned = {head.name: head for head in heads}
    theirs = {layer.name: layer.get_weights() for layer in earlier.layers}
    for layer in classifier.layers:
        weights, found = layer.get_weights(), theirs.get(layer.name, [])
        if layer.name in learned and found:
            layer.set_weights(_matched(weights, found, learned[layer.name], known))
        elif [part.shape for part in weights] == [part.shape for part in found]:
            layer.set_weights(found)
        else:
            raise ArtifactInvalid(
                f"model in {start}: its layer {layer.name} does not fit; train from scratch"
            )


def _matched(
    weights: list[Any], earlier: list[Any], head: Head, known: Mapping[str, tuple[str, ...]]
) -> list[Any]:
    """A head's kernel [d, classes] and bias [classes], those of known classes taken over."""
    kernel, bias = (part.copy() for part in weights)
    position = {name: number for number, name in enumerate(known[head.name])}
    ours = np.asarray([at for at, name in enumerate(head.classes) if name in position], np.int64)
    theirs = np.asarray([position[head.classes[at]] for at in ours], np.int64)
    kernel[:, ours] = earlier[0][:, theirs]
    bias[ours] = earlier[1][theirs]
    return [kernel, bias]
