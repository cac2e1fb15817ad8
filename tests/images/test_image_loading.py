from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from images.pictures import LIMITS, encoded, quarters
from recsys.errors import ImageRejected
from recsys.images import decode, fit, load, load_all


def grey(value: int) -> bytes:
    return encoded(Image.new("RGB", (6, 8), (value, value, value)))


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    pixels = np.asarray(quarters(60, 80))
    assert fit(pixels, 60, 80) is pixels


def test_a_wide_picture_is_centred_on_white() -> None:
    black = np.zeros((10, 40, 3), np.uint8)
    fitted = fit(black, 20, 20)
    # 40 x 10 becomes 20 x 5, with 7 white rows above and 8 below.
    assert fitted.shape == (20, 20, 3)
    assert (fitted[:7] == 255).all()
    assert (fitted[7:12] == 0).all()
    assert (fitted[12:] == 255).all()


def test_a_small_picture_is_enlarged() -> None:
    fitted = fit(np.zeros((28, 28, 3), np.uint8), 60, 80)
    assert (fitted[10:70] == 0).all()
    assert (fitted[:10] == 255).all()


def test_a_hair_thin_picture_still_shows() -> None:
    fitted = fit(np.zeros((2000, 1, 3), np.uint8), 60, 80)
    assert (fitted == 0).any()


def test_load_is_decode_and_fit() -> None:
    data = encoded(quarters(100, 80), "JPEG")
    np.testing.assert_array_equal(load(data, 60, 80, LIMITS), fit(decode(data, LIMITS), 60, 80))


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_scaled_while_decoded_looks_the_same(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(quarters(900, 1100), "JPEG", exif=exif.tobytes())
    whole = fit(decode(data, LIMITS), 60, 80)
    assert np.abs(load(data, 60, 80, LIMITS).astype(int) - whole).mean() < 1.5


def test_many_pictures_land_in_order_in_one_map(tmp_path: Path) -> None:
    steps: list[int] = []
    values = [number % 251 for number in range(200)]
    out = tmp_path / "pixels.npy"
    pixels = load_all(map(grey, values), 200, out, 6, 8, LIMITS, steps.append)
    assert pixels.shape == (200, 8, 6, 3)
    assert pixels[:, 4, 3, 1].tolist() == values
    assert sum(steps) == 200
    np.testing.assert_array_equal(np.load(out), pixels)
    assert [path.name for path in tmp_path.iterdir()] == ["pixels.npy"]


def test_a_bad_picture_is_named_by_its_position_and_nothing_is_left(tmp_path: Path) -> None:
    items = [grey(1)] * 90
    items[70] = b"junk"
    with pytest.raises(ImageRejected, match=r"^image 70 .*not a JPEG"):
        load_all(items, 90, tmp_path / "pixels.npy", 6, 8, LIMITS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("announced", [0, 2, 4])
def test_the_number_of_pictures_must_be_as_announced(tmp_path: Path, announced: int) -> None:
    with pytest.raises(ValueError, match=r"announced|nothing to load"):
        load_all([grey(1)] * 3, announced, tmp_path / "pixels.npy", 6, 8, LIMITS)
    assert list(tmp_path.iterdir()) == []


def test_items_are_read_no_further_ahead_than_the_threads_need(tmp_path: Path) -> None:
    done = 0
    ahead = 0

    def items() -> Iterator[bytes]:
        nonlocal ahead
        for number in range(4_000):
            ahead = max(ahead, number - done)
            yield grey(0)

    def advance(count: int) -> None:
        nonlocal done
        done += count

    load_all(items(), 4_000, tmp_path / "pixels.npy", 6, 8, LIMITS, advance)
    batches = 2 * len(os.sched_getaffinity(0)) + 1
    assert ahead <= batches * 64
