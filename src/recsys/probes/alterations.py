"""What happens to a picture between the camera and the shop: crops, light, codecs, blur.

Every alteration takes and gives uint8 [n, height, width, 3] RGB and never changes what it was
given. Strengths are whole numbers, so that they make good names.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from recsys import images

Pixels = npt.NDArray[np.uint8]
Apply = Callable[[Pixels, np.random.Generator], Pixels]

_WHITE: Final = (255, 255, 255)
# Ours to encode, so ours to decode: no more than a few times what the model sees.
_LIMITS: Final = images.ImageLimits(max_bytes=100_000_000, max_pixels=100_000_000)


@dataclass(frozen=True)
class Alteration:
    """One way to alter pictures; ``apply`` may draw from the generator it is given."""

    probe: str
    strength: int
    apply: Apply

    @property
    def name(self) -> str:
        """Such as ``jpeg_50``."""
        return f"{self.probe}_{self.strength}"


def cropped(pictures: Pixels, generator: np.random.Generator, percent: int) -> Pixels:
    """Cut out, anywhere, this percentage of each side, and enlarge it to the old size."""
    height, width = pictures.shape[1:3]
    inner = (round(width * percent / 100), round(height * percent / 100))
    lefts = generator.integers(0, width - inner[0] + 1, len(pictures))
    tops = generator.integers(0, height - inner[1] + 1, len(pictures))
    boxes = zip(lefts.tolist(), tops.tolist(), strict=True)
    altered = [
        Image.fromarray(picture).resize(
            (width, height),
            Image.Resampling.BICUBIC,
            box=(left, top, left + inner[0], top + inner[1]),
        )
        for picture, (left, top) in zip(pictures, boxes, strict=True)
    ]
    return np.stack([np.asarray(picture) for picture in altered])


def lit(pictures: Pixels, percent: int) -> Pixels:
    """Every channel times this percentage, clipped."""
    shown: Pixels = np.clip(np.rint(pictures * (percent / 100)), 0, 255).astype(np.uint8)
    return shown


def blurred(pictures: Pixels, percent: int) -> Pixels:
    """Gaussian blur whose radius (standard deviation) is this percentage of the height."""
    blur = ImageFilter.GaussianBlur(pictures.shape[1] * percent / 100)
    return _each(pictures, lambda picture: picture.filter(blur))


def rotated(pictures: Pixels, degrees: int) -> Pixels:
    """Turned counter-clockwise about the centre, on white."""
    return _each(
        pictures,
        lambda picture: picture.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=_WHITE),
    )


def noisy(pictures: Pixels, generator: np.random.Generator, deviation: int) -> Pixels:
    """Normal noise of this standard deviation, in steps of 255, on every value."""
    noise = generator.normal(0, deviation, pictures.shape)
    return np.clip(np.rint(pictures + noise), 0, 255).astype(np.uint8)


def shifted(pictures: Pixels) -> Pixels:
    """One pixel to the right and one down; the edge is repeated."""
    padded = np.pad(pictures, ((0, 0), (1, 0), (1, 0), (0, 0)), mode="edge")
    return padded[:, :-1, :-1]


def encoded(pictures: Pixels, kind: str, *, times: int = 1, **options: Any) -> Pixels:
    """Through a file of another kind, enlarged ``times`` so often, and back by our decoder."""
    height, width = pictures.shape[1:3]

    def through_a_file(picture: Pixels) -> Pixels:
        shown = Image.fromarray(picture)
        if times > 1:
            shown = shown.resize((width * times, height * times), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        shown.save(file, kind, **options)
        return images.load(file.getvalue(), width, height, _LIMITS)

    return np.stack([through_a_file(picture) for picture in pictures])


def _each(pictures: Pixels, change: Callable[[Image.Image], Image.Image]) -> Pixels:
    return np.stack([np.asarray(change(Image.fromarray(picture))) for picture in pictures])


def _crop(percent: int) -> Alteration:
    return Alteration("crop", percent, lambda shown, random: cropped(shown, random, percent))


def _light(percent: int) -> Alteration:
    return Alteration("brightness", percent, lambda shown, _: lit(shown, percent))


def _jpeg(quality: int) -> Alteration:
    return Alteration("jpeg", quality, lambda shown, _: encoded(shown, "JPEG", quality=quality))


def _blur(percent: int) -> Alteration:
    return Alteration("blur", percent, lambda shown, _: blurred(shown, percent))


def _rotation(degrees: int) -> Alteration:
    return Alteration("rotation", degrees, lambda shown, _: rotated(shown, degrees))


def _noise(deviation: int) -> Alteration:
    return Alteration("noise", deviation, lambda shown, random: noisy(shown, random, deviation))


ALTERATIONS: Final = (
    _crop(90),
    _crop(80),
    _light(75),
    _light(125),
    _jpeg(50),
    _jpeg(20),
    _blur(1),
    _blur(2),
    _rotation(5),
    _rotation(10),
    _noise(8),
    _noise(16),
)
