"""Figures of decoded pixels: light, sharpness, colour channels, digests, perceptual hash.

All but the digest and the size are taken at about 80 pixels on the longer side, the size
at which the suites' bounds were tuned: a larger picture is averaged down first. A blur
that is lost there is one that the model cannot see either. Levels, sums and squares are
integers, so the figures of a picture do not depend on which others it was measured with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

_Grey = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.float64]

_LEVELS = np.arange(256)
_WORKING_SIDE = 80
_SMALL_SIDE = 40
# Share of the pixels that `darkest` and `lightest` pass over: a hot pixel is no subject.
_OUTLIERS = 0.001
# Where the edges of the channels agree at least so well, none has slipped far.
_CHANNELS_AGREE = 0.9
# Perceptual hash: the 8 x 8 lowest frequencies of the picture at 32 x 32.
_HASH_SIDE, _HASH_FREQUENCIES = 32, 8


def figures_of(pictures: Sequence[npt.NDArray[np.uint8]]) -> list[dict[str, Any]]:
    """The figures of [height, width, 3] uint8 pictures, in their order.

    Pictures of one size are worked on together, which is several times faster.
    """
    rows = [_whole(pixels) for pixels in pictures]
    small = [_working_copy(pixels) for pixels in pictures]
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for position, pixels in enumerate(small):
        by_shape.setdefault(pixels.shape, []).append(position)
    for positions in by_shape.values():
        of_stack = _of_stack(np.stack([small[position] for position in positions]))
        for position, figures in zip(positions, of_stack, strict=True):
            rows[position] |= figures
    return rows


def _whole(pixels: npt.NDArray[np.uint8]) -> dict[str, Any]:
    height, width, _ = pixels.shape
    return {
        "width": width,
        "height": height,
        "greyscale": _is_grey(pixels),
        "sha256_pixels": _pixel_digest(pixels),
    }


def _is_grey(pixels: npt.NDArray[np.uint8]) -> bool:
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return bool(np.array_equal(red, green) and np.array_equal(green, blue))


def _pixel_digest(pixels: npt.NDArray[np.uint8]) -> str:
    """SHA-256 over ``height x width x 3`` as text and the RGB bytes in row order."""
    digest = hashlib.sha256("x".join(str(side) for side in pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _working_copy(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The picture, box-averaged by a whole factor to about 80 pixels on the longer side."""
    factor = round(max(pixels.shape[:2]) / _WORKING_SIDE)
    if factor < 2:
        return pixels
    return np.asarray(Image.fromarray(pixels).reduce(factor))


def _of_stack(stack: npt.NDArray[np.uint8]) -> list[dict[str, Any]]:
    """Figures of [n, height, width, 3] uint8 pictures."""
    grey = _luma(stack)
    figures = {
        **_light(grey),
        "edge_spread": _edge_spread(grey),
        "channel_misfit": _channel_misfit(stack),
        "phash": _perceptual_hash(grey),
    }
    variance = figures["contrast"] ** 2
    figures["sharpness"] = _ratio(_laplacian_variance(grey), variance)
    columns = {name: values.tolist() for name, values in figures.items()}
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _luma(stack: npt.NDArray[np.uint8]) -> _Grey:
    """[n, height, width] uint8 luma (ITU-R BT.601), rounded as Pillow's mode "L"."""
    count, height, width, _ = stack.shape
    tall = Image.fromarray(stack.reshape(count * height, width, 3)).convert("L")
    return np.asarray(tall).reshape(count, height, width)


def _light(grey: _Grey) -> dict[str, npt.NDArray[Any]]:
    """Mean, standard deviation, entropy (bits) and outer levels of the luma."""
    count, height, width = grey.shape
    size = height * width
    offsets = 256 * np.arange(count)[:, None, None]
    histogram = np.bincount((grey + offsets).ravel(), minlength=256 * count).reshape(count, 256)
    mean = histogram @ _LEVELS / size
    # n·Σx² − (Σx)² in integers: exact, and never below 0.
    spread = size * (histogram @ _LEVELS**2) - (histogram @ _LEVELS) ** 2
    shares = histogram / size
    bits = shares * np.log2(np.where(histogram > 0, shares, 1.0))
    below = histogram.cumsum(axis=1)
    darkest = (below > _OUTLIERS * size).argmax(axis=1)
    lightest = (below >= (1 - _OUTLIERS) * size).argmax(axis=1)
    return {
        "brightness": mean,
        "contrast": np.sqrt(spread) / size,
        "entropy": np.abs(bits.sum(axis=1)).round(6),
        "darkest": darkest,
        "lightest": lightest,
        "grey_range": lightest - darkest,
    }


def _laplacian_variance(grey: _Grey) -> _Floats:
    """Variance of the 4-neighbour Laplacian, borders repeated (Pech-Pacheco et al., 2000)."""
    padded = np.pad(grey.astype(np.int32), ((0, 0), (1, 1), (1, 1)), mode="edge")
    around = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    edges = 4 * padded[:, 1:-1, 1:-1] - around
    size = edges[0].size
    squares = (edges * edges).sum(axis=(1, 2), dtype=np.int64)
    total = edges.sum(axis=(1, 2), dtype=np.int64)
    return (size * squares - total * total) / (size * size)  # type: ignore[no-any-return]


def _edge_spread(grey: _Grey) -> _Floats:
    """How far edges reach beyond one pixel, from 0; the larger of across and down.

    Correlation of the gradient's size with itself one pixel on. A photo's edges take two
    pixels or more; those of an enlarged tiny picture, whose pixels are blocks, take one.
    So do those of a picture that is itself small: there it is 1, as nothing can be told.
    """
    if max(grey.shape[1:]) < _SMALL_SIDE:
        return np.ones(len(grey))
    across = _steps(grey, 2).astype(np.int32)
    down = _steps(grey, 1).astype(np.int32)
    return np.maximum(
        _ratio(_sums(across[:, :, 1:], across[:, :, :-1]), _sums(across, across), empty=1.0),
        _ratio(_sums(down[:, 1:], down[:, :-1]), _sums(down, down), empty=1.0),
    )


def _steps(levels: npt.NDArray[np.uint8], axis: int) -> npt.NDArray[np.uint8]:
    """Absolute differences of neighbours along an axis."""
    turned = np.moveaxis(levels, axis, 0)  # a view
    before, after = np.moveaxis(turned[:-1], 0, axis), np.moveaxis(turned[1:], 0, axis)
    steps: npt.NDArray[np.uint8] = np.maximum(before, after) - np.minimum(before, after)
    return steps


def _sums(first: npt.NDArray[np.int32], second: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Sum of products in each picture; 255² times the at most 120 x 120 pixels fits int32."""
    return np.asarray(np.einsum("nhw,nhw->n", first, second))


def _channel_misfit(stack: npt.NDArray[np.uint8]) -> _Floats:
    """How much better the edges of two colour channels agree when one is moved (0 to 1).

    At half the size: a JPEG usually keeps colours at no more, and smears them at the whole.
    """
    small = _halved(stack)
    edges = np.zeros(small.shape, np.uint8)
    edges[:, :, :-1] = _steps(small, 2)
    edges[:, :-1] = np.maximum(edges[:, :-1], _steps(small, 1))
    channels = [edges[..., channel].astype(np.int32) for channel in range(3)]
    powers = [_sums(channel, channel).astype(np.float64) for channel in channels]
    misfit = np.zeros(len(small))
    for first, second in ((0, 1), (1, 2), (0, 2)):
        norms = np.sqrt(powers[first] * powers[second])
        agreement = _ratio(_sums(channels[first], channels[second]), norms, empty=1.0)
        # Moving a channel is tried only where it could help: a Fourier transform is dear.
        tried = np.flatnonzero(agreement < _CHANNELS_AGREE)
        if len(tried):
            best = _best_agreement(channels[first][tried], channels[second][tried])
            gain = best / norms[tried] - agreement[tried]
            misfit[tried] = np.maximum(misfit[tried], gain)
    return misfit.round(6)


def _halved(stack: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Means of 2 x 2 pixels; an odd last row is left out."""
    count, height, width, _ = stack.shape
    rows = height // 2
    if rows == 0:
        return stack[:, :0]
    tall = np.ascontiguousarray(stack[:, : 2 * rows]).reshape(count * 2 * rows, width, 3)
    return np.asarray(Image.fromarray(tall).reduce(2)).reshape(count, rows, -1, 3)


def _best_agreement(first: npt.NDArray[np.int32], second: npt.NDArray[np.int32]) -> _Floats:
    """[n]: the largest sum of products of two [n, h, w] maps over all (circular) moves."""
    axes = (1, 2)
    moved = np.fft.rfft2(first, axes=axes).conj() * np.fft.rfft2(second, axes=axes)
    return np.asarray(np.fft.irfft2(moved, s=first.shape[1:], axes=axes).max(axis=axes))


def _perceptual_hash(grey: _Grey) -> npt.NDArray[np.str_]:
    """64-bit hash of each picture as 16 hex digits; alike pictures differ in few bits.

    The DCT-II of the picture at 32 x 32; a bit says whether one of the 8 x 8 lowest
    frequencies lies above their median (pHash: Zauner, 2010; the constant one included).
    """
    _, height, width = grey.shape
    rows, columns = _frequencies(height), _frequencies(width)
    spectrum = (rows @ grey.astype(np.float64) @ columns.T).round(6)
    flat = spectrum.reshape(len(grey), -1)
    bits = np.packbits(flat > np.median(flat, axis=1, keepdims=True), axis=1)
    return np.array([row.tobytes().hex() for row in bits], dtype=np.str_)


@lru_cache(maxsize=256)
def _frequencies(side: int) -> _Floats:
    """[8, side]: averages ``side`` pixels into 32 cells, then takes their 8 lowest cosines."""
    edges = np.linspace(0, side, _HASH_SIDE + 1)
    pixels = np.arange(side)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    averaging = np.maximum(overlap, 0) * (_HASH_SIDE / side)
    cells = np.arange(_HASH_SIDE) + 0.5
    cosines = np.cos(np.pi / _HASH_SIDE * np.arange(_HASH_FREQUENCIES)[:, None] * cells)
    return np.asarray(cosines @ averaging)


def _ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any], empty: float = 0.0) -> _Floats:
    """part / whole, or ``empty`` where the whole is 0."""
    safe = np.where(whole > 0, whole, 1)
    return np.where(whole > 0, part / safe, empty)
