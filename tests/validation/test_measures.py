from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageStat

from recsys.images import ImageLimits
from recsys.validation import measure_images, measures
from validation.delivery_builders import LIMITS, encoded, flat, measured, picture


def test_figures_agree_with_pillow() -> None:
    data = picture(3, width=50, height=70)
    row = measured({"17.png": data}).iloc[0]
    grey = ImageStat.Stat(Image.open(io.BytesIO(data)).convert("L"))
    assert (row["path"], row["id"], row["format"]) == ("17.png", "17", "PNG")
    assert (row["width"], row["height"], row["bytes"]) == (50, 70, len(data))
    assert row["decodes"]
    assert row["error"] == ""
    assert row["brightness"] == pytest.approx(grey.mean[0], abs=0.6)  # Pillow rounds each pixel
    assert row["contrast"] == pytest.approx(grey.stddev[0], abs=0.3)


def test_digests_are_of_the_bytes_and_of_shape_and_pixels() -> None:
    pixels = np.arange(16 * 20 * 3, dtype=np.uint8).reshape(20, 16, 3)
    data = encoded(Image.fromarray(pixels), "PNG")
    row = measured({"1.png": data}).iloc[0]
    assert row["sha256_bytes"] == hashlib.sha256(data).hexdigest()
    assert row["sha256_pixels"] == hashlib.sha256(b"20x16x3" + pixels.tobytes()).hexdigest()


def test_the_same_picture_in_two_files_shares_its_pixels() -> None:
    image = Image.open(io.BytesIO(picture()))
    png, webp = encoded(image, "PNG"), io.BytesIO()
    image.save(webp, "WEBP", lossless=True)
    table = measured({"1.png": png, "2.webp": webp.getvalue()})
    assert table["sha256_pixels"].nunique() == 1
    assert table["sha256_bytes"].nunique() == 2


def test_half_black_half_white_has_the_contrast_of_hand_arithmetic() -> None:
    pixels = np.zeros((20, 20, 3), np.uint8)
    pixels[:10] = 255
    row = measured({"1.png": encoded(Image.fromarray(pixels), "PNG")}).iloc[0]
    assert row["brightness"] == pytest.approx(127.5)
    assert row["contrast"] == pytest.approx(127.5)


def test_strips_do_not_change_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"1.png": picture(5)}
    whole = measured(data)
    monkeypatch.setattr(measures, "_STRIP_PIXELS", 100)
    assert measured(data)["contrast"].tolist() == pytest.approx(whole["contrast"].tolist())


def test_grey_pictures_are_marked_and_flat_ones_have_no_contrast() -> None:
    table = measured(
        {
            "1.jpg": picture(1, file_format="JPEG", mode="L"),
            "2.png": flat((255, 0, 0)),
            "3.png": picture(),
        }
    )
    assert table["greyscale"].tolist() == [True, False, False]
    assert table["contrast"].tolist()[1] == pytest.approx(0, abs=0.01)


def test_what_does_not_decode_is_a_row_that_says_why() -> None:
    jpeg = picture(file_format="JPEG")
    table = measured(
        {"1.jpg": jpeg[: len(jpeg) // 2], "2.jpg": b"", "3.png": b"GIF89a", "4.jpg": jpeg}
    )
    assert table["decodes"].tolist() == [False, False, False, True]
    assert all(table["error"][:3] != "")
    assert table["sha256_pixels"].tolist()[:3] == ["", "", ""]


def test_a_picture_above_the_limits_is_not_decoded() -> None:
    table = measure_images([("1.png", picture(width=60, height=80))], ImageLimits(1_000_000, 4_799))
    assert not table["decodes"][0]
    assert "4,799" in table["error"][0]


def test_rows_are_sorted_by_path_whatever_the_order_of_delivery() -> None:
    files = {f"{number}.png": picture(number) for number in range(40)}
    backwards = dict(reversed(files.items()))
    assert measured(files).equals(measured(backwards))


def test_progress_adds_up() -> None:
    steps: list[int] = []
    measure_images([(f"{number}.png", picture()) for number in range(70)], LIMITS, steps.append)
    assert sum(steps) == 70


def test_files_are_read_a_little_ahead_and_never_all_at_once() -> None:
    read, done, ahead = 0, 0, 0

    def files() -> Iterator[tuple[str, bytes]]:
        nonlocal read, ahead
        for number in range(1_000):
            read += 1
            ahead = max(ahead, read - done)
            yield f"{number}.png", b""

    def advance(count: int) -> None:
        nonlocal done
        done += count

    measure_images(files(), LIMITS, advance)
    assert ahead < 1_000


def test_no_images_give_an_empty_table_with_all_columns() -> None:
    table = measured({})
    assert len(table) == 0
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == measures.MEASURES
