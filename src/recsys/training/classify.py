"""How well a trained classifier names images it has not seen."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recsys.errors import ArtifactInvalid, BadInput
from recsys.training.train import CLASSIFIER_FILE, LABELS_FILE

_BATCH_SIZE = 256


@dataclass(frozen=True)
class Classification:
    """Figures on ``images`` images. Shares in [0, 1], higher is better.

    ``recall`` and ``support`` are by label of the images judged; a label that the
    classifier never saw in training has recall 0.
    """

    images: int
    accuracy: float
    recall: dict[str, float]
    support: dict[str, int]


def classify(
    folder: Path,
    pixels: npt.NDArray[np.uint8],
    labels: Sequence[str],
    rows: Sequence[int] | npt.NDArray[np.int64],
) -> Classification:
    """Judge the classifier of a folder written by `train` on some rows (say, the test side).

    Parameters
    ----------
    folder
        Holds ``classifier.keras`` and ``labels.json``.
    pixels
        uint8 [n, height, width, 3]; a memory map is read batch by batch.
    labels
        [n] the true labels.
    rows
        The rows to judge, at least one.

    Raises
    ------
    BadInput
        No rows.
    ArtifactInvalid
        The classifier or its labels cannot be read, or do not fit each other or the images.
    """
    from sklearn.metrics import accuracy_score, recall_score

    chosen = np.sort(np.asarray(rows, dtype=np.int64))
    if len(chosen) == 0:
        raise BadInput("classify: no rows to judge; give those of the test side")
    names = np.asarray(labels, dtype=str)[chosen]
    predicted = _predict(folder, pixels, chosen)
    present, support = np.unique(names, return_counts=True)
    recall = recall_score(names, predicted, labels=present, average=None, zero_division=0.0)
    return Classification(
        images=len(chosen),
        accuracy=float(accuracy_score(names, predicted)),
        recall={str(name): float(share) for name, share in zip(present, recall, strict=True)},
        support={str(name): int(count) for name, count in zip(present, support, strict=True)},
    )


def _predict(
    folder: Path, pixels: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.str_]:
    """[rows] the label that the classifier gives to each row."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read once, when TensorFlow loads
    import keras

    try:
        classes = np.asarray(json.loads((folder / LABELS_FILE).read_bytes()), dtype=str)
        classifier = keras.saving.load_model(
            folder / CLASSIFIER_FILE, compile=False, safe_mode=True
        )
    except (OSError, ValueError) as error:
        raise ArtifactInvalid(f"classifier in {folder}: not readable ({error})") from error
    found = (*classifier.input_shape[1:], classifier.output_shape[-1])
    if found != (*pixels.shape[1:], len(classes)):
        raise ArtifactInvalid(
            f"classifier in {folder}: it maps images {found[:-1]} to {found[-1]} classes, but the"
            f" images are {pixels.shape[1:]} and there are {len(classes)} labels"
        )
    codes = [
        np.argmax(
            classifier(np.asarray(pixels[rows[start : start + _BATCH_SIZE]]), training=False),
            axis=1,
        )
        for start in range(0, len(rows), _BATCH_SIZE)
    ]
    named: npt.NDArray[np.str_] = classes[np.concatenate(codes)]
    return named
