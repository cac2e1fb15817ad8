"""Pictures at the size the model sees: one, or a whole catalog into a memory map."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from recsys.errors import ImageRejected
from recsys.images.decoding import ImageLimits, decode_near

_WHITE = 255
# Far larger pictures are first averaged to about this many times the size, which is faster.
_REDUCING_GAP = 3.0
# One piece of work for a thread; small enough that a handful in memory is nothing.
_BATCH_IMAGES = 64
_BATCH_BYTES = 16_000_000
_BATCHES_PER_WORKER = 2

_Batch = tuple[int, list[bytes]]


def fit(pixels: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    """Fit [h, w, 3] uint8 into [height, width, 3]: aspect kept, centred on white.

    A picture of that very size comes back as it is, so nothing is resampled twice.
    """
    found_height, found_width = pixels.shape[:2]
    if (found_width, found_height) == (width, height):
        return pixels
    scale = min(width / found_width, height / found_height)
    inner_width = min(width, max(1, round(found_width * scale)))
    inner_height = min(height, max(1, round(found_height * scale)))
    inner = Image.fromarray(pixels).resize(
        (inner_width, inner_height), Image.Resampling.BICUBIC, reducing_gap=_REDUCING_GAP
    )
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    canvas = np.full((height, width, 3), _WHITE, np.uint8)
    canvas[top : top + inner_height, left : left + inner_width] = np.asarray(inner)
    return canvas


def load(data: bytes, width: int, height: int, limits: ImageLimits) -> npt.NDArray[np.uint8]:
    """`decode` and `fit` in one: bytes to [height, width, 3] uint8 RGB.

    A JPEG four or more times larger than asked for is scaled while it is decoded.

    Raises
    ------
    ImageRejected
        As `decode`.
    """
    return fit(decode_near(data, limits, (width, height)), width, height)


def load_all(
    items: Iterable[bytes],
    count: int,
    out: Path,
    width: int,
    height: int,
    limits: ImageLimits,
    on_progress: Callable[[int], None] | None = None,
) -> np.memmap[Any, np.dtype[np.uint8]]:
    """Load many pictures into one ``.npy`` file, [count, height, width, 3] uint8.

    Threads decode (simplejpeg and Pillow release the GIL) in bounded memory whatever the
    count. The file appears at ``out`` only when it is whole; the map is read-only.
    ``on_progress`` is called in this thread with how many were done since the last call.

    Raises
    ------
    ImageRejected
        A picture cannot be decoded; names its position, counted from 0.
    ValueError
        ``items`` does not hold ``count`` pictures, or ``count`` is not positive.
    """
    if count < 1:
        raise ValueError(f"there is nothing to load: count is {count}")
    part = out.with_name(f".{out.name}.part")
    try:
        _fill(part, items, (count, height, width, 3), limits, on_progress or _ignore)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    loaded: np.memmap[Any, np.dtype[np.uint8]] = np.lib.format.open_memmap(out, mode="r")
    return loaded


def _fill(
    path: Path,
    items: Iterable[bytes],
    shape: tuple[int, int, int, int],
    limits: ImageLimits,
    on_progress: Callable[[int], None],
) -> None:
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    workers = len(os.sched_getaffinity(0))
    waiting: deque[Future[int]] = deque()
    done = 0
    with ThreadPoolExecutor(workers, thread_name_prefix="images") as pool:
        try:
            for batch in _batches(items):
                if batch[0] + len(batch[1]) > shape[0]:
                    raise ValueError(f"more images came than the {shape[0]:,} announced")
                waiting.append(pool.submit(_load_batch, batch, pixels, limits))
                if len(waiting) >= workers * _BATCHES_PER_WORKER:
                    done += _finish(waiting.popleft(), on_progress)
            while waiting:
                done += _finish(waiting.popleft(), on_progress)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if done != shape[0]:
        raise ValueError(f"{done:,} images came, but {shape[0]:,} were announced")
    pixels.flush()


def _finish(batch: Future[int], on_progress: Callable[[int], None]) -> int:
    loaded = batch.result()
    on_progress(loaded)
    return loaded


def _load_batch(batch: _Batch, pixels: npt.NDArray[np.uint8], limits: ImageLimits) -> int:
    first, contents = batch
    height, width = pixels.shape[1:3]
    for position, data in enumerate(contents, first):
        try:
            pixels[position] = load(data, width, height, limits)
        except ImageRejected as error:
            raise ImageRejected(f"image {position} (counted from 0): {error}") from error
    return len(contents)


def _batches(items: Iterable[bytes]) -> Iterator[_Batch]:
    """(position of the first, contents), cut by number and by bytes."""
    first, contents, size = 0, list[bytes](), 0
    for data in items:
        contents.append(data)
        size += len(data)
        if len(contents) == _BATCH_IMAGES or size >= _BATCH_BYTES:
            yield first, contents
            first, contents, size = first + len(contents), [], 0
    if contents:
        yield first, contents


def _ignore(_: int) -> None:
    pass
