"""Measure delivered images: does it decode, how large, how bright, which pixels."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.artifacts.digests import sha256_bytes
from recsys.errors import ImageRejected
from recsys.images import ImageLimits, decode
from recsys.images.headers import sniff

# Column → dtype of the table, one row an image file.
MEASURES: dict[str, str] = {
    "path": "str",
    "id": "str",
    "decodes": "bool",
    "error": "str",
    "format": "str",
    "width": "int32",
    "height": "int32",
    "bytes": "int64",
    "brightness": "float64",
    "contrast": "float64",
    "greyscale": "bool",
    "sha256_bytes": "str",
    "sha256_pixels": "str",
}
# Luma of ITU-R BT.601, as Pillow's "L".
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Work is handed out in batches of at most so much: small pictures in handfuls, large ones
# alone, and never more than two batches a thread in memory.
_BATCH_IMAGES = 32
_BATCH_BYTES = 4_000_000
_STRIP_PIXELS = 1_000_000

_Batch = list[tuple[str, bytes]]


def measure_images(
    images: Iterable[tuple[str, bytes]],
    limits: ImageLimits,
    on_progress: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """One row an image file, sorted by path; see `MEASURES`.

    ``id`` is the file's stem; ``brightness`` and ``contrast`` are mean and standard
    deviation of the luma (0 to 255); ``greyscale`` says that red, green and blue are equal
    everywhere; ``sha256_pixels`` is over shape and decoded RGB. Where ``decodes`` is false,
    ``error`` says why, and sizes, brightness and contrast are 0.

    Parameters
    ----------
    images
        (path, bytes) of each file; read a little ahead, never all at once.
    limits
        What an image may be.
    on_progress
        Called with the number of images done since the last call.
    """
    rows: list[dict[str, Any]] = []
    for done in _in_threads(_batches(images), limits):
        rows += done
        if on_progress is not None:
            on_progress(len(done))
    table = pd.DataFrame(rows, columns=list(MEASURES)).astype(MEASURES)
    return table.sort_values("path", ignore_index=True)


def _batches(images: Iterable[tuple[str, bytes]]) -> Iterator[_Batch]:
    batch: _Batch = []
    size = 0
    for path, data in images:
        batch.append((path, data))
        size += len(data)
        if len(batch) >= _BATCH_IMAGES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _in_threads(batches: Iterator[_Batch], limits: ImageLimits) -> Iterator[list[dict[str, Any]]]:
    threads = os.cpu_count() or 1
    waiting: deque[Future[list[dict[str, Any]]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="measure") as pool:
        for batch in batches:
            waiting.append(pool.submit(_measure_batch, batch, limits))
            if len(waiting) >= 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _measure_batch(batch: _Batch, limits: ImageLimits) -> list[dict[str, Any]]:
    return [_measure(path, data, limits) for path, data in batch]


def _measure(path: str, data: bytes, limits: ImageLimits) -> dict[str, Any]:
    row: dict[str, Any] = {
        "path": path,
        "id": PurePosixPath(path).stem,
        "decodes": False,
        "error": "",
        "format": sniff(data) or "",
        "width": 0,
        "height": 0,
        "bytes": len(data),
        "brightness": 0.0,
        "contrast": 0.0,
        "greyscale": False,
        "sha256_bytes": sha256_bytes(data),
        "sha256_pixels": "",
    }
    try:
        pixels = decode(data, limits)
    except ImageRejected as error:
        return {**row, "error": str(error)[:300]}
    return {**row, "decodes": True, **_figures(pixels)}


def _figures(pixels: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """Figures of [height, width, 3] uint8 pixels."""
    height, width, _ = pixels.shape
    brightness, contrast = _light(pixels)
    return {
        "width": width,
        "height": height,
        "brightness": brightness,
        "contrast": contrast,
        "greyscale": _is_grey(pixels),
        "sha256_pixels": _pixel_digest(pixels),
    }


def _light(pixels: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """Mean and standard deviation of the luma, strip by strip to bound the memory."""
    height, width, _ = pixels.shape
    rows = max(1, _STRIP_PIXELS // width)
    total = squares = 0.0
    for top in range(0, height, rows):
        luma = (pixels[top : top + rows] @ _LUMA).astype(np.float64)
        total += float(luma.sum())
        squares += float(np.vdot(luma, luma))
    mean = total / (height * width)
    variance = squares / (height * width) - mean * mean
    return mean, float(np.sqrt(max(0.0, variance)))


def _is_grey(pixels: npt.NDArray[np.uint8]) -> bool:
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return bool(np.array_equal(red, green) and np.array_equal(green, blue))


def _pixel_digest(pixels: npt.NDArray[np.uint8]) -> str:
    """SHA-256 over ``height x width x 3`` as text and the RGB bytes in row order."""
    digest = hashlib.sha256("x".join(str(side) for side in pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
