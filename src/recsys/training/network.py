"""The network: a backbone, an embedding of one block an attribute, and a head on each block.

The similarity of two products is the cosine of their embeddings. The embedding is made of
blocks of unit length, each weighted by the root of its attribute's share, so that the
similarity is the weighted mean of the blocks' own cosines: how alike in type, in gender, in
colour. Each block learns to name its attribute.

Importing this module loads TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from recsys.training.backbones import apply_backbone, scale_of
from recsys.training.heads import Head
from recsys.training.parameters import TrainingParameters

# Cosine similarities lie in [-1, 1]; without a scale the softmax over them cannot be sharp.
_COSINE_SCALE = 16.0
_HIDDEN = 256


@dataclass(frozen=True)
class Network:
    """Three views of one set of weights, all on uint8 [n, height, width, 3].

    ``classifier`` gives one output a head, the article type first: logits [n, classes]
    float32. ``embedder`` gives float32 [n, dimension], unit norm. ``whole`` gives the
    classifier's outputs and then the embedding; it is what is kept.
    """

    classifier: Any
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
    x = apply_backbone(parameters.backbone, parameters.backbone_weights, x)
    # Not pooled: products stand in the middle of their pictures, so where something is tells
    # what it is. A convolution as large as the grid is a dense layer on all of it, and unlike
    # one after `Flatten` its export takes batches of any size.
    x = layers.Conv2D(_HIDDEN, x.shape[1:3], use_bias=False, name="hidden")(x)
    x = layers.BatchNormalization(momentum=0.9, name="hidden_norm")(x)
    x = layers.ReLU(name="hidden_relu")(x)
    x = layers.GlobalAveragePooling2D(name="vector")(x)
    # Norms and angles are taken in float32, also where the convolutions run in float16.
    exact = keras.DTypePolicy("float32")
    blocks, logits = [], []
    for head, dimension in zip(heads, _dimensions(parameters, heads), strict=True):
        block = layers.Dense(dimension, dtype=exact, name=f"project_{head.name}")(x)
        block = layers.UnitNormalization(dtype=exact, name=f"unit_{head.name}")(block)
        sharp = layers.Rescaling(_COSINE_SCALE, dtype=exact, name=f"sharpen_{head.name}")(block)
        logits.append(layers.Dense(len(head.classes), dtype=exact, name=head.name)(sharp))
        weight = head.share**0.5
        blocks.append(layers.Rescaling(weight, dtype=exact, name=f"share_{head.name}")(block))
    whole = layers.Concatenate(name="blocks", dtype=exact)(blocks) if len(blocks) > 1 else blocks[0]
    embedding = layers.UnitNormalization(dtype=exact, name="embedding")(whole)
    return Network(
        classifier=keras.Model(pixels, logits, name="classifier"),
        embedder=keras.Model(pixels, embedding, name="embedder"),
        whole=keras.Model(pixels, [*logits, embedding], name="whole"),
    )


def _dimensions(parameters: TrainingParameters, heads: Sequence[Head]) -> list[int]:
    """The lengths of the heads' blocks: half for the article type, the rest shared equally."""
    dimension, others = parameters.embedding_dim, len(heads) - 1
    if others == 0:
        return [dimension]
    each = max(1, dimension // (2 * others))
    return [dimension - each * others] + [each] * others
