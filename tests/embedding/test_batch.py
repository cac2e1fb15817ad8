from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedding.test_encoder import DATA, MODEL, drawn_pixels
from recsys.artifacts.digests import sha256_file
from recsys.embedding import Encoder, embed_all
from recsys.errors import ArtifactInvalid


def test_rows_keep_their_order_and_progress_adds_up(tmp_path: Path) -> None:
    pixels, steps = drawn_pixels(700), []
    vectors = embed_all(
        MODEL, pixels, workers=3, out=tmp_path / "vectors.npy", on_progress=steps.append
    )
    assert sum(steps) == 700
    assert len(steps) > 1
    np.testing.assert_allclose(vectors, Encoder(MODEL).embed(pixels), atol=1e-6)


def test_the_file_is_a_plain_npy_and_nothing_else_is_left(tmp_path: Path) -> None:
    out = tmp_path / "vectors.npy"
    vectors = embed_all(MODEL, drawn_pixels(9), workers=1, out=out)
    np.testing.assert_array_equal(np.load(out, allow_pickle=False), vectors)
    assert vectors.dtype == np.float32
    assert not vectors.flags.writeable
    assert [path.name for path in tmp_path.iterdir()] == ["vectors.npy"]


def test_the_bytes_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    pixels, digests = drawn_pixels(1000), set()
    for workers in (1, 2, 4):
        embed_all(MODEL, pixels, workers=workers, out=tmp_path / "vectors.npy")
        digests.add(sha256_file(tmp_path / "vectors.npy"))
    assert len(digests) == 1


def test_pixels_may_be_mapped_from_a_file(tmp_path: Path) -> None:
    pixels = drawn_pixels(70)
    np.save(tmp_path / "pixels.npy", pixels)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    vectors = embed_all(MODEL, mapped, workers=1, out=tmp_path / "vectors.npy")
    np.testing.assert_allclose(vectors, Encoder(MODEL).embed(pixels), atol=1e-6)


def test_a_model_that_does_not_give_unit_vectors_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=r"vector of row \d+ has norm"):
        embed_all(
            DATA / "not_unit_norm.tflite",
            drawn_pixels(5),
            workers=1,
            out=tmp_path / "vectors.npy",
        )
    assert not list(tmp_path.iterdir())


def test_pixels_that_the_model_does_not_take_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match="takes uint8"):
        embed_all(MODEL, np.zeros((3, 4, 4, 3), np.uint8), workers=2, out=tmp_path / "vectors.npy")
    assert not list(tmp_path.iterdir())


def test_an_empty_catalog_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match="nothing to embed"):
        embed_all(MODEL, drawn_pixels(0), workers=1, out=tmp_path / "vectors.npy")
