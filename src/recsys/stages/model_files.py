"""The files of a model, as a folder that the training room reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from recsys.stages.night import Night
from recsys.stages.task import scratch_folder

MODEL_FILES: Final = ("embedder.tflite", "classifier.keras", "labels.json", "history.json")


@contextmanager
def model_folder(night: Night, model: str) -> Iterator[Path]:
    """`MODEL_FILES` of a models commit in a scratch folder, while the block lasts."""
    with scratch_folder(night) as folder:
        for name in MODEL_FILES:
            night.store.materialise(model, folder, f"/{name}")
        yield folder
