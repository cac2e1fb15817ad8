"""Small pictures of three kinds, and models of them that are simple enough to foretell."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

COLOURS = {"blue": (40, 60, 220), "green": (30, 190, 60), "red": (210, 40, 40)}
Pixels = npt.NDArray[np.uint8]


def drawn_pictures(count: int, seed: int = 5) -> Pixels:
    """[count, 24, 18, 3]: a square on white, blue, green and red in turn, each a little other."""
    random = np.random.default_rng(seed)
    pictures = np.full((count, 24, 18, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        colour = np.array(list(COLOURS.values())[number % 3]) + random.normal(0, 12, 3)
        top, left = random.integers(3, 7, 2)
        picture[top : top + 14, left : left + 9] = np.clip(colour, 0, 255)
        picture[top + 3 : top + 6, left + 2 : left + 5] = random.integers(0, 255, 3)
    return pictures


def labels_of(pictures: Pixels) -> list[str]:
    """The colour that a picture's middle is nearest to: drawn pictures get their own."""
    middle = pictures[:, 12:16, 8:12].reshape(len(pictures), -1, 3).mean(axis=1)
    known = np.array(list(COLOURS.values()), float)
    nearest = ((middle[:, None] - known[None]) ** 2).sum(axis=2).argmin(axis=1)
    return [list(COLOURS)[number] for number in nearest]


def by_pixels(pictures: Pixels) -> npt.NDArray[np.float32]:
    """Every pixel's distance from white: an embedding of much detail."""
    flat = 255.0 - pictures.reshape(len(pictures), -1)
    return _unit(flat + 1e-3)


def by_mean_colour(pictures: Pixels) -> npt.NDArray[np.float32]:
    """Mean of each channel below white: moves by a pixel do not matter."""
    return _unit(255.0 - pictures.mean(axis=(1, 2)) + 1e-3)


def always_the_same(pictures: Pixels) -> npt.NDArray[np.float32]:
    """A collapsed model: one vector for everything."""
    return _unit(np.ones((len(pictures), 4)))


def _unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = (vectors / norms).astype(np.float32)
    return unit
