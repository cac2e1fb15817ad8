"""Pictures altered so little that nobody sees it, and so that the classifier errs most.

Fast gradient sign method: Goodfellow, Shlens and Szegedy, "Explaining and Harnessing
Adversarial Examples" (2015), against the classifier's own answer instead of the true label
(Kurakin, Goodfellow and Bengio, "Adversarial Machine Learning at Scale", 2017), so that
pictures of labels that it never learned can be attacked too.

Importing this module loads TensorFlow.
"""

from __future__ import annotations

from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

SCALE_LAYER: Final = "scale"
_BATCH_SIZE: Final = 128


def attacked(
    classifier: Any, logits: Any, pixels: npt.NDArray[np.uint8], epsilon: int
) -> npt.NDArray[np.uint8]:
    """Every value moved by ``epsilon`` steps of 255, the way that raises the loss.

    ``pixels`` is uint8 [n, height, width, 3], and so is the answer; ``classifier`` has a layer
    named ``scale`` right after its input, and ``logits`` is its output to attack.
    """
    tf.config.experimental.enable_op_determinism()  # a sign hangs on a gradient's last bit
    scale = classifier.get_layer(SCALE_LAYER)
    rest = keras.Model(scale.output, logits)
    altered = np.empty_like(pixels)
    for start in range(0, len(pixels), _BATCH_SIZE):
        batch = tf.constant(pixels[start : start + _BATCH_SIZE], tf.float32)
        step = epsilon * tf.sign(_gradient(scale, rest, batch))
        altered[start : start + _BATCH_SIZE] = tf.clip_by_value(batch + step, 0, 255).numpy()
    return altered


def _gradient(scale: Any, rest: Any, batch: Any) -> Any:
    """Of the loss by the pixels, [n, height, width, 3] float32."""
    with tf.GradientTape() as tape:
        tape.watch(batch)
        logits = rest(scale(batch), training=False)
        answer = tf.stop_gradient(tf.argmax(logits, axis=1))
        loss = keras.losses.sparse_categorical_crossentropy(answer, logits, from_logits=True)
    return tape.gradient(loss, batch)
