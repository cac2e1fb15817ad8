"""A trained network as Keras has it: the reference that the exported file must agree with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from recsys.errors import ArtifactInvalid
from recsys.training.stored import read_classifier

EMBEDDING_LAYER: Final = "embedding"
_BATCH_SIZE: Final = 256

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class TrainedClassifier:
    """``classifier.keras`` of a folder written by `train`, and the article types that it knows.

    All its methods take uint8 [n, height, width, 3].
    """

    classes: tuple[str, ...]
    _classifier: Any

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read classifier and labels.

        Raises
        ------
        ArtifactInvalid
            They cannot be read, or the classifier has no embedding.
        """
        heads, classifier = read_classifier(folder)
        if EMBEDDING_LAYER not in {layer.name for layer in classifier.layers}:
            raise ArtifactInvalid(f"classifier in {folder}: it has no layer {EMBEDDING_LAYER}")
        return cls(next(iter(heads.values())), classifier)

    def embed(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """[n, dimension] float32, unit norm, by Keras."""
        embedder = self._embedder()
        return _in_batches(lambda batch: embedder(batch, training=False), pixels)

    def name_labels(self, pixels: Pixels) -> list[str]:
        """[n] the label that it gives each picture."""
        import keras

        model = keras.Model(self._classifier.input, self._logits)
        logits = _in_batches(lambda batch: model(batch, training=False), pixels)
        return [self.classes[number] for number in logits.argmax(axis=1)]

    def attacked(self, pixels: Pixels, epsilon: int) -> Pixels:
        """The pictures moved by ``epsilon`` steps of 255 so that this classifier errs most."""
        from recsys.training.attack import attacked

        return attacked(self._classifier, self._logits, pixels, epsilon)

    def multiply_adds(self) -> int:
        """Multiplications (each with its addition) that one embedding takes.

        Each kernel is used once for every place of its layer's output: exact for dense layers
        and convolutions, depthwise and grouped ones among them.
        """
        return sum(
            int(np.prod(weight.shape)) * _places(layer.output.shape)
            for layer in self._embedder()._flatten_layers(include_self=False)
            for weight in layer.weights
            if len(weight.shape) > 1
        )

    @property
    def _logits(self) -> Any:
        """The output that names the label."""
        return self._classifier.outputs[0]

    def _embedder(self) -> Any:
        import keras

        embedding = self._classifier.get_layer(EMBEDDING_LAYER).output
        return keras.Model(self._classifier.input, embedding)


def _places(shape: tuple[int | None, ...]) -> int:
    """Places of an output [n, height, width, channels] or [n, channels]."""
    return int(np.prod([size or 1 for size in shape[1:-1]]))


def _in_batches(run: Callable[[Pixels], Any], pixels: Pixels) -> npt.NDArray[np.float32]:
    parts = [
        np.asarray(run(np.asarray(pixels[start : start + _BATCH_SIZE])))
        for start in range(0, len(pixels), _BATCH_SIZE)
    ]
    return np.concatenate(parts)
