"""Measure delivered images: does it decode, how large, how bright, how sharp, which pixels.

A picture that was measured before, by the same code and limits, is not decoded again: its
row is taken from the earlier table.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from posixpath import basename, splitext
from typing import Any

import numpy as np
import pandas as pd

from recsys.artifacts.base import require
from recsys.artifacts.digests import sha256_bytes
from recsys.errors import ImageRejected
from recsys.images import ImageLimits, decode
from recsys.images.figures import figures_of
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
    "darkest": "int32",
    "lightest": "int32",
    "grey_range": "int32",
    "entropy": "float64",
    "sharpness": "float64",
    "edge_spread": "float64",
    "channel_misfit": "float64",
    "greyscale": "bool",
    "sha256_bytes": "str",
    "sha256_pixels": "str",
    "phash": "str",
}
# What a picture that does not decode has in place of figures.
_NO_FIGURES: dict[str, Any] = {
    "width": 0,
    "height": 0,
    "brightness": 0.0,
    "contrast": 0.0,
    "darkest": 0,
    "lightest": 0,
    "grey_range": 0,
    "entropy": 0.0,
    "sharpness": 0.0,
    "edge_spread": 0.0,
    "channel_misfit": 0.0,
    "greyscale": False,
    "sha256_pixels": "",
    "phash": "",
}
# Work is handed out in batches of at most so much: small pictures in handfuls, large ones
# alone, and never more than two batches a thread in memory.
_BATCH_IMAGES = 32
_BATCH_BYTES = 4_000_000
# A handful of decoded pictures is measured together up to so many pixels.
_HANDFUL_PIXELS = 1_000_000

_Batch = list[tuple[str, bytes]]
_Row = dict[str, Any]


def measure_images(
    images: Iterable[tuple[str, bytes]],
    limits: ImageLimits,
    on_progress: Callable[[int], None] | None = None,
    *,
    known: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row an image file, sorted by path; see `MEASURES`.

    ``id`` is the file's stem. Of the luma (0 to 255): ``brightness`` and ``contrast`` are
    mean and standard deviation, ``entropy`` is in bits, ``darkest`` and ``lightest`` leave
    out one pixel in a thousand, ``grey_range`` is their difference. ``sharpness`` is the
    variance of the Laplacian over that of the luma: 20 for noise, near 0 for a blur.
    ``edge_spread`` is low where pixels are blocks, ``channel_misfit`` high where a colour
    channel has slipped. ``greyscale`` says that red, green and blue are equal everywhere;
    ``sha256_pixels`` is over shape and decoded RGB; ``phash`` a perceptual hash, 16 hex
    digits. Where ``decodes`` is false, ``error`` says why and figures are 0 or empty.

    Parameters
    ----------
    images
        (path, bytes) of each file; read a little ahead, never all at once.
    limits
        What an image may be.
    on_progress
        Called with the number of images done since the last call.
    known
        Rows of an earlier table, made by the same code with the same limits. A file whose
        SHA-256 stands there is not decoded; its row is copied with its new path and id.

    Raises
    ------
    ArtifactInvalid
        ``known`` has other columns than `MEASURES`.
    """
    earlier = {} if known is None else _by_digest(known)
    rows: list[_Row] = []
    for done in _in_threads(_batches(images), limits, earlier):
        rows += done
        if on_progress is not None:
            on_progress(len(done))
    return _table(pd.DataFrame(rows, columns=list(MEASURES)))


def measure_changed(
    files: Sequence[tuple[str, str, Callable[[], bytes]]],
    limits: ImageLimits,
    known: pd.DataFrame,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[pd.DataFrame, int]:
    """As `measure_images`, for files whose SHA-256 is known without reading them.

    Returns the table and how many files were read and measured. One whose SHA-256 stands in
    ``known`` is not even read, so a night costs in proportion to what changed.

    Parameters
    ----------
    files
        (path, SHA-256 of the bytes in hex, a function that reads them).

    Raises
    ------
    ArtifactInvalid
        ``known`` has other columns, or a file that was read has another SHA-256 than said.
    """
    _require_measures(known)
    said = pd.DataFrame(
        [(path, digest) for path, digest, _ in files], columns=["path", "sha256_bytes"], dtype="str"
    )
    there = set(known["sha256_bytes"])  # faster than pandas' own look-up
    unchanged = [digest in there for _, digest, _ in files]
    fresh = [file for file, skip in zip(files, unchanged, strict=True) if not skip]
    if on_progress is not None and any(unchanged):
        on_progress(sum(unchanged))
    measured = measure_images(((path, read()) for path, _, read in fresh), limits, on_progress)
    _require_as_said(measured, said)
    copied = _copied(said[np.array(unchanged, bool)], known)
    return _table(pd.concat([copied, measured])), len(fresh)


def _copied(files: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """The known rows of these (path, sha256_bytes), under their paths and ids."""
    figures = known.drop(columns=["path", "id"]).drop_duplicates("sha256_bytes")
    rows = files.merge(figures, on="sha256_bytes", how="left", validate="many_to_one")
    return rows.assign(id=[_stem(path) for path in rows["path"].tolist()])


def _stem(path: str) -> str:
    """The file's name without its suffix."""
    return splitext(basename(path))[0]


def _require_as_said(measured: pd.DataFrame, said: pd.DataFrame) -> None:
    digests = dict(zip(said["path"], said["sha256_bytes"], strict=True))
    for path, found in zip(measured["path"], measured["sha256_bytes"], strict=True):
        require(
            found == digests[path],
            f"{path}: its bytes have the SHA-256 {found}, the manifest says {digests[path]};"
            " deliver it again",
        )


def _require_measures(known: pd.DataFrame) -> None:
    odd = sorted(set(known.columns) ^ set(MEASURES))
    require(
        not odd,
        f"an earlier measures table lacks or adds {', '.join(odd)}: other code made it;"
        " measure all images again",
    )


def _by_digest(known: pd.DataFrame) -> dict[str, _Row]:
    _require_measures(known)
    rows: list[_Row] = known.drop_duplicates("sha256_bytes").to_dict("records")  # type: ignore[assignment]
    return {row["sha256_bytes"]: row for row in rows}


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    ordered = rows[list(MEASURES)].astype(MEASURES)
    return ordered.sort_values("path", kind="stable", ignore_index=True)


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


def _in_threads(
    batches: Iterator[_Batch], limits: ImageLimits, earlier: dict[str, _Row]
) -> Iterator[list[_Row]]:
    threads = os.cpu_count() or 1
    waiting: deque[Future[list[_Row]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="measure") as pool:
        for batch in batches:
            waiting.append(pool.submit(_measure_batch, batch, limits, earlier))
            if len(waiting) >= 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _measure_batch(batch: _Batch, limits: ImageLimits, earlier: dict[str, _Row]) -> list[_Row]:
    rows: list[_Row] = []
    handful: list[tuple[_Row, Any]] = []
    pixels_in_hand = 0
    for path, data in batch:
        row = _of_bytes(path, data)
        rows.append(row)
        if row["sha256_bytes"] in earlier:
            row.update({**earlier[row["sha256_bytes"]], "path": path, "id": row["id"]})
            continue
        try:
            pixels = decode(data, limits)
        except ImageRejected as error:
            row["error"] = str(error)[:300]
            continue
        handful.append((row, pixels))
        pixels_in_hand += pixels.shape[0] * pixels.shape[1]
        if pixels_in_hand >= _HANDFUL_PIXELS:
            _put_figures(handful)
            handful, pixels_in_hand = [], 0
    _put_figures(handful)
    return rows


def _put_figures(handful: list[tuple[_Row, Any]]) -> None:
    figures = figures_of([pixels for _, pixels in handful])
    for (row, _), of_picture in zip(handful, figures, strict=True):
        row.update(of_picture, decodes=True)


def _of_bytes(path: str, data: bytes) -> _Row:
    return {
        "path": path,
        "id": _stem(path),
        "decodes": False,
        "error": "",
        "format": sniff(data) or "",
        "bytes": len(data),
        "sha256_bytes": sha256_bytes(data),
        **_NO_FIGURES,
    }
