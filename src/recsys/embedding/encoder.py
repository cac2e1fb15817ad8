"""One exported model, ready to turn pixels into unit vectors.

The catalog's vectors and those of shoppers' queries come from this one class. It needs
numpy and LiteRT only, so that the serving environment shares it.

Images go through the model one by one: a vector then depends on its own image alone, never
on the images that happened to stand beside it, so one that was made on another night can
stand beside tonight's. Whole batches would be some 5 % faster.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

from recsys.artifacts.base import require
from recsys.errors import ArtifactInvalid

Pixels = npt.NDArray[np.uint8]
Vectors = npt.NDArray[np.float32]


class Encoder:
    """An ``embedder.tflite``; safe to use from several threads, which take turns.

    The model takes uint8 [batch, height, width, 3] RGB and gives float32
    [batch, dimension], unit norm; its preprocessing is inside.

    Raises
    ------
    ArtifactInvalid
        Not a LiteRT model, or one with other inputs or outputs; says what was found.
    """

    def __init__(self, model: Path, *, threads: int = 1) -> None:
        self._model = model
        self._threads = threads
        self._lock = Lock()  # LiteRT interpreters are not thread-safe
        self._interpreter = self._open()
        inputs, outputs = (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
        )
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        _, height, width, _ = inputs[0]["shape"]
        self._image_size = (int(width), int(height))
        self._dimension = int(outputs[0]["shape"][1])

    @property
    def image_size(self) -> tuple[int, int]:
        """(width, height) of the images that the model takes, in pixels."""
        return self._image_size

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self._dimension

    def embed(self, pixels: Pixels) -> Vectors:
        """Embed images of the model's size.

        Parameters
        ----------
        pixels
            [n, height, width, 3] uint8 RGB.

        Returns
        -------
            [n, dimension] float32, unit norm, as far as the model keeps its word.

        Raises
        ------
        ArtifactInvalid
            The pixels have another shape or dtype than the model takes.
        """
        width, height = self._image_size
        require(
            pixels.dtype == np.uint8 and pixels.shape[1:] == (height, width, 3),
            f"{self._model.name} takes uint8 [n, {height}, {width}, 3],"
            f" found {pixels.dtype} {list(pixels.shape)}",
        )
        vectors = np.empty((len(pixels), self._dimension), np.float32)
        with self._lock:
            for row in range(len(pixels)):
                self._interpreter.set_tensor(self._input, pixels[row : row + 1])
                self._interpreter.invoke()
                vectors[row] = self._interpreter.get_tensor(self._output)[0]
        return vectors

    def _open(self) -> Interpreter:
        try:
            interpreter = Interpreter(model_path=str(self._model), num_threads=self._threads)
            inputs = interpreter.get_input_details()
            _check_input(self._model.name, inputs)
            interpreter.resize_tensor_input(
                inputs[0]["index"], [1, *inputs[0]["shape"][1:]], strict=False
            )
            interpreter.allocate_tensors()
            _check_output(self._model.name, interpreter.get_output_details())
        except (ValueError, RuntimeError, OSError) as error:
            raise ArtifactInvalid(
                f"{self._model.name} is no LiteRT model that can run ({error});"
                " train again or take it from its models commit"
            ) from error
        return interpreter


def _check_input(name: str, inputs: list[dict[str, Any]]) -> None:
    shapes = [(tensor["dtype"].__name__, tensor["shape"].tolist()) for tensor in inputs]
    require(
        len(shapes) == 1
        and shapes[0][0] == "uint8"
        and len(shapes[0][1]) == 4
        and shapes[0][1][3] == 3
        and min(shapes[0][1]) > 0,
        f"{name}: expected one input, uint8 [batch, height, width, 3], found {shapes}",
    )


def _check_output(name: str, outputs: list[dict[str, Any]]) -> None:
    shapes = [(tensor["dtype"].__name__, tensor["shape"].tolist()) for tensor in outputs]
    require(
        len(shapes) == 1
        and shapes[0][0] == "float32"
        and len(shapes[0][1]) == 2
        and shapes[0][1][0] == 1
        and shapes[0][1][1] > 0,
        f"{name}: expected one output, float32 [1, dimension], found {shapes}",
    )
