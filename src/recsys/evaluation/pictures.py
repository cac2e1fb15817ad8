"""Figures of pictures as the model sees them, by which its weak spots are searched."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

# How far a pixel may be from its picture's border, in levels of 255, to be background.
_BACKGROUND_WITHIN = 24
_BLOCK = 1_024
# ITU-R BT.601.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def picture_figures(pixels: npt.NDArray[np.uint8]) -> pd.DataFrame:
    """One row a picture of [n, height, width, 3] uint8; a memory map is read in blocks.

    ``brightness`` and ``contrast``: mean and standard deviation of the luma, 0 to 255.
    ``saturation``: mean difference of the largest and the smallest channel, 0 to 255.
    ``background``: share of the pixels that look like the picture's border.
    ``aspect``: height over width of what is not background; of the picture if all is.
    """
    blocks = [
        _figures(np.asarray(pixels[start : start + _BLOCK]))
        for start in range(0, len(pixels), _BLOCK)
    ]
    return pd.concat(blocks, ignore_index=True)


def _figures(pixels: npt.NDArray[np.uint8]) -> pd.DataFrame:
    luma = pixels.astype(np.float32) @ _LUMA
    subject = _subject(pixels)
    return pd.DataFrame(
        {
            "brightness": luma.mean(axis=(1, 2), dtype=np.float64),
            "contrast": luma.std(axis=(1, 2), dtype=np.float64),
            "saturation": (pixels.max(axis=3) - pixels.min(axis=3)).mean(axis=(1, 2)),
            "background": 1 - subject.mean(axis=(1, 2)),
            "aspect": _extent(subject, 2) / _extent(subject, 1),
        }
    )


def _subject(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """[n, height, width] whether a pixel is unlike the median of the border."""
    border = np.concatenate(
        [pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], axis=1
    )
    ground = np.median(border, axis=1).astype(np.int16)
    unlike = np.abs(pixels.astype(np.int16) - ground[:, None, None, :]).max(axis=3)
    return np.asarray(unlike > _BACKGROUND_WITHIN)


def _extent(subject: npt.NDArray[np.bool_], over: int) -> npt.NDArray[np.float64]:
    """[n] pixels from the subject's first to its last, axis ``over`` aside; all if it is none."""
    there = np.asarray(subject.any(axis=over))
    side = there.shape[1]
    first, last = there.argmax(axis=1), side - 1 - there[:, ::-1].argmax(axis=1)
    extent = np.where(there.any(axis=1), last - first + 1, side)
    return np.asarray(extent, np.float64)
