"""The neighbours of every product of a release, for shops that answer from a cache."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from recsys import index
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.files import sync_folder
from recsys.artifacts.products import ProductTable
from recsys.artifacts.release import INDEX_FILE, MANIFEST, VECTORS_FILE, verify_release
from recsys.artifacts.scores import CatalogScores
from recsys.errors import BadInput
from recsys.stages.night import Advance, Night

_SHARD_PRODUCTS: Final = 8_192
_BLOCK: Final = 256
_COLUMNS: Final = pa.schema(
    [
        pa.field("product", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("neighbour", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
    ]
)


def score_catalog(
    night: Night,
    release_id: str,
    k: int,
    out: Path,
    *,
    shard_products: int = _SHARD_PRODUCTS,
) -> CatalogScores:
    """Write the ``k`` nearest other products of every product to ``out``, a new folder.

    The release's own index and vectors answer. The folder holds ``00000.parquet`` and so on
    and the manifest (`CatalogScores`), and is there whole or not at all.

    Raises
    ------
    BadInput
        There is something at ``out`` already, or no folder to put it in.
    ArtifactInvalid
        The release is damaged.
    """
    if out.exists():
        raise BadInput(f"{out} is there already; name a folder that is not")
    if not out.parent.is_dir():
        raise BadInput(f"{out.parent} is no folder; make it first")
    scored = _Scored(night.settings.releases_dir / release_id)
    building = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    building.mkdir()
    try:
        rows, files = 0, {}
        with night.progress("scoring products", len(scored.ids)) as advance:
            for number, start in enumerate(range(0, len(scored.ids), shard_products)):
                stop = min(start + shard_products, len(scored.ids))
                table = scored.table(range(start, stop), k, advance)
                path = building / f"{number:05}.parquet"
                pq.write_table(table, path, compression="zstd")
                sync_folder(path)  # opens read-only and fsyncs, which serves files as well
                files[path.name] = sha256_file(path)
                rows += len(table)
        scores = CatalogScores(
            release=release_id,
            model_version=scored.release.model_version,
            index_version=scored.release.index_version,
            k=k,
            products=len(scored.ids),
            rows=rows,
            files=files,
        )
        (building / MANIFEST).write_bytes(scores.to_json())
        sync_folder(building)
        building.rename(out)
        sync_folder(out.parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return scores


class _Scored:
    """A release, opened to be asked for the neighbours of its own products."""

    def __init__(self, folder: Path) -> None:
        self.release = verify_release(folder)
        self.ids = [bytes(product).decode() for product in ProductTable.load(folder).ids]
        self._vectors: npt.NDArray[np.float32] = np.load(
            folder / VECTORS_FILE, mmap_mode="r", allow_pickle=False
        )
        self._index: Any = index.open_index(
            folder / INDEX_FILE,
            rows=self.release.products,
            dimension=self.release.dimension,
            breadth=self.release.breadth,
        )

    def table(self, rows: range, k: int, advance: Advance) -> Any:
        """The neighbours of some rows, best first."""
        found: list[tuple[str, int, str, float]] = []
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            queries = np.asarray(self._vectors[block.start : block.stop])
            answers = index.search(self._index, self._vectors, queries, k, exclude=list(block))
            for row, neighbours in zip(block, answers, strict=True):
                found += [
                    (self.ids[row], rank, self.ids[other], score)
                    for rank, (other, score) in enumerate(neighbours, 1)
                ]
            advance(len(block))
        columns = zip(*found, strict=True) if found else ((), (), (), ())
        return pa.table(
            [
                pa.array(list(column), field.type)
                for column, field in zip(columns, _COLUMNS, strict=True)
            ],
            schema=_COLUMNS,
        )
