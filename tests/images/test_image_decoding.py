from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from images.pictures import LIMITS, encoded, quarters, with_orientation
from recsys.errors import ImageRejected
from recsys.images import ImageLimits, decode
from recsys.images.headers import exif_orientation, jpeg_scans


def by_pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_a_baseline_jpeg_gives_the_pixels_that_pillow_gives() -> None:
    data = encoded(quarters(), "JPEG", quality=90, subsampling=0)
    pixels = decode(data, LIMITS)
    assert pixels.shape == (80, 60, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, by_pillow(data))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(quarters(), "JPEG", progressive=True), id="progressive"),
        pytest.param(encoded(quarters().convert("L"), "JPEG"), id="greyscale"),
        pytest.param(encoded(quarters().convert("CMYK"), "JPEG"), id="CMYK"),
        pytest.param(encoded(quarters().convert("P"), "PNG"), id="palette"),
        pytest.param(encoded(quarters().convert("L"), "PNG"), id="greyscale PNG"),
        pytest.param(encoded(quarters().convert("1"), "PNG"), id="one bit"),
        pytest.param(encoded(quarters(), "WEBP", lossless=True), id="lossless WebP"),
        pytest.param(encoded(quarters(), "WEBP"), id="lossy WebP"),
    ],
)
def test_every_kind_of_picture_becomes_rgb(data: bytes) -> None:
    np.testing.assert_allclose(decode(data, LIMITS).astype(int), by_pillow(data), atol=2)


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("WEBP", "RGB")]
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(orientation: int, kind: str, mode: str) -> None:
    data = encoded(quarters().convert(mode), kind, exif=with_orientation(orientation))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert upright is not None
    np.testing.assert_allclose(decode(data, LIMITS).astype(int), upright.convert("RGB"), atol=2)


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"Exif\x00\x00",
        b"Exif\x00\x00XX*\x00\x08\x00\x00\x00",
        b"II*\x00\xff\xff\xff\xff",
        b"MM\x00*\x00\x00\x00\x08\xff\xff",
        with_orientation(9),
    ],
)
def test_a_malformed_exif_block_counts_as_upright(exif: bytes) -> None:
    assert exif_orientation(exif) == 1


def test_transparency_is_laid_on_white() -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert (decode(encoded(clear), LIMITS) == 255).all()
    # 0 x 128/255 + 255 x 127/255 = 127
    assert (decode(encoded(half), LIMITS) == 127).all()


def test_a_transparent_palette_entry_is_laid_on_white() -> None:
    picture = Image.new("P", (4, 4), 0)
    picture.putpalette([10, 20, 30])
    assert (decode(encoded(picture, transparency=0), LIMITS) == 255).all()
    assert decode(encoded(picture), LIMITS)[0, 0].tolist() == [10, 20, 30]


def test_sixteen_bit_grey_keeps_its_upper_byte() -> None:
    deep = Image.fromarray(np.array([[0, 0x1234, 0x80FF, 0xFFFF]], np.uint16))
    assert decode(encoded(deep), LIMITS)[0, :, 0].tolist() == [0, 0x12, 0x80, 0xFF]


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert decode(data, LIMITS)[0, 0].tolist() == [255, 0, 0]


def jpeg() -> bytes:
    return encoded(quarters(), "JPEG")


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims any size and whose pixels are missing."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\x00\x00\x00\x00IDAT5\xaf\x06\x1e"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", r"empty \(0 bytes\)", id="empty"),
        pytest.param(b"hello, I am text", "not a JPEG, PNG or WebP", id="text"),
        pytest.param(encoded(quarters(), "GIF"), "not a JPEG, PNG or WebP", id="GIF"),
        pytest.param(jpeg()[: len(jpeg()) // 2], "cut short", id="truncated JPEG"),
        pytest.param(jpeg()[:30], "cut short", id="JPEG header only"),
        pytest.param(encoded(quarters())[:60], "cut short", id="truncated PNG"),
        pytest.param(encoded(quarters(), "WEBP")[:60], "cut short", id="truncated WebP"),
        pytest.param(png_claiming(0, 5), "damaged|says it is", id="no width"),
        pytest.param(png_claiming(30_000, 2_000), "60,000,000 pixels", id="too many pixels"),
        pytest.param(png_claiming(30_000, 30_000), "too many pixels", id="decompression bomb"),
    ],
)
def test_what_is_not_an_acceptable_picture_is_rejected_with_the_reason(
    data: bytes, reason: str
) -> None:
    with pytest.raises(ImageRejected, match=reason):
        decode(data, LIMITS)


def test_a_picture_may_be_as_large_as_the_limits_and_no_larger() -> None:
    data = encoded(quarters(60, 80), "JPEG")
    assert decode(data, ImageLimits(len(data), 4_800)).shape == (80, 60, 3)
    with pytest.raises(ImageRejected, match=r"at most .* are accepted"):
        decode(data, ImageLimits(len(data) - 1, 4_800))
    with pytest.raises(ImageRejected, match="60 x 80 = 4,800 pixels; at most 4,799"):
        decode(data, ImageLimits(len(data), 4_799))


def test_a_jpeg_of_endless_scans_is_rejected_unseen() -> None:
    data = encoded(quarters(), "JPEG", progressive=True)
    assert jpeg_scans(jpeg()) == 1
    assert 5 < jpeg_scans(data) < 20
    last = data.rindex(b"\xff\xda")
    endless = data[:last] + data[last:-2] * 200 + data[-2:]
    with pytest.raises(ImageRejected, match="scans; at most 100"):
        decode(endless, LIMITS)


@pytest.mark.parametrize("odd", [b"\xff\x01", b"\xff\xd0", b"\xff\x00", b"\xff\xff\x01"])
def test_endless_scans_cannot_hide_behind_an_odd_marker(odd: bytes) -> None:
    data = encoded(quarters(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    endless = data[:2] + odd + data[2:last] + data[last:-2] * 200 + data[-2:]
    with pytest.raises(ImageRejected, match="scans; at most 100"):
        decode(endless, LIMITS)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_strips_join_without_a_seam(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (80, 60, 4), np.uint8)
    picture = Image.fromarray(noise)
    if mode == "I;16":
        picture = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    else:
        picture = (picture if mode == "RGBA" else picture.convert("RGB")).convert(mode)
    data = encoded(picture, "JPEG" if mode == "CMYK" else "PNG")
    whole = decode(data, LIMITS)
    monkeypatch.setattr("recsys.images.decoding._STRIP_PIXELS", 7 * 60)
    np.testing.assert_array_equal(decode(data, LIMITS), whole)


def test_no_damage_escapes_as_another_error() -> None:
    rng = np.random.default_rng(4)
    small = quarters(20, 24)
    for kind in ("JPEG", "PNG", "WEBP"):
        data = np.frombuffer(encoded(small, kind, exif=with_orientation(6)), np.uint8)
        for _ in range(150):
            damaged = data.copy()
            damaged[rng.integers(0, len(data), 3)] = rng.integers(0, 256, 3)
            try:
                assert decode(damaged.tobytes(), LIMITS).dtype == np.uint8
            except ImageRejected as error:
                assert str(error)  # noqa: PT017 - both outcomes are right
