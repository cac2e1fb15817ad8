"""Bytes to upright RGB pixels, or `ImageRejected` with the reason.

JPEG goes through simplejpeg (libjpeg-turbo, strict: damaged data is refused, not
guessed), which is five times faster than Pillow on catalogue photos. PNG, WebP and the few
JPEGs whose colour space or subsampling simplejpeg does not know go through Pillow.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from recsys.errors import ImageRejected
from recsys.images.headers import (
    exif_orientation,
    jpeg_orientation,
    jpeg_scans,
    sniff,
    without_metadata,
)

Pixels = npt.NDArray[np.uint8]

_WHITE = (255, 255, 255, 255)
_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
# A progressive JPEG of many empty scans costs hours; encoders write about ten.
_MAX_SCANS = 100
# A picture at least this many times larger than asked for is scaled while decoding, to
# twice the size asked for; the rest is resampled properly.
_SCALE_ON_DECODE_FROM = 4
_STRIP_PIXELS = 1_000_000
# What Pillow's parsers raise on damaged files; UserWarning where warnings are errors.
_PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    OverflowError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    zlib.error,
    UserWarning,
)


@dataclass(frozen=True)
class ImageLimits:
    """The largest file (``max_bytes``) and picture (``max_pixels``, width x height) accepted."""

    max_bytes: int
    max_pixels: int


def decode(data: bytes, limits: ImageLimits) -> Pixels:
    """Decode a JPEG, PNG or WebP to [height, width, 3] uint8 RGB, upright.

    The EXIF orientation is applied; transparency is laid on white; palette, greyscale,
    CMYK and 16 bit become RGB; of an animation the first frame counts.

    Raises
    ------
    ImageRejected
        Empty, too many bytes or pixels, another format, or damaged; says which.
    """
    return decode_near(data, limits, None)


def decode_near(data: bytes, limits: ImageLimits, target: tuple[int, int] | None) -> Pixels:
    """As `decode`; with a target (width, height) a far larger JPEG is scaled while decoding.

    What comes back is then still at least twice the size that fits the target.
    """
    _check_bytes(data, limits)
    found = sniff(data)
    if found is None:
        raise ImageRejected(
            f"the image is not a JPEG, PNG or WebP: it starts with {data[:8].hex(' ')}"
        )
    if found == "JPEG":
        return _decode_jpeg(data, limits, target)
    return _decode_with_pillow(data, found, limits)


def _check_bytes(data: bytes, limits: ImageLimits) -> None:
    if not data:
        raise ImageRejected("the image is empty (0 bytes)")
    if len(data) > limits.max_bytes:
        raise ImageRejected(
            f"the image has {len(data):,} bytes; at most {limits.max_bytes:,} are accepted"
        )


def _check_pixels(width: int, height: int, limits: ImageLimits) -> None:
    if width < 1 or height < 1:
        raise ImageRejected(f"the image says it is {width} x {height} pixels")
    if width * height > limits.max_pixels:
        raise ImageRejected(
            f"the image has {width} x {height} = {width * height:,} pixels;"
            f" at most {limits.max_pixels:,} are accepted"
        )


def _decode_jpeg(data: bytes, limits: ImageLimits, target: tuple[int, int] | None) -> Pixels:
    scans = jpeg_scans(data)
    if scans > _MAX_SCANS:
        raise ImageRejected(f"the JPEG has {scans} scans; at most {_MAX_SCANS} are accepted")
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:  # damaged, or a subsampling that it does not know: Pillow tells which
        return _decode_with_pillow(data, "JPEG", limits)
    _check_pixels(width, height, limits)
    if space in ("CMYK", "YCCK"):
        return _decode_with_pillow(data, "JPEG", limits)
    orientation = jpeg_orientation(data)
    min_width, min_height = _least_size(width, height, orientation, target)
    try:
        pixels = simplejpeg.decode_jpeg(data, min_height=min_height, min_width=min_width)
    except ValueError as error:
        raise ImageRejected(f"the JPEG is damaged or cut short: {error}") from error
    return _upright(pixels, orientation)


def _least_size(
    width: int, height: int, orientation: int, target: tuple[int, int] | None
) -> tuple[int, int]:
    """(width, height) to which a JPEG may be scaled on decoding; (0, 0) for not at all."""
    if target is None:
        return 0, 0
    target_width, target_height = target if orientation < 5 else target[::-1]
    shrink = max(width / target_width, height / target_height)
    if shrink < _SCALE_ON_DECODE_FROM:
        return 0, 0
    return max(1, round(2 * width / shrink)), max(1, round(2 * height / shrink))


def _decode_with_pillow(data: bytes, found: str, limits: ImageLimits) -> Pixels:
    plain = without_metadata(data) if found == "JPEG" else data
    try:
        with Image.open(io.BytesIO(plain), formats=[found]) as image:
            _check_pixels(*image.size, limits)
            image.load()
            orientation = _orientation(image, data, found)
            return _upright(_rgb(image), orientation)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageRejected(f"the {found} has too many pixels: {error}") from error
    except _PILLOW_ERRORS as error:
        raise ImageRejected(f"the {found} is damaged or cut short: {error}") from error


def _orientation(image: Image.Image, data: bytes, found: str) -> int:
    if found == "JPEG":
        return jpeg_orientation(data)
    exif = image.info.get("exif", b"")
    return exif_orientation(exif) if isinstance(exif, bytes) else 1


def _rgb(image: Image.Image) -> Pixels:
    """[height, width, 3] uint8 of a loaded Pillow picture in any mode.

    Strip by strip, as the intermediate pictures take up to 24 bytes a pixel.
    """
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        pixels[top:bottom] = _strip_rgb(image.crop((0, top, width, bottom)))
    return pixels


def _strip_rgb(image: Image.Image) -> Pixels:
    """[height, width, 3] uint8, or [height, width, 1] where grey is to be repeated."""
    if image.mode in _DEEP_MODES:  # Pillow's own conversion would clip at 255
        grey: Pixels = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
        return grey[:, :, None]
    if image.has_transparency_data:
        cutout = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", cutout.size, _WHITE), cutout)
    return np.asarray(image.convert("RGB"), dtype=np.uint8)


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF orientation; 5 to 8 swap height and width."""
    if orientation == 1:
        return pixels
    if orientation == 7:  # across the other diagonal
        pixels = pixels[::-1, ::-1]
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
