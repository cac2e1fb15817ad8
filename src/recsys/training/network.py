"""The network: a small convolutional classifier whose penultimate layer is the embedding.

Importing this module loads TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

# (filters, stride) of each 3×3 convolution. The first layers see the most pixels and cost
# the most, so they shrink the image at once: 18 M multiply-adds in all for 60×80.
_CONVOLUTIONS = ((32, 2), (48, 2), (96, 2), (96, 1), (192, 2))
# Cosine similarities lie in [-1, 1]; without a scale the softmax over them cannot be sharp.
_COSINE_SCALE = 16.0


@dataclass(frozen=True)
class Network:
    """Two views of one set of weights, both on uint8 [n, height, width, 3].

    ``classifier`` gives logits [n, classes] float32, ``embedder`` float32
    [n, dimension], unit norm.
    """

    classifier: Any
    embedder: Any


def build_network(*, width: int, height: int, dimension: int, classes: int, seed: int) -> Network:
    """Build an untrained network; scaling and augmentation (training only) are inside.

    Every layer is named, so that the exported bytes do not depend on how many networks the
    process has built before.
    """
    layers = keras.layers
    pixels = keras.Input((height, width, 3), dtype="uint8", name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(pixels)
    x = layers.RandomFlip("horizontal", seed=seed, name="flip")(x)
    for number, (filters, stride) in enumerate(_CONVOLUTIONS, start=1):
        x = layers.Conv2D(
            filters, 3, strides=stride, padding="same", use_bias=False, name=f"conv{number}"
        )(x)
        # 0.9 and not Keras' 0.99: a small catalog has few steps to learn the averages in.
        x = layers.BatchNormalization(momentum=0.9, name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(dimension, name="project")(x)
    embedding = layers.UnitNormalization(name="embedding")(x)
    logits = layers.Dense(classes, name="logits")(
        layers.Rescaling(_COSINE_SCALE, name="sharpen")(embedding)
    )
    return Network(
        classifier=keras.Model(pixels, logits, name="classifier"),
        embedder=keras.Model(pixels, embedding, name="embedder"),
    )
