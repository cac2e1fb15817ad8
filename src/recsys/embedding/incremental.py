"""A catalog's vectors when some of its pictures were embedded before by the same model."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from recsys.artifacts.base import require
from recsys.artifacts.digests import canonical_json, sha256_bytes
from recsys.artifacts.files import sync_folder
from recsys.embedding.batch import embed_all
from recsys.embedding.encoder import Encoder

_PART_ROWS: Final = 4_096

Rows = Sequence[int]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class KnownVectors:
    """Vectors that the very same model and code made before, by picture.

    ``row_of`` maps a picture's SHA-256 (hex) to its row of ``vectors``, [n, dimension]
    float32.
    """

    row_of: dict[str, int]
    vectors: Vectors

    @classmethod
    def of(cls, pictures: Sequence[str], vectors: Vectors) -> Self:
        """The vectors of these pictures, row by row."""
        return cls({picture: row for row, picture in enumerate(pictures)}, vectors)

    def __contains__(self, picture: str) -> bool:
        return picture in self.row_of


NOTHING_KNOWN: Final = KnownVectors({}, np.empty((0, 0), np.float32))


def embed_new(
    model: Path,
    pictures: Sequence[str],
    known: KnownVectors,
    pixels_of: Callable[[Rows], npt.NDArray[np.uint8]],
    *,
    workers: int,
    parts: Path,
    out: Path,
    part_rows: int = _PART_ROWS,
    on_progress: Callable[[int], None] = lambda rows: None,
) -> None:
    """Write every row's vector to one ``.npy`` file; only unknown pictures are embedded.

    The bytes are those that embedding everything would give. What is embedded goes to files
    of its own among ``parts``, each named by the pictures in it, so that a run that was
    killed goes on after the parts that it had finished.

    Parameters
    ----------
    model
        An ``embedder.tflite``.
    pictures
        [n] SHA-256 (hex) of each row's picture.
    known
        What is taken over.
    pixels_of
        Row numbers to [rows, height, width, 3] uint8 RGB of the model's size.
    workers
        Threads; one a core.
    parts
        A folder of this model's; the caller removes it when all is done.
    out
        The ``.npy`` to write, [n, dimension] float32; it appears only when it is whole.
    on_progress
        Called in this thread with how many rows were embedded, or found among the parts.

    Raises
    ------
    ArtifactInvalid
        As `embed_all`; or the known vectors have another dimension than the model's.
    """
    dimension = Encoder(model).dimension
    if known.row_of:
        require(
            known.vectors.shape[1] == dimension,
            f"known vectors have dimension {known.vectors.shape[1]}, the model's {dimension}",
        )
    parts.mkdir(parents=True, exist_ok=True)
    building = out.with_name(f".{out.name}.part")
    try:
        shape = (len(pictures), dimension)
        vectors = np.lib.format.open_memmap(building, mode="w+", dtype=np.float32, shape=shape)
        _take_over(vectors, pictures, known)
        unknown = [row for row, picture in enumerate(pictures) if picture not in known]
        for start in range(0, len(unknown), part_rows):
            rows = unknown[start : start + part_rows]
            part = parts / _part_name([pictures[row] for row in rows])
            if part.is_file():
                on_progress(len(rows))
            else:
                embed_all(
                    model, pixels_of(rows), workers=workers, out=part, on_progress=on_progress
                )
            vectors[rows] = np.load(part, mmap_mode="r", allow_pickle=False)
        _publish(vectors, building, out)
    finally:
        building.unlink(missing_ok=True)


def _take_over(vectors: Vectors, pictures: Sequence[str], known: KnownVectors) -> None:
    rows = [row for row, picture in enumerate(pictures) if picture in known]
    if rows:
        vectors[rows] = known.vectors[[known.row_of[pictures[row]] for row in rows]]


def _part_name(pictures: Sequence[str]) -> str:
    return f"{sha256_bytes(canonical_json(list(pictures)))[:32]}.npy"


def _publish(vectors: Any, building: Path, out: Path) -> None:
    vectors.flush()
    with building.open("rb") as stream:
        os.fsync(stream.fileno())
    building.replace(out)
    sync_folder(out.parent)
