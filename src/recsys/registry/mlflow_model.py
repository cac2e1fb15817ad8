"""The exported embedder as an MLflow model that anybody can load."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.errors import BadInput

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

MODEL_FILE = "embedder.tflite"
_CODE_FILE = Path(__file__).with_name("pyfunc_embedder.py")
# What running the logged model takes; versions are those of the locks. Given, so that MLflow
# does not spend 16 s on loading the model in a process of its own to find out.
_REQUIREMENTS = ("mlflow==3.17.2", "ai-edge-litert==2.3.0", "numpy")


def save(model: Path, folder: Path, run_id: str, model_id: str, location: str) -> None:
    """Write the pyfunc model to a local folder."""
    with warnings.catch_warnings():
        # Said by MLflow about its own classes, when it is imported.
        warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType", UserWarning)
        # Not "from mlflow import pyfunc": that gives a stand-in which imports later.
        import mlflow.pyfunc
        from mlflow.models import Model

    signature, example = _signature(model)
    mlflow.pyfunc.save_model(
        str(folder),
        mlflow_model=Model(artifact_path=location, run_id=run_id, model_id=model_id),
        python_model=str(_CODE_FILE),
        artifacts={"embedder": str(model)},
        signature=signature,
        input_example=example,
        pip_requirements=list(_REQUIREMENTS),
    )


def _signature(model: Path) -> tuple[ModelSignature, Any]:
    """The signature that the file itself declares, and one white image as the example."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    try:
        interpreter = Interpreter(model_path=str(model))
        given = interpreter.get_input_details()[0]
        returned = interpreter.get_output_details()[0]
    except ValueError as error:
        raise BadInput(f"nothing to register: {model} is not a LiteRT file ({error})") from error
    images = (-1, *(int(size) for size in given["shape"][1:]))
    vectors = (-1, int(returned["shape"][-1]))
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype(given["dtype"]), images)]),
        Schema([TensorSpec(np.dtype(returned["dtype"]), vectors)]),
    )
    return signature, np.full((1, *images[1:]), 255, given["dtype"])
