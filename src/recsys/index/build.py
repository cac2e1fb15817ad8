"""Build an index, keep it in one file, and open that file again only if it is whole.

The file is what FAISS writes, followed by a footer of ours: FAISS itself takes a file that
lacks its last bytes for whole in some formats, and a damaged graph would send a search
into foreign memory. FAISS ignores what follows its own bytes, so it can read the file too.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO, Final

import faiss
import numpy as np
import numpy.typing as npt

from recsys.artifacts.base import require
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.files import sync_folder
from recsys.errors import ArtifactInvalid
from recsys.index.threads import one_thread

Index = faiss.Index
# The stubs that FAISS brings lag behind its Python layer.
_faiss: Any = faiss

# Footer: these 8 bytes, the length of FAISS's part (8 bytes, little-endian), its SHA-256.
_MAGIC: Final = b"recsysIX"
_FOOTER_BYTES: Final = len(_MAGIC) + 8 + 32
_ADD_ROWS: Final = 65_536
_CHUNK_BYTES: Final = 1 << 20
# Candidates kept while a graph is linked: with FAISS's own 40 it stays short of a recall of 0.99.
_LINKING_WIDTH: Final = 200
# Vectors that each list's centre is learnt from, at most: FAISS's own 256 take four times as
# long; the lists to visit are chosen by recall, whatever the centres.
_POINTS_PER_LIST: Final = 64
_KNOWN: Final = (
    faiss.IndexFlat,
    faiss.IndexScalarQuantizer,
    faiss.IndexHNSWFlat,
    faiss.IndexHNSWSQ,
    faiss.IndexIVFFlat,
    faiss.IndexIVFScalarQuantizer,
    faiss.IndexIVFPQ,
)


def build(vectors: npt.NDArray[np.float32], factory: str, breadth: int, seed: int) -> Any:
    """An inner-product index whose ids are row numbers.

    Parameters
    ----------
    vectors
        [n, dimension] float32, unit norm; a memory map is fine.
    factory
        A FAISS factory string, as `plan` gives it.
    breadth
        Lists that a search visits (``nprobe``), or candidates that it keeps along a graph
        (``efSearch``); ignored by others.
    seed
        Of what is learnt or drawn. The same input gives the same bytes in `save`.

    Raises
    ------
    ArtifactInvalid
        Vectors of another shape or dtype, not finite, or not of unit norm.
    """
    _check_vectors(vectors)
    index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    _seed(index, seed)
    # Threads that insert into one graph race for its links: another index every time.
    with one_thread(isinstance(index, faiss.IndexHNSW)):
        if not index.is_trained:
            index.train(np.ascontiguousarray(vectors))
        for start in range(0, len(vectors), _ADD_ROWS):
            index.add(np.ascontiguousarray(vectors[start : start + _ADD_ROWS]))
    set_breadth(index, breadth)
    return index


def save(index: Any, path: Path) -> None:
    """Write the index; the file appears at ``path`` only when it is whole."""
    part = path.with_name(f".{path.name}.part")
    try:
        faiss.write_index(index, str(part))
        length, digest = part.stat().st_size, sha256_file(part)
        with part.open("ab") as stream:
            stream.write(_MAGIC + length.to_bytes(8, "little") + bytes.fromhex(digest))
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
        sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def open_index(path: Path, *, rows: int, dimension: int, breadth: int) -> Any:
    """Map a file of `save` into memory; processes that open it share its pages.

    Raises
    ------
    ArtifactInvalid
        The file is missing, truncated, changed or no index of ours, or has other rows,
        another dimension or another metric than expected; says what was found.
    """
    try:
        with path.open("rb") as stream:
            _check_footer(path.name, stream)
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except (OSError, RuntimeError, MemoryError) as error:
        raise ArtifactInvalid(f"{path.name} is no index that can be opened: {error}") from error
    require(isinstance(index, _KNOWN), f"{path.name} is a {type(index).__name__}; not one of ours")
    require(
        index.ntotal == rows,
        f"{path.name} holds {index.ntotal} vectors, expected {rows}; rebuild it from these vectors",
    )
    require(
        index.d == dimension,
        f"{path.name} has dimension {index.d}, expected {dimension}; it is another model's",
    )
    require(
        index.metric_type == faiss.METRIC_INNER_PRODUCT and index.is_trained,
        f"{path.name} is not a trained inner-product index; rebuild it",
    )
    set_breadth(index, breadth)
    return index


def set_breadth(index: Any, breadth: int) -> None:
    """How widely an index searches from now on, as in `build`."""
    if isinstance(index, faiss.IndexIVF):
        index.nprobe = min(breadth, index.nlist)
    elif isinstance(index, faiss.IndexHNSW):
        index.hnsw.efSearch = breadth


def _check_vectors(vectors: npt.NDArray[np.float32]) -> None:
    require(
        vectors.ndim == 2 and vectors.dtype == np.float32 and min(vectors.shape) > 0,
        f"an index needs float32 [rows, dimension], found {vectors.dtype} {list(vectors.shape)}",
    )
    for start in range(0, len(vectors), _ADD_ROWS):
        norms = np.linalg.norm(vectors[start : start + _ADD_ROWS], axis=1)
        wrong = np.flatnonzero(~(np.abs(norms - 1) <= 1e-3))  # NaN is wrong too
        if len(wrong):
            raise ArtifactInvalid(
                f"the vector of row {start + wrong[0]} has norm {norms[wrong[0]]:g}, expected 1:"
                " the inner product is the cosine for unit vectors only; embed again"
            )


def _seed(index: Any, seed: int) -> None:
    if isinstance(index, faiss.IndexIVF):
        index.cp.seed = seed
        index.cp.max_points_per_centroid = _POINTS_PER_LIST
    if isinstance(index, faiss.IndexIVFPQ):
        index.pq.cp.seed = seed
    if isinstance(index, faiss.IndexHNSW):
        graph: Any = index.hnsw
        graph.rng = _faiss.RandomGenerator(seed)
        graph.efConstruction = _LINKING_WIDTH


def _check_footer(name: str, stream: BinaryIO) -> None:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _FOOTER_BYTES))
    footer = stream.read()
    length = int.from_bytes(footer[8:16], "little")
    require(
        footer[:8] == _MAGIC and length + _FOOTER_BYTES == size,
        f"{name} is truncated, or no index of ours ({size} bytes, no footer):"
        " FAISS cannot read it safely; rebuild it",
    )
    stream.seek(0)
    digest = hashlib.sha256()
    while length:
        chunk = stream.read(min(_CHUNK_BYTES, length))
        digest.update(chunk)
        length -= len(chunk)
    require(digest.digest() == footer[16:], f"{name} was changed after it was built; rebuild it")
