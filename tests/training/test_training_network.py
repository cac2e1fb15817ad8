from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from recsys.artifacts.catalog import LABEL_COLUMN
from recsys.artifacts.digests import sha256_file
from recsys.errors import ArtifactInvalid, BadInput
from recsys.training import (
    Classification,
    TrainedNetwork,
    TrainingParameters,
    classify,
    train,
)
from training.untrained import untrained_network

COLOURS = {"blue": (40, 60, 220), "green": (30, 190, 60), "red": (210, 40, 40)}
PARAMETERS = TrainingParameters(
    embedding_dim=16,
    epochs=3,
    batch_size=16,
    learning_rate=5e-3,
    seed=3,
    image_width=20,
    image_height=24,
)


def draw(count: int) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Noisy squares of three colours on white; the colour is the label."""
    noise = np.random.default_rng(5)
    pixels = np.full((count, 24, 20, 3), 255, np.uint8)
    labels = [list(COLOURS)[number % 3] for number in range(count)]
    for image, label in zip(pixels, labels, strict=True):
        image[4:20, 4:16] = np.clip(noise.normal(COLOURS[label], 25, (16, 12, 3)), 0, 255)
    return pixels, labels


PIXELS, LABELS = draw(120)
SIDES = ["train"] * 90 + ["validation"] * 15 + ["test"] * 15


@pytest.fixture(scope="module")
def seen() -> list[tuple[int, dict[str, float]]]:
    return []


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, seen: list[tuple[int, dict[str, float]]]
) -> TrainedNetwork:
    """Trained from a memory map, as the stage does."""
    folder = tmp_path_factory.mktemp("training")
    mapped = np.lib.format.open_memmap(
        folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=PIXELS.shape
    )
    mapped[:] = PIXELS
    return train(
        mapped,
        {LABEL_COLUMN: LABELS},
        SIDES,
        PARAMETERS,
        folder / "model",
        lambda epoch, metrics: seen.append((epoch, metrics)),
    )


def embed(folder: Path, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """By the interpreter that serving uses."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(folder / "embedder.tflite"))
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], pixels.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    vectors: npt.NDArray[np.float32] = interpreter.get_tensor(
        interpreter.get_output_details()[0]["index"]
    )
    return vectors


def test_training_learns_and_reports_every_epoch(
    trained: TrainedNetwork, seen: list[tuple[int, dict[str, float]]]
) -> None:
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    assert tuple(metrics for _, metrics in seen) == trained.history
    best = max(epoch["validation_accuracy"] for epoch in trained.history)
    assert trained.history[trained.best_epoch - 1]["validation_accuracy"] == best
    assert trained.validation_accuracy == best
    assert best > 0.6  # guessing gives a third
    assert trained.wall_seconds > 0
    assert trained.cpu_seconds > 0


def test_the_folder_holds_the_four_files_and_nothing_is_left_beside_it(
    trained: TrainedNetwork,
) -> None:
    assert sorted(path.name for path in trained.folder.iterdir()) == [
        "classifier.keras",
        "embedder.tflite",
        "history.json",
        "labels.json",
    ]
    assert {path.name for path in trained.folder.parent.iterdir()} == {"model", "pixels.npy"}
    named = json.loads((trained.folder / "labels.json").read_bytes())
    assert named == [{"name": LABEL_COLUMN, "classes": list(COLOURS)}]
    history = json.loads((trained.folder / "history.json").read_bytes())
    assert tuple(history["epochs"]) == trained.history
    assert history["parameters_count"] == trained.parameters_count


def test_the_exported_file_gives_unit_vectors_for_any_batch_size(trained: TrainedNetwork) -> None:
    one = embed(trained.folder, PIXELS[:1])
    many = embed(trained.folder, PIXELS[:33])
    assert many.shape == (33, 16)
    assert many.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(many, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(many[:1], one, atol=1e-5)


def test_the_exported_file_computes_what_keras_computes(trained: TrainedNetwork) -> None:
    import keras

    classifier = keras.saving.load_model(trained.folder / "classifier.keras")
    embedder = keras.Model(classifier.input, classifier.get_layer("embedding").output)
    expected = embedder(PIXELS, training=False).numpy()
    assert np.abs(expected - embed(trained.folder, PIXELS)).max() < 1e-4
    assert trained.parity_max_difference < 1e-4


def test_the_exported_file_needs_built_in_operations_only(trained: TrainedNetwork) -> None:
    assert b"Flex" not in (trained.folder / "embedder.tflite").read_bytes()


def test_the_same_arguments_give_the_same_bytes(trained: TrainedNetwork, tmp_path: Path) -> None:
    again = train(PIXELS, {LABEL_COLUMN: LABELS}, SIDES, PARAMETERS, tmp_path / "model")
    assert again.history == trained.history
    digests = [
        {path.name: sha256_file(path) for path in network.folder.iterdir()}
        for network in (again, trained)
    ]
    assert digests[0] == digests[1]


def test_equal_classifiers_are_saved_as_equal_bytes_wherever_they_lie_in_memory(
    tmp_path: Path,
) -> None:
    import keras

    from recsys.training.export import save_classifier

    alive = []
    for name in ("one.keras", "other.keras"):
        keras.utils.set_random_seed(1)
        alive.append(untrained_network(20, 24, 16, 3))
        save_classifier(alive[-1].whole, tmp_path / name)
    assert sha256_file(tmp_path / "one.keras") == sha256_file(tmp_path / "other.keras")
    again = keras.saving.load_model(tmp_path / "one.keras")
    for old, new in zip(alive[0].whole.weights, again.weights, strict=True):
        assert np.array_equal(old, new)


def test_a_learning_rate_of_zero_leaves_the_network_untrained(tmp_path: Path) -> None:
    idle = train(
        PIXELS,
        {LABEL_COLUMN: LABELS},
        SIDES,
        replace(PARAMETERS, learning_rate=0.0, epochs=1),
        tmp_path / "idle",
    )
    assert (idle.folder / "embedder.tflite").stat().st_size > 100_000
    assert idle.parity_max_difference < 1e-4


def test_the_classifier_is_judged_on_the_rows_asked_for(trained: TrainedNetwork) -> None:
    # The last two rows get labels that are wrong: one of another class, one never seen.
    labels = [*LABELS[:118], "blue", "purple"]
    right = classify(trained.folder, PIXELS, LABELS, range(105, 120))
    figures = classify(trained.folder, PIXELS, labels, range(105, 120))
    assert isinstance(figures, Classification)
    assert figures.images == right.images == 15
    assert right.support == {"blue": 5, "green": 5, "red": 5}
    # Equal classes: the accuracy is the mean of the recalls.
    assert right.accuracy == pytest.approx(sum(right.recall.values()) / 3)
    assert figures.recall["purple"] == 0.0
    assert figures.support == {"blue": 6, "green": 4, "purple": 1, "red": 4}


def test_a_classifier_that_does_not_fit_the_images_is_refused(
    trained: TrainedNetwork, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactInvalid, match="but the images are"):
        classify(trained.folder, PIXELS[:, :16], LABELS, [0])
    with pytest.raises(ArtifactInvalid, match="not readable"):
        classify(tmp_path, PIXELS, LABELS, [0])
    with pytest.raises(BadInput, match="no rows"):
        classify(trained.folder, PIXELS, LABELS, [])


@pytest.mark.parametrize(
    ("pixels", "labels", "sides", "message"),
    [
        (PIXELS[:, :20], {LABEL_COLUMN: LABELS}, SIDES, "expected uint8"),
        (PIXELS.astype(np.float32), {LABEL_COLUMN: LABELS}, SIDES, "found float32"),
        (PIXELS, {LABEL_COLUMN: LABELS[:-1]}, SIDES, "120 sides for 119 labels"),
        (PIXELS, {LABEL_COLUMN: ["red"] * 120}, SIDES, "two or more"),
        (PIXELS, {LABEL_COLUMN: LABELS}, ["train"] * 120, "no validation image"),
    ],
)
def test_input_that_cannot_be_trained_on_is_refused(
    pixels: npt.NDArray[np.uint8],
    labels: dict[str, list[str]],
    sides: list[str],
    message: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(BadInput, match=message):
        train(pixels, labels, sides, PARAMETERS, tmp_path / "model")


def test_a_folder_with_files_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(BadInput, match="not an empty folder"):
        train(PIXELS, {LABEL_COLUMN: LABELS}, SIDES, PARAMETERS, tmp_path)
