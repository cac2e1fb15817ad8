"""The model as MLflow loads it: decoded images in, embeddings out.

MLflow copies this file into the logged model and runs it there (models-from-code: no
pickle), so it imports nothing of this project. Input: uint8 [n, height, width, 3] RGB as
`recsys.images` decodes and sizes it; output: float32 [n, dimension], unit norm.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

import mlflow
import numpy as np
from mlflow.pyfunc.model import PythonModel, PythonModelContext

_BATCH_SIZE = 64


class ProductEmbedder(PythonModel):
    """Runs ``embedder.tflite`` with LiteRT, one batch at a time."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the interpreter; MLflow calls this once after loading."""
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=context.artifacts["embedder"])
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        # A LiteRT interpreter is not safe for two threads; a scoring server has several.
        self._lock = Lock()

    # The plain ndarray hint: MLflow warns about a hint that it takes for a schema, and about
    # none at all. The signature logged with the model is what is checked.
    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> Any:
        """Embed uint8 [n, height, width, 3]; gives float32 [n, dimension], unit norm."""
        pixels = np.asarray(model_input, dtype=np.uint8)
        batches = range(0, len(pixels), _BATCH_SIZE)
        with self._lock:
            return np.concatenate([self._embed(pixels[at : at + _BATCH_SIZE]) for at in batches])

    def _embed(self, batch: Any) -> Any:
        self._interpreter.resize_tensor_input(self._input, batch.shape)
        self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(self._input, batch)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)


mlflow.models.set_model(ProductEmbedder())
