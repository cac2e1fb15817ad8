"""Export the embedder for LiteRT and prove that it computes what Keras computes.

Importing this module loads TensorFlow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter


def export_embedder(embedder: Any, path: Path) -> None:
    """Write the embedder as float32 LiteRT of built-in operations only.

    The file takes uint8 [n, height, width, 3] and gives float32 [n, dimension]; n is 1
    until the interpreter's input is resized.
    """
    embedder.export(
        path,
        format="litert",
        verbose=False,
        target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]},
    )


def parity(embedder: Any, path: Path, pixels: npt.NDArray[np.uint8]) -> float:
    """Largest absolute difference between Keras and the exported file on these images.

    The file is run by LiteRT itself, as serving does (TensorFlow's own interpreter is
    deprecated).

    ``pixels`` is uint8 [n, height, width, 3], n at least 1.
    """
    interpreter = Interpreter(model_path=str(path))
    position = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(position, pixels.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(position, pixels)
    interpreter.invoke()
    exported = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    expected = embedder(pixels, training=False).numpy()
    return float(np.abs(exported - expected).max())
