"""Export the embedder for LiteRT and prove that it computes what Keras computes.

Importing this module loads TensorFlow.
"""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

_KERAS_FACTS = "metadata.json"
_KERAS_CONFIG = "config.json"
_SHARED_OBJECT = re.compile(rb'(?<="shared_object_id": )\d+')


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


def save_classifier(classifier: Any, path: Path) -> None:
    """Write the classifier as a ``.keras`` archive; equal weights give equal bytes.

    Keras notes when it saved, and where in memory shared objects lay: the times are left
    out, the objects are numbered.
    """
    noted = path.with_name(f"noted-{path.name}")
    classifier.save(noted)
    with zipfile.ZipFile(noted) as saved, zipfile.ZipFile(path, "w") as written:
        for name in saved.namelist():
            content = saved.read(name)
            if name == _KERAS_FACTS:
                facts = json.loads(content)
                content = json.dumps({"keras_version": facts["keras_version"]}).encode()
            elif name == _KERAS_CONFIG:
                content = _numbered(content)
            written.writestr(zipfile.ZipInfo(name), content)  # dated 1980-01-01
    noted.unlink()


def _numbered(config: bytes) -> bytes:
    numbers: dict[bytes, int] = {}
    return _SHARED_OBJECT.sub(
        lambda found: str(numbers.setdefault(found[0], len(numbers))).encode(), config
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
