"""How well a trained classifier names images it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recsys.errors import ArtifactInvalid, BadInput
from recsys.training.stored import read_classifier

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
    classes, logits = _logits(folder, pixels, chosen)
    predicted = np.asarray(classes)[logits.argmax(axis=1)]
    present, support = np.unique(names, return_counts=True)
    recall = recall_score(names, predicted, labels=present, average=None, zero_division=0.0)
    return Classification(
        images=len(chosen),
        accuracy=float(accuracy_score(names, predicted)),
        recall={str(name): float(share) for name, share in zip(present, recall, strict=True)},
        support={str(name): int(count) for name, count in zip(present, support, strict=True)},
    )


def predict_probabilities(
    folder: Path,
    pixels: npt.NDArray[np.uint8],
    rows: Sequence[int] | npt.NDArray[np.int64],
) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
    """What the classifier of a folder written by `train` makes of some rows.

    Parameters
    ----------
    folder
        Holds ``classifier.keras`` and ``labels.json``.
    pixels
        uint8 [n, height, width, 3]; a memory map is read batch by batch.
    rows
        The rows to judge, at least one. Probabilities are honest only for images that the
        classifier was not trained on.

    Returns
    -------
    classes, probabilities
        The labels it knows, and float32 [rows, classes] in the order of ``rows``, each row
        summing to 1.

    Raises
    ------
    BadInput
        No rows.
    ArtifactInvalid
        The classifier or its labels cannot be read, or do not fit each other or the images.
    """
    chosen = np.asarray(rows, dtype=np.int64)
    if len(chosen) == 0:
        raise BadInput("predict probabilities: no rows to judge")
    in_file_order, back = np.unique(chosen, return_inverse=True)
    classes, logits = _logits(folder, pixels, in_file_order)
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return classes, logits[back]


def _logits(
    folder: Path, pixels: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]
) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
    """The article types, and the classifier's float32 [rows, classes] before the softmax."""
    heads, classifier = read_classifier(folder)
    classes = next(iter(heads.values()))
    if classifier.input_shape[1:] != pixels.shape[1:]:
        raise ArtifactInvalid(
            f"classifier in {folder}: it takes images {classifier.input_shape[1:]}, but the"
            f" images are {pixels.shape[1:]}"
        )
    logits = np.empty((len(rows), len(classes)), np.float32)
    for start in range(0, len(rows), _BATCH_SIZE):
        batch = np.asarray(pixels[rows[start : start + _BATCH_SIZE]])
        outputs = classifier(batch, training=False)
        logits[start : start + _BATCH_SIZE] = outputs[0] if len(classifier.outputs) > 1 else outputs
    return classes, logits
