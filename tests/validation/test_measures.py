from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter, ImageStat

from recsys.artifacts.digests import sha256_bytes
from recsys.errors import ArtifactInvalid
from recsys.images import ImageLimits
from recsys.validation import measure_changed, measure_images, measures
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


def test_figures_do_not_depend_on_what_is_measured_together() -> None:
    files = {f"{number}.png": picture(number) for number in range(5)}
    together = measured(files)
    alone = pd.concat([measured({name: data}) for name, data in files.items()], ignore_index=True)
    pd.testing.assert_frame_equal(together, alone)


def test_entropy_and_outer_levels_agree_with_hand_arithmetic() -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:20] = 200
    pixels[0, 0] = 255  # one pixel of 1,600 is above a thousandth
    row = measured({"1.png": encoded(Image.fromarray(pixels), "PNG")}).iloc[0]
    shares = np.array([800, 799, 1]) / 1600
    assert row["entropy"] == pytest.approx(-(shares * np.log2(shares)).sum(), abs=1e-6)
    assert (row["darkest"], row["lightest"], row["grey_range"]) == (0, 200, 200)


def test_sharpness_is_twenty_for_noise_and_falls_with_a_blur() -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (80, 60), dtype=np.uint8)).convert("RGB")
    blurs = [noise.filter(ImageFilter.GaussianBlur(radius)) for radius in (0, 1, 3)]
    table = measured({f"{n}.png": encoded(image, "PNG") for n, image in enumerate(blurs)})
    # Independent pixels of variance v: (4² + 4·1²)·v = 20·v.
    assert table["sharpness"][0] == pytest.approx(20, abs=0.7)
    assert table["sharpness"].is_monotonic_decreasing
    assert table["sharpness"][2] < 0.5


def test_sharpness_is_that_of_the_picture_and_not_of_its_size() -> None:
    image = Image.open(io.BytesIO(picture(2)))
    large = image.resize((240, 320), Image.Resampling.NEAREST)
    table = measured({"1.png": encoded(image, "PNG"), "2.png": encoded(large, "PNG")})
    assert table["sharpness"][0] == pytest.approx(table["sharpness"][1])
    assert table["phash"][0] == table["phash"][1]
    assert table["width"].tolist() == [60, 240]


def test_blocks_have_edges_of_one_pixel() -> None:
    image = Image.open(io.BytesIO(picture(2)))
    blocks = image.resize((10, 13)).resize((60, 80), Image.Resampling.NEAREST)
    small = image.resize((10, 13))
    table = measured(
        {f"{n}.png": encoded(each, "PNG") for n, each in enumerate((image, blocks, small))}
    )
    assert table["edge_spread"][0] > 0.4
    assert table["edge_spread"][1] < 0.1
    assert table["edge_spread"][2] == 1.0, "too small to tell"


def test_a_channel_that_slipped_fits_better_when_moved_back() -> None:
    image = np.asarray(Image.open(io.BytesIO(picture(2))).convert("L").convert("RGB"))
    slipped = image.copy()
    slipped[..., 0] = np.roll(slipped[..., 0], 8, axis=1)
    table = measured(
        {
            f"{n}.png": encoded(Image.fromarray(each), "PNG")
            for n, each in enumerate((image, slipped))
        }
    )
    assert table["channel_misfit"][0] == 0.0
    assert table["channel_misfit"][1] > 0.2


def test_perceptual_hashes_of_alike_pictures_differ_in_few_bits() -> None:
    image = Image.open(io.BytesIO(picture(2)))
    alike = image.resize((90, 120)).filter(ImageFilter.GaussianBlur(1))
    files = {
        "1.png": encoded(image, "PNG"),
        "2.jpg": encoded(alike, "JPEG"),
        "3.png": picture(4),
        "4.png": flat((9, 9, 9)),
    }
    hashes = [int(text, 16) for text in measured(files)["phash"]]
    assert (hashes[0] ^ hashes[1]).bit_count() <= 8
    assert (hashes[0] ^ hashes[2]).bit_count() >= 16
    assert hashes[3] == 1 << 63, "of one colour only the constant frequency is there"


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (300, 2), (2, 2), (61, 79)])
def test_pictures_of_odd_sizes_have_figures_without_a_warning(size: tuple[int, int]) -> None:
    row = measured({"1.png": picture(0, *size)}).iloc[0]
    assert row["decodes"]
    assert np.isfinite([row["sharpness"], row["edge_spread"], row["channel_misfit"]]).all()
    assert len(row["phash"]) == 16


def test_known_pictures_are_not_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = measured({"1.png": picture(1), "2.png": picture(2), "9.jpg": b"broken"})
    decoded: list[bytes] = []
    honest = measures.decode
    monkeypatch.setattr(
        measures, "decode", lambda data, limits: decoded.append(data) or honest(data, limits)
    )
    files = {"7.png": picture(1), "2.png": picture(2), "3.png": picture(3), "8.jpg": b"broken"}
    table = measure_images(files.items(), LIMITS, known=before)
    assert decoded == [picture(3)]
    monkeypatch.undo()
    pd.testing.assert_frame_equal(table, measured(files))
    assert table["id"].tolist() == ["2", "3", "7", "8"]


def test_unchanged_files_are_not_even_read() -> None:
    files = {f"{number}.png": picture(number) for number in range(9)}
    before = measured(files)
    files |= {"4.png": picture(40), "new.png": picture(41)}
    read: list[str] = []
    steps: list[int] = []

    def reader(name: str) -> Callable[[], bytes]:
        return lambda: read.append(name) or files[name]  # type: ignore[func-returns-value]

    told = [(name, sha256_bytes(data), reader(name)) for name, data in files.items()]
    table, fresh = measure_changed(told, LIMITS, before, steps.append)
    assert (sorted(read), fresh, sum(steps)) == (["4.png", "new.png"], 2, 10)
    pd.testing.assert_frame_equal(table, measured(files))


def test_with_nothing_known_or_nothing_delivered_the_tables_are_whole() -> None:
    nothing = measured({})
    everything = [("1.png", sha256_bytes(picture()), picture)]
    table, fresh = measure_changed(everything, LIMITS, nothing)
    pd.testing.assert_frame_equal(table, measured({"1.png": picture()}))
    assert fresh == 1
    table, fresh = measure_changed([], LIMITS, table)
    assert (len(table), fresh) == (0, 0)


def test_bytes_that_are_not_what_the_manifest_says_are_refused() -> None:
    with pytest.raises(ArtifactInvalid, match=r"1\.png: its bytes have the SHA-256"):
        measure_changed([("1.png", "0" * 64, picture)], LIMITS, measured({}))


def test_measures_of_other_code_are_refused() -> None:
    with pytest.raises(ArtifactInvalid, match="phash"):
        measure_images([], LIMITS, known=measured({}).drop(columns="phash"))


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
