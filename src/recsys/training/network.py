"""The network: a backbone, a hidden layer, a head an attribute, and the embedding behind them.

The similarity of two products is, to a factor, the chance that they share an attribute's value,
each attribute with its share, and what the classes leave unsaid is filled by their looks:

    sum over attributes of share · P(both have one value)  +  rest · rest' · cosine(look, look')

Each attribute's probabilities are mapped to codes of its classes, and those, weighted by the
root of the share, are the first components of the embedding. The squared length of them is how
sure the network is; what is missing to a little more than one is the weight of the look, the
hidden layer in whitened directions.

Importing this module loads TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from recsys.training.backbones import apply_backbone, scale_of
from recsys.training.heads import Head
from recsys.training.parameters import TrainingParameters

_HIDDEN = 256
# Above one, so that looks also order products of which every class is certain.
_REST_OF = 1.1
# Directions in which pictures hardly differ are noise: their scale stops growing here.
_LEAST_DEVIATION = 0.003


@dataclass(frozen=True)
class Network:
    """Four views of one set of weights, all on uint8 [n, height, width, 3].

    ``classifier`` gives one output a head, the article type first: logits [n, classes]
    float32. ``hidden`` gives the layer that the heads read, float32 [n, 256]. ``embedder``
    gives float32 [n, dimension], unit norm. ``whole`` gives the classifier's outputs and then
    the embedding; it is what is kept.
    """

    classifier: Any
    hidden: Any
    embedder: Any
    whole: Any


def build_network(parameters: TrainingParameters, heads: Sequence[Head]) -> Network:
    """Build an untrained network, the scaling of pixels inside.

    Every layer is named, so that the exported bytes do not depend on how many networks the
    process has built before.
    """
    layers = keras.layers
    shape = (parameters.image_height, parameters.image_width, 3)
    pixels = keras.Input(shape, dtype="uint8", name="pixels")
    factor, offset = scale_of(parameters.backbone)
    x = layers.Rescaling(factor, offset=offset, name="scale")(pixels)
    x = apply_backbone(parameters, x)
    # Not pooled: products stand in the middle of their pictures, so where something is tells
    # what it is.
    x = layers.Flatten(name="places")(x)
    x = layers.Dense(_HIDDEN, use_bias=False, name="hidden")(x)
    x = layers.BatchNormalization(momentum=0.9, name="hidden_norm")(x)
    x = hidden = layers.ReLU(name="hidden_relu")(x)
    if parameters.dropout:
        x = layers.Dropout(parameters.dropout, seed=parameters.seed, name="dropout")(hidden)
    # Probabilities and angles are taken in float32, also where the convolutions run in float16.
    exact = keras.DTypePolicy("float32")
    logits = [layers.Dense(len(head.classes), dtype=exact, name=head.name)(x) for head in heads]
    embedding = _embed(hidden, logits, heads, parameters, exact)
    return Network(
        classifier=keras.Model(pixels, logits, name="classifier"),
        hidden=keras.Model(pixels, hidden, name="hidden"),
        embedder=keras.Model(pixels, embedding, name="embedder"),
        whole=keras.Model(pixels, [*logits, embedding], name="whole"),
    )


def _embed(
    hidden: Any,
    logits: Sequence[Any],
    heads: Sequence[Head],
    parameters: TrainingParameters,
    exact: Any,
) -> Any:
    """What the heads say, and what they leave to the look."""
    layers = keras.layers
    lengths = _code_lengths(heads, parameters.embedding_dim // 2)
    said = []
    for head, output in zip(heads, logits, strict=True):
        chances = layers.Softmax(dtype=exact, name=f"chances_{head.name}")(output)
        codes = layers.Dense(
            lengths[head.name],
            use_bias=False,
            trainable=False,
            dtype=exact,
            name=f"code_{head.name}",
        )
        coded = codes(chances)
        codes.set_weights([_codes(len(head.classes), lengths[head.name], parameters.seed)])
        weight = head.share**0.5
        said.append(layers.Rescaling(weight, dtype=exact, name=f"share_{head.name}")(coded))
    x = layers.Concatenate(dtype=exact, name="said")(said) if len(said) > 1 else said[0]
    sure = layers.Dot(axes=1, dtype=exact, name="sure")([x, x])
    rest = layers.Rescaling(-1.0, offset=_REST_OF, dtype=exact, name="rest")(sure)
    length = parameters.embedding_dim - sum(lengths.values())
    look = layers.Dense(length, trainable=False, dtype=exact, name="look")(hidden)
    look = layers.UnitNormalization(dtype=exact, name="look_unit")(look)
    look = layers.Multiply(dtype=exact, name="look_rest")([look, rest])
    x = layers.Concatenate(dtype=exact, name="blocks")([x, look])
    return layers.UnitNormalization(dtype=exact, name="embedding")(x)


def whiten_look(network: Network, batches: Iterable[npt.NDArray[np.uint8]]) -> None:
    """Set the directions of the look: the main components of the hidden layer, alike in scale.

    Whitening keeps the directions that all products share from drowning those in which they
    differ (Jégou and Chum, "Negative evidences and co-occurences in image retrieval", 2012).

    ``batches`` are pictures of the train side, uint8 [b, height, width, 3].
    """
    from sklearn.decomposition import PCA

    hidden = np.concatenate(
        [np.asarray(network.hidden(batch, training=False), np.float32) for batch in batches]
    )
    layer = network.embedder.get_layer("look")
    kernel = np.zeros(layer.kernel.shape, np.float32)
    found = PCA(min(kernel.shape[1], *hidden.shape), svd_solver="full").fit(hidden)
    deviations = np.sqrt(found.explained_variance_)
    scaled = found.components_ / (deviations + _LEAST_DEVIATION * deviations[0] + 1e-6)[:, None]
    kernel[:, : len(scaled)] = scaled.T
    layer.set_weights([kernel, -found.mean_ @ kernel])


def _code_lengths(heads: Sequence[Head], dimension: int) -> dict[str, int]:
    """By head, the components of its codes: shared equally, none has more than classes."""
    lengths: dict[str, int] = {}
    for number, head in enumerate(sorted(heads, key=lambda head: len(head.classes))):
        left = dimension - sum(lengths.values())
        lengths[head.name] = max(1, min(len(head.classes), left // (len(heads) - number)))
    return lengths


def _codes(classes: int, length: int, seed: int) -> npt.NDArray[np.float32]:
    """[classes, length] a unit vector a class, at right angles as far as there is room."""
    if length >= classes:
        return np.eye(classes, length, dtype=np.float32)
    drawn = np.linalg.qr(np.random.default_rng(seed).normal(size=(classes, length)))[0]
    codes: npt.NDArray[np.float32] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return codes.astype(np.float32)
