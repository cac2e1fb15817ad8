from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from recsys.errors import ArtifactInvalid, BadInput
from recsys.training.classify import classify, predict_probabilities

# The mean of the red, the green and the blue channel, in tenths: the logits by hand.
PIXELS = np.zeros((5, 4, 3, 3), np.uint8)
PIXELS[0, ..., 0] = PIXELS[1, ..., 1] = PIXELS[2, ..., 2] = 10
PIXELS[3, ..., 0] = 200
CLASSES = ["blood", "leaf", "sky"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier whose logits are known."""
    import keras

    folder = tmp_path_factory.mktemp("classifier")
    pixels = keras.Input((4, 3, 3), dtype="uint8")
    scaled = keras.layers.Rescaling(0.1)(pixels)
    logits = keras.layers.GlobalAveragePooling2D()(scaled)
    keras.Model(pixels, logits).save(folder / "classifier.keras")
    (folder / "labels.json").write_text(json.dumps([{"name": "articleType", "classes": CLASSES}]))
    return folder


def test_probabilities_are_the_softmax_of_the_logits_in_the_order_asked_for(folder: Path) -> None:
    classes, probabilities = predict_probabilities(folder, PIXELS, [4, 1, 0, 1])
    assert classes == tuple(CLASSES)
    assert probabilities.dtype == np.float32
    # softmax of (1, 0, 0): e / (e + 2) and 1 / (e + 2)
    high, low = np.e / (np.e + 2), 1 / (np.e + 2)
    expected = [[1 / 3] * 3, [low, high, low], [high, low, low], [low, high, low]]
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5)


def test_large_logits_do_not_overflow(folder: Path) -> None:
    _, probabilities = predict_probabilities(folder, PIXELS, [3])
    np.testing.assert_allclose(probabilities, [[1, 0, 0]], atol=1e-8)


def test_the_likeliest_class_is_the_one_that_classify_counts(folder: Path) -> None:
    assert classify(folder, PIXELS, ["blood", "leaf", "sky", "sky", "x"], [0, 1, 2, 3]).recall == {
        "blood": 1.0,
        "leaf": 1.0,
        "sky": 0.5,
    }


def test_no_rows_and_images_of_another_size_are_refused(folder: Path) -> None:
    with pytest.raises(BadInput, match="no rows to judge"):
        predict_probabilities(folder, PIXELS, [])
    with pytest.raises(ArtifactInvalid, match="but the images are"):
        predict_probabilities(folder, PIXELS[:, :2], [0])
