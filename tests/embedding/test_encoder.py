"""The encoder against the same arithmetic in numpy.

``data/`` holds three tiny models, made once by this script (TensorFlow 2.21), so that the
tests need no TensorFlow::

    kernel = tf.random.stateless_normal([27, 8], seed=[7, 20])

    def embedder(images):        # uint8 [None, 8, 6, 3]
        scaled = tf.cast(images, tf.float32) / 255.0 - 0.5
        pooled = tf.nn.avg_pool2d(scaled, ksize=[4, 2], strides=[2, 2], padding="VALID")
        return tf.math.l2_normalize(tf.reshape(pooled, [-1, 27]) @ kernel + 0.01, axis=1)

    def float_input(images):     # float32 [None, 8, 6, 3]
        return tf.reduce_mean(images, axis=[1, 2])

    def not_unit_norm(images):   # uint8 [None, 8, 6, 3]
        return tf.reduce_mean(tf.cast(images, tf.float32), axis=[1, 2])

    for each: module with __call__ = tf.function(…, input_signature=[…]);
    tf.lite.TFLiteConverter.from_concrete_functions(
        [module.__call__.get_concrete_function()], module).convert()
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.embedding import Encoder
from recsys.errors import ArtifactInvalid

DATA = Path(__file__).parent / "data"
MODEL = DATA / "embedder.tflite"


def drawn_pixels(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 6, 3), dtype=np.uint8)


def test_the_model_says_which_images_it_takes_and_what_it_gives() -> None:
    encoder = Encoder(MODEL)
    assert encoder.image_size == (6, 8)  # width, height
    assert encoder.dimension == 8


@pytest.mark.parametrize("count", [0, 1, 7, 8, 63, 64, 65, 150])
def test_any_number_of_images_gives_unit_vectors_of_one_image_each(count: int) -> None:
    encoder, pixels = Encoder(MODEL), drawn_pixels(count)
    vectors = encoder.embed(pixels)
    assert vectors.shape == (count, 8)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    for row in range(0, count, 31):
        alone = encoder.embed(pixels[row : row + 1])[0]
        np.testing.assert_allclose(vectors[row], alone, atol=1e-6)


def test_the_preprocessing_is_inside_the_model() -> None:
    # Any two plain grey images differ by a positive factor of the same pooled constant, so
    # black (-½ everywhere) and white (+½) must be near opposite: the +0.01 apart.
    black, white = np.zeros((1, 8, 6, 3), np.uint8), np.full((1, 8, 6, 3), 255, np.uint8)
    encoder = Encoder(MODEL)
    cosine = float(encoder.embed(black)[0] @ encoder.embed(white)[0])
    assert cosine < -0.99


def test_threads_share_an_encoder_without_mixing_answers() -> None:
    encoder, pixels = Encoder(MODEL), drawn_pixels(40)
    expected = encoder.embed(pixels)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: encoder.embed(pixels[row : row + 1])[0], range(40)))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 6, 8, 3), np.uint8),
        np.zeros((2, 8, 6, 3), np.float32),
        np.zeros((8, 6, 3), np.uint8),
    ],
    ids=["width and height swapped", "floats", "no batch dimension"],
)
def test_pixels_of_another_shape_or_type_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ArtifactInvalid, match=r"takes uint8 \[n, 8, 6, 3\], found"):
        Encoder(MODEL).embed(pixels)


def test_a_model_with_another_input_is_refused() -> None:
    with pytest.raises(ArtifactInvalid, match=r"expected one input, uint8 .* found .*float32"):
        Encoder(DATA / "float_input.tflite")


@pytest.mark.parametrize("kept_bytes", [0, 3, 100, 3000])
def test_a_truncated_model_is_refused(tmp_path: Path, kept_bytes: int) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(MODEL.read_bytes()[:kept_bytes])
    with pytest.raises(ArtifactInvalid, match=r"broken\.tflite is no LiteRT model"):
        Encoder(broken)


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=r"none\.tflite"):
        Encoder(tmp_path / "none.tflite")


@given(st.permutations(range(24)), st.integers(1, 24))
@settings(max_examples=20, deadline=None)
def test_a_vector_depends_on_its_own_image_alone(order: list[int], together: int) -> None:
    encoder, pixels = Encoder(MODEL), drawn_pixels(24)
    expected = encoder.embed(pixels)
    shuffled = pixels[order]
    found = np.concatenate(
        [encoder.embed(shuffled[start : start + together]) for start in range(0, 24, together)]
    )
    np.testing.assert_array_equal(found, expected[order])
