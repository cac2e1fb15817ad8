"""The trained network read back: its embedding, its labels, its cost, and how it is fooled."""

from pathlib import Path

import numpy as np
import pytest

from probes.pictures import drawn_pictures, labels_of
from recsys.artifacts.catalog import LABEL_COLUMN
from recsys.errors import ArtifactInvalid
from recsys.training import TrainedClassifier, TrainingParameters, train

COUNT = 180
PICTURES = drawn_pictures(COUNT)
LABELS = labels_of(PICTURES)
SIDES = ["train"] * 130 + ["validation"] * 20 + ["test"] * 30
HELD_OUT = PICTURES[150:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parameters = TrainingParameters(16, 4, 16, 5e-3, 3, image_width=18, image_height=24)
    out = tmp_path_factory.mktemp("training") / "model"
    return train(PICTURES, {LABEL_COLUMN: LABELS}, SIDES, parameters, out).folder


@pytest.fixture(scope="module")
def trained(folder: Path) -> TrainedClassifier:
    return TrainedClassifier.load(folder)


def accuracy(trained: TrainedClassifier, pictures: np.ndarray) -> float:
    named = trained.name_labels(pictures)
    return float(np.mean([one == other for one, other in zip(named, LABELS[150:], strict=True)]))


def test_it_embeds_as_the_exported_file_does(trained: TrainedClassifier, folder: Path) -> None:
    from recsys.embedding import Encoder

    vectors = trained.embed(PICTURES)
    assert vectors.shape == (COUNT, 16)
    assert np.abs(vectors - Encoder(folder / "embedder.tflite").embed(PICTURES)).max() < 1e-4


def test_it_names_the_labels_it_learned(trained: TrainedClassifier) -> None:
    assert trained.classes == ("blue", "green", "red")
    assert accuracy(trained, HELD_OUT) > 0.9


def test_an_attack_moves_each_value_by_no_more_than_it_may_and_fools_more_the_further(
    trained: TrainedClassifier,
) -> None:
    shares = []
    for epsilon in (2, 60):
        attacked = trained.attacked(HELD_OUT, epsilon)
        assert (attacked.shape, attacked.dtype) == (HELD_OUT.shape, np.uint8)
        moved = np.abs(attacked.astype(int) - HELD_OUT)
        assert moved.max() == epsilon
        shares.append(accuracy(trained, attacked))
    assert shares[1] < shares[0] <= accuracy(trained, HELD_OUT)


def test_an_attack_fools_more_than_noise_of_the_same_size(trained: TrainedClassifier) -> None:
    signs = np.random.default_rng(1).choice([-60, 60], HELD_OUT.shape)
    noise = np.clip(HELD_OUT + signs, 0, 255).astype(np.uint8)
    assert accuracy(trained, trained.attacked(HELD_OUT, 60)) < accuracy(trained, noise)


def test_the_same_attack_gives_the_same_bytes(trained: TrainedClassifier) -> None:
    assert np.array_equal(trained.attacked(HELD_OUT, 2), trained.attacked(HELD_OUT, 2))


def test_multiply_adds_are_those_counted_by_hand(tmp_path: Path) -> None:
    import keras

    from recsys.training.export import save_classifier

    layers = keras.layers
    pixels = keras.Input((24, 18, 3), dtype="uint8")
    x = layers.Rescaling(1 / 255, name="scale")(pixels)
    x = layers.Conv2D(8, 3, strides=2, padding="same")(x)  # 12 × 9 places of 3·3·3·8
    x = layers.DepthwiseConv2D(3, padding="same")(x)  # 12 × 9 places of 3·3·8
    x = layers.BatchNormalization()(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(16)(x)  # 8·16
    embedding = layers.UnitNormalization(name="embedding")(x)
    logits = layers.Dense(2)(embedding)  # no part of an embedding
    save_classifier(keras.Model(pixels, logits), tmp_path / "classifier.keras")
    (tmp_path / "labels.json").write_text('[{"name": "articleType", "classes": ["a", "b"]}]')
    by_hand = 12 * 9 * 3 * 3 * 3 * 8 + 12 * 9 * 3 * 3 * 8 + 8 * 16
    assert TrainedClassifier.load(tmp_path).multiply_adds() == by_hand


def test_a_folder_without_a_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match="not readable"):
        TrainedClassifier.load(tmp_path)
