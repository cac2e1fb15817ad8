"""Train the network on a memory map of images and export it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from recsys.artifacts.digests import canonical_json
from recsys.errors import BadInput

if TYPE_CHECKING:
    from recsys.training.network import Network

EMBEDDER_FILE = "embedder.tflite"
CLASSIFIER_FILE = "classifier.keras"
LABELS_FILE = "labels.json"
HISTORY_FILE = "history.json"

_PARITY_IMAGES = 128
# Keras' names and ours, in the order in which they are reported.
_METRICS = {
    "loss": "loss",
    "accuracy": "accuracy",
    "val_loss": "validation_loss",
    "val_accuracy": "validation_accuracy",
}

OnEpoch = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class TrainingParameters:
    """What training depends on beside the data. ``learning_rate`` 0 leaves it untrained."""

    embedding_dim: int
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    image_width: int
    image_height: int


@dataclass(frozen=True)
class TrainedNetwork:
    """What training wrote into ``folder``, and its figures.

    ``history`` has one mapping an epoch (loss, accuracy, validation_loss,
    validation_accuracy); the files hold the weights of ``best_epoch`` (counted from 1).
    ``parity_max_difference`` is the largest difference of an embedding's component
    between Keras and the exported file.
    """

    folder: Path
    classes: tuple[str, ...]
    history: tuple[dict[str, float], ...]
    best_epoch: int
    validation_accuracy: float
    parity_max_difference: float
    parameters_count: int
    wall_seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class _Sides:
    """Classes, the class of each row (-1: not a class) and the rows of two sides."""

    classes: tuple[str, ...]
    codes: npt.NDArray[np.int64]
    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]


def train(
    pixels: npt.NDArray[np.uint8],
    labels: Sequence[str],
    sides: Sequence[str],
    parameters: TrainingParameters,
    out: Path,
    on_epoch: OnEpoch | None = None,
) -> TrainedNetwork:
    """Train on the train side, keep the epoch that is best on the validation side, export.

    The same arguments give the same files: seeds are set and TensorFlow's operations are
    made deterministic, for the whole process (some per cent slower in a short trial).

    Parameters
    ----------
    pixels
        uint8 [n, height, width, 3]; a memory map is read batch by batch.
    labels, sides
        [n] class names, and train, validation or test. Classes are the labels of the train
        side; validation images of other labels are left out.
    out
        Folder to make (it may be there, empty): ``embedder.tflite``, ``classifier.keras``,
        ``labels.json``, ``history.json``. It appears complete or not at all.
    on_epoch
        Called with the epoch (from 1) and its metrics.

    Raises
    ------
    BadInput
        Lengths, shape or dtype do not fit; fewer than two classes to train; nothing to
        validate on; ``out`` holds files.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    _check(pixels, labels, sides, parameters, out)
    chosen = _choose(labels, sides)
    network, history = _fit(pixels, chosen, parameters, on_epoch)
    accuracies = [epoch["validation_accuracy"] for epoch in history]
    best = int(np.argmax(accuracies))
    figures: dict[str, Any] = {
        "best_epoch": best + 1,
        "validation_accuracy": accuracies[best],
        "parameters_count": int(network.classifier.count_params()),
    }
    sample = np.linspace(0, len(pixels) - 1, min(_PARITY_IMAGES, len(pixels))).astype(np.int64)
    figures["parity_max_difference"] = _write(
        network, chosen.classes, {"epochs": history, **figures}, np.asarray(pixels[sample]), out
    )
    return TrainedNetwork(
        folder=out,
        classes=chosen.classes,
        history=tuple(history),
        wall_seconds=time.perf_counter() - wall,
        cpu_seconds=time.process_time() - cpu,
        **figures,
    )


def _check(
    pixels: npt.NDArray[np.uint8],
    labels: Sequence[str],
    sides: Sequence[str],
    parameters: TrainingParameters,
    out: Path,
) -> None:
    expected = (len(labels), parameters.image_height, parameters.image_width, 3)
    if pixels.shape != expected or pixels.dtype != np.uint8:
        raise BadInput(
            f"training images: found {pixels.dtype} {list(pixels.shape)},"
            f" expected uint8 {list(expected)} (products, height, width, 3)"
        )
    if len(sides) != len(labels):
        raise BadInput(f"training: {len(sides)} sides for {len(labels)} labels")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"training: {out} is not an empty folder; give another or remove it")


def _choose(labels: Sequence[str], sides: Sequence[str]) -> _Sides:
    on = np.asarray(sides, dtype=str)
    names = np.asarray(labels, dtype=str)
    classes = np.unique(names[on == "train"])
    if len(classes) < 2:
        raise BadInput(
            f"training: the train side has {len(classes)} labels; a classifier needs two or more"
        )
    codes = np.searchsorted(classes, names).clip(max=len(classes) - 1).astype(np.int64)
    codes[classes[codes] != names] = -1
    validation = np.flatnonzero((on == "validation") & (codes >= 0))
    if len(validation) == 0:
        raise BadInput("training: no validation image has a label of the train side")
    return _Sides(tuple(map(str, classes)), codes, np.flatnonzero(on == "train"), validation)


def _fit(
    pixels: npt.NDArray[np.uint8],
    chosen: _Sides,
    parameters: TrainingParameters,
    on_epoch: OnEpoch | None,
) -> tuple[Network, list[dict[str, float]]]:
    """Train; the network comes back with its best epoch's weights."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read once, when TensorFlow loads
    import keras
    import tensorflow as tf

    from recsys.training.batches import batches
    from recsys.training.memory import keep_freed_memory
    from recsys.training.network import build_network

    keep_freed_memory()
    keras.utils.set_random_seed(parameters.seed)
    tf.config.experimental.enable_op_determinism()
    network = build_network(
        width=parameters.image_width,
        height=parameters.image_height,
        dimension=parameters.embedding_dim,
        classes=len(chosen.classes),
        seed=parameters.seed,
    )
    steps = -(-len(chosen.train) // parameters.batch_size) * parameters.epochs
    network.classifier.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(parameters.learning_rate, steps),
            name="adam",  # the second in a process would be another
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,  # XLA gained nothing on a CPU and costs its compilation
    )
    history: list[dict[str, float]] = []

    def record(epoch: int, logs: Mapping[str, float]) -> None:
        history.append({ours: float(logs[theirs]) for theirs, ours in _METRICS.items()})
        if on_epoch is not None:
            on_epoch(epoch + 1, history[-1])

    network.classifier.fit(
        batches(
            pixels,
            chosen.codes,
            chosen.train,
            parameters.batch_size,
            shuffle_seed=parameters.seed,
        ),
        validation_data=batches(pixels, chosen.codes, chosen.validation, parameters.batch_size),
        epochs=parameters.epochs,
        shuffle=False,  # `batches` shuffles
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_end=record),
            # Never stops early; its use is to put the best epoch's weights back.
            keras.callbacks.EarlyStopping(
                "val_accuracy",
                mode="max",
                patience=parameters.epochs + 1,
                restore_best_weights=True,
            ),
        ],
    )
    return network, history


def _write(
    network: Network,
    classes: Sequence[str],
    history: dict[str, Any],
    sample: npt.NDArray[np.uint8],
    out: Path,
) -> float:
    """Write the four files beside ``out``, then move them there; returns the parity."""
    from recsys.training.export import export_embedder, parity, save_classifier

    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        export_embedder(network.embedder, partial / EMBEDDER_FILE)
        difference = parity(network.embedder, partial / EMBEDDER_FILE, sample)
        save_classifier(network.classifier, partial / CLASSIFIER_FILE)
        (partial / LABELS_FILE).write_bytes(canonical_json(list(classes)))
        (partial / HISTORY_FILE).write_bytes(
            canonical_json({**history, "parity_max_difference": difference})
        )
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return difference
