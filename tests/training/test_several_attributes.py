"""One embedding that tells type and colour, and a training that goes on from another."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from recsys.embedding import Encoder
from recsys.errors import ArtifactInvalid, BadInput
from recsys.training import TrainedNetwork, TrainingParameters, classify, train

COLOURS = {"blue": (40, 60, 220), "green": (30, 190, 60), "red": (210, 40, 40)}
PARAMETERS = TrainingParameters(
    embedding_dim=16,
    epochs=4,
    batch_size=16,
    learning_rate=5e-3,
    seed=3,
    image_width=20,
    image_height=24,
    likeness={"articleType": 0.7, "baseColour": 0.3},
)
SIDES = ["train"] * 150 + ["validation"] * 24 + ["test"] * 36


def draw(count: int) -> tuple[npt.NDArray[np.uint8], dict[str, list[str]]]:
    """Noisy bars of three colours, upright or lying: the type is the bar, not its colour."""
    noise = np.random.default_rng(5)
    pixels = np.full((count, 24, 20, 3), 255, np.uint8)
    types = [("upright", "lying")[number % 2] for number in range(count)]
    colours = [list(COLOURS)[number % 3] for number in range(count)]
    for image, kind, colour in zip(pixels, types, colours, strict=True):
        place = (slice(2, 22), slice(8, 12)) if kind == "upright" else (slice(10, 14), slice(2, 18))
        shape = image[place].shape
        image[place] = np.clip(noise.normal(COLOURS[colour], 25, shape), 0, 255)
    return pixels, {"articleType": types, "baseColour": colours}


PIXELS, LABELS = draw(210)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedNetwork:
    folder = tmp_path_factory.mktemp("training") / "model"
    return train(PIXELS, LABELS, SIDES, PARAMETERS, folder)


def test_every_attribute_is_learned_and_reported(trained: TrainedNetwork) -> None:
    assert list(trained.classes) == ["articleType", "baseColour"]
    last = trained.history[-1]
    assert last["validation_accuracy"] > 0.9
    assert last["validation_accuracy_baseColour"] > 0.9
    assert classify(trained.folder, PIXELS, LABELS["articleType"], range(174, 210)).accuracy > 0.9


def test_the_nearest_products_share_the_type_and_then_the_colour(trained: TrainedNetwork) -> None:
    vectors = Encoder(trained.folder / "embedder.tflite").embed(PIXELS)
    likeness = vectors[174:] @ vectors.T
    np.fill_diagonal(likeness[:, 174:], -1)
    both = [f"{kind} {colour}" for kind, colour in zip(*LABELS.values(), strict=True)]
    nearest = np.argsort(-likeness, axis=1)[:, :5]
    right = np.asarray(both)[nearest] == np.asarray(both)[174:, None]
    assert right.mean() > 0.9


def test_the_likeness_is_the_chance_of_sharing_each_attribute_and_then_the_look(
    trained: TrainedNetwork,
) -> None:
    import keras

    classifier = keras.saving.load_model(trained.folder / "classifier.keras")
    layers = [
        classifier.get_layer(name).output
        for name in ("chances_articleType", "chances_baseColour", "look_rest", "blocks")
    ]
    kinds, colours, look, blocks = map(
        np.asarray, keras.Model(classifier.input, layers)(PIXELS[:30])
    )
    expected = 0.7 * kinds @ kinds.T + 0.3 * colours @ colours.T + look @ look.T
    np.testing.assert_allclose(blocks @ blocks.T, expected, atol=1e-5)
    vectors = Encoder(trained.folder / "embedder.tflite").embed(PIXELS[:30])
    lengths = np.linalg.norm(blocks, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, blocks / lengths, atol=1e-4)
    assert ((lengths > 0.85) & (lengths < 1.15)).all()


@pytest.mark.parametrize("length", [8, 33, 300])
def test_an_embedding_has_the_length_that_is_asked_for(length: int) -> None:
    from recsys.training.heads import choose_heads
    from recsys.training.network import build_network, whiten_look

    heads = choose_heads(LABELS, np.arange(150), PARAMETERS.likeness)
    network = build_network(replace(PARAMETERS, embedding_dim=length), heads)
    whiten_look(network, [PIXELS[:75], PIXELS[75:150]])
    vectors = np.asarray(network.embedder(PIXELS[150:]))
    assert vectors.shape == (60, length)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_the_look_has_no_direction_that_all_products_share(trained: TrainedNetwork) -> None:
    import keras

    classifier = keras.saving.load_model(trained.folder / "classifier.keras")
    look = keras.Model(classifier.input, classifier.get_layer("look").output)
    taught = np.asarray(look(PIXELS[:150]))
    np.testing.assert_allclose(taught.mean(axis=0), 0, atol=1e-3)
    varied = taught.std(axis=0) > 0.5  # a small network has fewer directions than there is room
    assert varied.sum() > 3
    between = np.corrcoef(taught[:, varied].T)
    np.testing.assert_allclose(between, np.eye(varied.sum()), atol=1e-2)


def test_looks_decide_among_products_of_the_same_classes(trained: TrainedNetwork) -> None:
    # All red and upright; one picture is asked for beside a copy a little darker.
    same = [row for row in range(210) if row % 6 == 0][:12]
    asked = np.clip(PIXELS[same[0]].astype(np.int16) - 2, 0, 255).astype(np.uint8)
    vectors = Encoder(trained.folder / "embedder.tflite").embed(np.stack([asked, *PIXELS[same]]))
    assert (vectors[0] @ vectors[1:].T).argmax() == 0


def test_a_training_goes_on_from_an_earlier_one(trained: TrainedNetwork, tmp_path: Path) -> None:
    # Nothing is learned in it: what it knows, it knew.
    still = replace(PARAMETERS, learning_rate=0.0, epochs=1)
    again = train(PIXELS, LABELS, SIDES, still, tmp_path / "again", start=trained.folder)
    assert again.history[0]["validation_accuracy"] > 0.9


def test_a_class_that_is_new_is_learned_beside_those_known(
    trained: TrainedNetwork, tmp_path: Path
) -> None:
    labels = {**LABELS, "baseColour": ["azure" if c == "blue" else c for c in LABELS["baseColour"]]}
    short = replace(PARAMETERS, epochs=2, learning_rate=2e-3)
    on = train(PIXELS, labels, SIDES, short, tmp_path / "on", start=trained.folder)
    assert on.classes["baseColour"] == ("azure", "green", "red")
    assert on.history[-1]["validation_accuracy_baseColour"] > 0.9


def test_a_model_of_another_make_is_no_start(trained: TrainedNetwork, tmp_path: Path) -> None:
    other = replace(PARAMETERS, backbone="plain")
    with pytest.raises(ArtifactInvalid, match="does not fit; train from scratch"):
        train(PIXELS, LABELS, SIDES, other, tmp_path / "on", start=trained.folder)


def test_training_stops_when_nothing_is_gained(tmp_path: Path) -> None:
    patient = replace(PARAMETERS, learning_rate=0.0, epochs=9, patience=1)
    assert len(train(PIXELS, LABELS, SIDES, patient, tmp_path / "model").history) < 9


@pytest.mark.parametrize(
    ("backbone", "weights", "message"),
    [
        ("alexnet", "", "there are patches, plain,"),
        ("file", "nowhere.keras", "not readable"),
    ],
)
def test_a_backbone_that_cannot_be_had_is_refused(
    backbone: str, weights: str, message: str, tmp_path: Path
) -> None:
    other = replace(PARAMETERS, backbone=backbone, backbone_weights=weights)
    with pytest.raises(BadInput, match=message):
        train(PIXELS, LABELS, SIDES, other, tmp_path / "model")


def test_a_keras_file_of_ones_own_is_a_backbone(tmp_path: Path) -> None:
    import keras

    own = keras.Sequential([keras.Input((24, 20, 3)), keras.layers.AveragePooling2D(4)])
    own.save(tmp_path / "own.keras")
    other = replace(
        PARAMETERS, epochs=1, backbone="file", backbone_weights=str(tmp_path / "own.keras")
    )
    trained = train(PIXELS, LABELS, SIDES, other, tmp_path / "model")
    assert Encoder(trained.folder / "embedder.tflite").dimension == 16
    assert trained.parity_max_difference < 1e-4


def test_a_keras_application_is_a_backbone() -> None:
    from recsys.training.heads import choose_heads
    from recsys.training.network import build_network

    heads = choose_heads(LABELS, np.arange(150), PARAMETERS.likeness)
    other = replace(PARAMETERS, backbone="MobileNetV2", image_width=40, image_height=48)
    embedder = build_network(other, heads).embedder
    vectors = embedder(np.full((2, 48, 40, 3), 200, np.uint8))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_what_was_trained_in_mixed_precision_is_exported_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsys.training import train as module

    monkeypatch.setattr(
        sys.modules[module.__module__], "use_mixed_precision", lambda wanted: wanted
    )
    mixed = replace(PARAMETERS, epochs=1, mixed_precision=True)
    trained = train(PIXELS, LABELS, SIDES, mixed, tmp_path / "model")
    assert trained.parity_max_difference < 1e-4
    assert keras_precisions(trained.folder) == {"float32"}


def keras_precisions(folder: Path) -> set[str]:
    import keras

    layers = keras.saving.load_model(folder / "classifier.keras").layers
    return {layer.compute_dtype for layer in layers if layer.weights}


def test_mixed_precision_is_for_machines_with_a_gpu() -> None:
    import tensorflow as tf

    from recsys.training.runtime import use_mixed_precision

    assert use_mixed_precision(True) == bool(tf.config.list_physical_devices("GPU"))
    assert not use_mixed_precision(False)
