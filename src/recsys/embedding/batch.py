"""A whole catalog through the model, on every core, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recsys.artifacts.base import require
from recsys.artifacts.files import sync_folder
from recsys.embedding.encoder import Encoder
from recsys.errors import ArtifactInvalid

# Rows in one piece of work, for a thread.
_PIECE: Final = 256
_NORM_TOLERANCE: Final = 1e-3

Mapped = np.memmap[Any, np.dtype[np.float32]]


def embed_all(
    model: Path,
    pixels: npt.NDArray[np.uint8],
    *,
    workers: int,
    out: Path,
    on_progress: Callable[[int], None] | None = None,
) -> Mapped:
    """Embed every image, in row order, into one ``.npy`` file.

    One interpreter a worker, in threads: LiteRT releases the GIL while it runs. The file
    appears at ``out`` only when it is whole and checked; the same model and pixels give the
    same bytes with any number of workers.

    Parameters
    ----------
    model
        An ``embedder.tflite``.
    pixels
        [n, height, width, 3] uint8 RGB; may be a memory map.
    workers
        Threads, each with an interpreter; one a core.
    out
        The ``.npy`` to write.
    on_progress
        Called in this thread with how many were embedded since the last call.

    Returns
    -------
        [n, dimension] float32, unit norm, a read-only map of ``out``.

    Raises
    ------
    ArtifactInvalid
        The model does not take these pixels, or gave a vector that is not finite or not of
        unit norm; names the first such row.
    """
    require(len(pixels) > 0, "there is nothing to embed: no pixels")
    require(workers > 0, f"embedding needs at least one worker, found {workers}")
    part = out.with_name(f".{out.name}.part")
    try:
        _fill(part, model, pixels, workers, on_progress or _ignore)
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(out)
        sync_folder(out.parent)
    finally:
        part.unlink(missing_ok=True)
    embedded: Mapped = np.lib.format.open_memmap(out, mode="r")
    return embedded


def _fill(
    part: Path,
    model: Path,
    pixels: npt.NDArray[np.uint8],
    workers: int,
    on_progress: Callable[[int], None],
) -> None:
    idle: SimpleQueue[Encoder] = SimpleQueue()
    for _ in range(workers):
        encoder = Encoder(model)
        idle.put(encoder)
    vectors = np.lib.format.open_memmap(
        part, mode="w+", dtype=np.float32, shape=(len(pixels), encoder.dimension)
    )

    def embed(start: int) -> int:
        piece = slice(start, start + _PIECE)
        encoder = idle.get()
        try:
            vectors[piece] = encoder.embed(np.asarray(pixels[piece]))
        finally:
            idle.put(encoder)
        _check(vectors[piece], start)
        return len(vectors[piece])

    with ThreadPoolExecutor(workers, thread_name_prefix="embed") as pool:
        pieces = [pool.submit(embed, start) for start in range(0, len(pixels), _PIECE)]
        try:
            for piece in as_completed(pieces):
                on_progress(piece.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    vectors.flush()


def _check(vectors: npt.NDArray[np.float32], start: int) -> None:
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    wrong = np.flatnonzero(~(np.abs(norms - 1) <= _NORM_TOLERANCE))  # NaN is wrong too
    if len(wrong):
        row = int(wrong[0])
        raise ArtifactInvalid(
            f"the model's vector of row {start + row} has norm {norms[row]:g},"
            f" expected 1 ± {_NORM_TOLERANCE:g}; the model is not fit to be indexed"
        )


def _ignore(_: int) -> None:
    return
