"""Small pictures for the tests of images/: encoded as asked, otherwise alike."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from recsys.images import ImageLimits

LIMITS = ImageLimits(max_bytes=1_000_000, max_pixels=1_000_000)


def quarters(width: int = 60, height: int = 80) -> Image.Image:
    """Red, green / blue, white: every turn and mirror of it looks different."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (255, 0, 0)
    pixels[: height // 2, width // 2 :] = (0, 255, 0)
    pixels[height // 2 :, : width // 2] = (0, 0, 255)
    pixels[height // 2 :, width // 2 :] = (255, 255, 255)
    return Image.fromarray(pixels)


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def with_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()
