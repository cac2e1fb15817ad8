"""Train the network on a memory map of images and export it."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from recsys.artifacts.digests import canonical_json
from recsys.errors import BadInput
from recsys.training.heads import Head, choose_heads
from recsys.training.parameters import TrainingParameters
from recsys.training.runtime import prepare_tensorflow, use_mixed_precision
from recsys.training.stored import CLASSIFIER_FILE, LABELS_FILE

if TYPE_CHECKING:
    from recsys.training.network import Network

EMBEDDER_FILE = "embedder.tflite"
HISTORY_FILE = "history.json"

_PARITY_IMAGES = 128
_LOOK_IMAGES = 8192

OnEpoch = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class TrainedNetwork:
    """What training wrote into ``folder``, and its figures.

    ``classes`` are by head, the article type first. ``history`` has one mapping an epoch (loss,
    accuracy, validation_loss, validation_accuracy, and the accuracies of the other heads); the
    files hold the weights of ``best_epoch`` (counted from 1). ``parity_max_difference`` is the
    largest difference of an embedding's component between Keras and the exported file.
    """

    folder: Path
    classes: Mapping[str, tuple[str, ...]]
    history: tuple[dict[str, float], ...]
    best_epoch: int
    validation_accuracy: float
    parity_max_difference: float
    parameters_count: int
    wall_seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class _Lessons:
    """What is learned, and on which rows."""

    heads: tuple[Head, ...]
    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]


def train(
    pixels: npt.NDArray[np.uint8],
    labels: Mapping[str, Sequence[str]],
    sides: Sequence[str],
    parameters: TrainingParameters,
    out: Path,
    on_epoch: OnEpoch | None = None,
    start: Path | None = None,
) -> TrainedNetwork:
    """Train on the train side, keep the epoch that is best on the validation side, export.

    The same arguments give the same files: seeds are set and TensorFlow's operations are
    made deterministic, for the whole process (some per cent slower in a short trial).

    Parameters
    ----------
    pixels
        uint8 [n, height, width, 3]; a memory map is read batch by batch.
    labels
        By attribute, the values of all n products; the article type among them. Those named in
        ``parameters.likeness`` are learned. Classes are the values of the train side;
        validation images of other article types are left out.
    sides
        [n] train, validation or test.
    out
        Folder to make (it may be there, empty): ``embedder.tflite``, ``classifier.keras``,
        ``labels.json``, ``history.json``. It appears complete or not at all.
    on_epoch
        Called with the epoch (from 1) and its metrics.
    start
        A folder written by an earlier training, to go on from its weights.

    Raises
    ------
    BadInput
        Lengths, shape or dtype do not fit; fewer than two classes to train; nothing to
        validate on; ``out`` holds files.
    ArtifactInvalid
        The model at ``start`` cannot be read, or is of another make.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    _check(pixels, labels, sides, parameters, out)
    lessons = _choose(labels, sides, parameters)
    network, history = _fit(pixels, lessons, parameters, on_epoch, start)
    _look(network, pixels, lessons.train, parameters.batch_size)
    accuracies = [epoch["validation_accuracy"] for epoch in history]
    best = int(np.argmax(accuracies))
    figures: dict[str, Any] = {
        "best_epoch": best + 1,
        "validation_accuracy": accuracies[best],
        "parameters_count": int(network.whole.count_params()),
    }
    sample = np.linspace(0, len(pixels) - 1, min(_PARITY_IMAGES, len(pixels))).astype(np.int64)
    figures["parity_max_difference"] = _write(
        network, lessons.heads, {"epochs": history, **figures}, np.asarray(pixels[sample]), out
    )
    return TrainedNetwork(
        folder=out,
        classes={head.name: head.classes for head in lessons.heads},
        history=tuple(history),
        wall_seconds=time.perf_counter() - wall,
        cpu_seconds=time.process_time() - cpu,
        **figures,
    )


def _check(
    pixels: npt.NDArray[np.uint8],
    labels: Mapping[str, Sequence[str]],
    sides: Sequence[str],
    parameters: TrainingParameters,
    out: Path,
) -> None:
    expected = (len(sides), parameters.image_height, parameters.image_width, 3)
    if pixels.shape != expected or pixels.dtype != np.uint8:
        raise BadInput(
            f"training images: found {pixels.dtype} {list(pixels.shape)},"
            f" expected uint8 {list(expected)} (products, height, width, 3)"
        )
    for name, values in labels.items():
        if len(values) != len(sides):
            raise BadInput(f"training: {len(sides)} sides for {len(values)} labels of {name}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"training: {out} is not an empty folder; give another or remove it")


def _choose(
    labels: Mapping[str, Sequence[str]], sides: Sequence[str], parameters: TrainingParameters
) -> _Lessons:
    on = np.asarray(sides, dtype=str)
    train_rows = np.flatnonzero(on == "train")
    heads = choose_heads(labels, train_rows, parameters.likeness)
    validation = np.flatnonzero((on == "validation") & heads[0].known)
    if len(validation) == 0:
        raise BadInput("training: no validation image has a label of the train side")
    return _Lessons(heads, train_rows, validation)


def _fit(
    pixels: npt.NDArray[np.uint8],
    lessons: _Lessons,
    parameters: TrainingParameters,
    on_epoch: OnEpoch | None,
    start: Path | None,
) -> tuple[Network, list[dict[str, float]]]:
    """Train; the network comes back in float32 with its best epoch's weights."""
    prepare_tensorflow()
    import keras
    import tensorflow as tf

    from recsys.training.batches import Augmentation, batches
    from recsys.training.memory import keep_freed_memory
    from recsys.training.network import build_network
    from recsys.training.schedule import callbacks_of, optimizer_of
    from recsys.training.warm_start import take_weights

    keep_freed_memory()
    keras.utils.set_random_seed(parameters.seed)
    tf.config.experimental.enable_op_determinism()
    mixed = use_mixed_precision(parameters.mixed_precision)
    with _policy("mixed_float16" if mixed else "float32"):
        network = build_network(parameters, lessons.heads)
    if start is not None:
        take_weights(network.classifier, lessons.heads, start)
    steps = -(-len(lessons.train) // parameters.batch_size) * parameters.epochs
    network.classifier.compile(
        optimizer_of(parameters, steps),
        [
            keras.losses.SparseCategoricalCrossentropy(from_logits=True, name=head.name)
            for head in lessons.heads
        ],
        weighted_metrics=[
            [keras.metrics.SparseCategoricalAccuracy(name="accuracy")] for _ in lessons.heads
        ],
        jit_compile=False,  # XLA gained nothing on a CPU and costs its compilation
    )
    validated = batches(pixels, lessons.heads, lessons.validation, parameters.batch_size)
    _make_variables(network.classifier, next(iter(validated)))
    history: list[dict[str, float]] = []

    def record(epoch: int, logs: Mapping[str, float]) -> None:
        history.append(_metrics(logs, lessons.heads))
        if on_epoch is not None:
            on_epoch(epoch + 1, history[-1])

    network.classifier.fit(
        batches(
            pixels,
            lessons.heads,
            lessons.train,
            parameters.batch_size,
            augmented=Augmentation(parameters.seed, parameters.shift, parameters.class_balance),
        ),
        validation_data=validated,
        epochs=parameters.epochs,
        shuffle=False,  # the batches are
        verbose=0,
        callbacks=callbacks_of(parameters, f"val_{_accuracy_of(lessons.heads)}", record),
    )
    if mixed:
        trained = network.classifier.get_weights()
        network = build_network(parameters, lessons.heads)
        network.classifier.set_weights(trained)
    return network, history


def _make_variables(classifier: Any, batch: Any) -> None:
    """Those of the optimiser and of the losses; else the first step makes them, traced twice."""
    pictures, classes, weights = batch
    classifier.optimizer.build(classifier.trainable_variables)
    classifier.compute_loss(y=classes, y_pred=classifier(pictures), sample_weight=weights)


def _look(
    network: Network,
    pixels: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
    batch_size: int,
) -> None:
    """Whiten by pictures spread over the train side, in the order of the file."""
    from recsys.training.network import whiten_look

    spread = np.linspace(0, len(rows) - 1, min(_LOOK_IMAGES, len(rows))).astype(np.int64)
    chosen = np.sort(rows[spread])
    whiten_look(
        network,
        (
            np.asarray(pixels[chosen[start : start + batch_size]])
            for start in range(0, len(chosen), batch_size)
        ),
    )


@contextmanager
def _policy(name: str) -> Iterator[None]:
    """Layers built within compute in this precision; their weights stay float32."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _accuracy_of(heads: Sequence[Head], position: int = 0) -> str:
    """What Keras calls a head's accuracy: only one of several outputs is named."""
    return f"{heads[position].name}_accuracy" if len(heads) > 1 else "accuracy"


def _metrics(logs: Mapping[str, float], heads: Sequence[Head]) -> dict[str, float]:
    """Loss and accuracies under our names, in the order in which they are reported."""
    metrics = {}
    for theirs, ours in (("", ""), ("val_", "validation_")):
        metrics[f"{ours}loss"] = float(logs[f"{theirs}loss"])
        for position, head in enumerate(heads):
            name = f"{ours}accuracy" if position == 0 else f"{ours}accuracy_{head.name}"
            metrics[name] = float(logs[f"{theirs}{_accuracy_of(heads, position)}"])
    return metrics


def _write(
    network: Network,
    heads: Sequence[Head],
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
        save_classifier(network.whole, partial / CLASSIFIER_FILE)
        named = [{"name": head.name, "classes": list(head.classes)} for head in heads]
        (partial / LABELS_FILE).write_bytes(canonical_json(named))
        (partial / HISTORY_FILE).write_bytes(
            canonical_json({**history, "parity_max_difference": difference})
        )
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return difference
