"""The feature store's files: vectors by model, product and picture, in Parquet shards.

Not part of the package's front door, which the serving environment uses: it has no pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from recsys import names
from recsys.artifacts.base import Artifact, require
from recsys.errors import ArtifactInvalid

SHARD_ROWS: Final = 8_192
# What a look-up of one product reads: 512 vectors of 128 components are 256 KB.
_GROUP_ROWS: Final = 512
_SCHEMA_KEY: Final = b"recsys.embeddings"
_COMPONENTS: Final = "vector.list.element"

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ShardSchema(Artifact):
    """What a shard says of itself, in its metadata: which model's vectors, made of what.

    ``model`` and ``catalog`` are the commits that the vectors were made of.
    """

    kind: ClassVar[str] = "embedding_shard"

    model_version: str
    model_digest: str
    dimension: int
    model: str
    catalog: str

    def __post_init__(self) -> None:
        require(len(self.model_digest) == 64, "model_digest is not a SHA-256")
        require(
            self.model_version == names.model_version(self.model_digest),
            f"{self.model_version} is not the model {self.model_digest[:12]}…",
        )
        require(self.dimension > 0, "an embedding has at least one dimension")
        require(names.parse_ref(self.model)[0] == names.MODELS, "not a model commit")
        require(names.parse_ref(self.catalog)[0] == names.CATALOG, "not a catalog commit")

    def columns(self) -> Any:
        """The Arrow schema: product, picture (SHA-256 of the file's bytes), vector."""
        component = pa.field("element", pa.float32(), nullable=False)
        return pa.schema(
            [
                pa.field("product", pa.string(), nullable=False),
                pa.field("picture", pa.binary(32), nullable=False),
                pa.field("vector", pa.list_(component, self.dimension), nullable=False),
            ]
        )


@dataclass(frozen=True)
class Embedding:
    """One product's vector ([dimension] float32, unit norm) and the picture it was made of."""

    product: str
    picture: str
    vector: Vectors


def write_shards(
    folder: Path,
    products: Sequence[str],
    pictures: Sequence[str],
    vectors: Vectors,
    schema: ShardSchema,
    *,
    shard_rows: int = SHARD_ROWS,
) -> list[Path]:
    """Write the vectors to ``00000.parquet``, ``00001.parquet`` …; equal rows, equal bytes.

    Parameters
    ----------
    products
        [n] ids, ascending as text, each once.
    pictures
        [n] SHA-256 (hex) of the file that the product's vector was made of.
    vectors
        [n, dimension] float32; a map is fine.

    Raises
    ------
    ArtifactInvalid
        The products are not in order, or the three do not fit together.
    """
    require(
        len(products) == len(pictures) and vectors.shape == (len(products), schema.dimension),
        f"{len(products)} products and {len(pictures)} pictures with vectors of shape"
        f" {list(vectors.shape)}, expected [{len(products)}, {schema.dimension}]",
    )
    require(_ascend(products), "shards take products in ascending order, each once")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, start in enumerate(range(0, len(products), shard_rows)):
        rows = slice(start, start + shard_rows)
        written.append(folder / f"{number:05}.parquet")
        table = _table(products[rows], pictures[rows], vectors[rows], schema.columns())
        with pq.ParquetWriter(
            written[-1],
            table.schema,
            compression="zstd",
            use_dictionary=False,
            # The bytes of one place in a float together: a tenth smaller.
            use_byte_stream_split=[_COMPONENTS],
        ) as writer:
            writer.write_table(table, row_group_size=_GROUP_ROWS)
            writer.add_key_value_metadata({_SCHEMA_KEY: schema.to_json()})
    return written


class EmbeddingShards:
    """The vectors of one model, from the shards that `write_shards` wrote.

    Whoever reads says which model's vectors are wanted; there is no way to read without.

    Parameters
    ----------
    files
        The shards in order, opened; the caller closes them.
    model_digest
        SHA-256 of the model's exported file.

    Raises
    ------
    ArtifactInvalid
        A shard holds another model's vectors, is damaged, or is no shard; says what was
        found and what was expected.
    """

    def __init__(self, files: Sequence[BinaryIO], *, model_digest: str) -> None:
        require(len(files) > 0, "there are no shards to read vectors from")
        self._files = [_opened(file) for file in files]
        self._schemas = [_schema(file, model_digest) for file in self._files]
        dimensions = {schema.dimension for schema in self._schemas}
        require(len(dimensions) == 1, f"shards of different dimensions: {sorted(dimensions)}")

    @property
    def schema(self) -> ShardSchema:
        """What the shards say of themselves."""
        return self._schemas[0]

    def __len__(self) -> int:
        return sum(file.metadata.num_rows for file in self._files)

    def products(self) -> list[str]:
        """[n] ids, ascending."""
        found: list[str] = self._column("product").to_pylist()
        require(_ascend(found), "the shards' products are not in ascending order, each once")
        return found

    def pictures(self) -> list[str]:
        """[n] SHA-256 (hex) of the files that the vectors were made of."""
        return [digest.hex() for digest in self._column("picture").to_pylist()]

    def vectors(self) -> Vectors:
        """[n, dimension] float32, in the order of `products`."""
        found = np.empty((len(self), self.schema.dimension), np.float32)
        self.read_into(found)
        return found

    def read_into(self, out: Vectors) -> None:
        """Fill [n, dimension] float32, a map for example, one row group after the other."""
        start = 0
        for file in self._files:
            for group in range(file.metadata.num_row_groups):
                found = _components(_group(file, group, ["vector"]), self.schema.dimension)
                out[start : start + len(found)] = found
                start += len(found)

    def find(self, product: str) -> Embedding | None:
        """One product's vector; only the row group that may hold it is read."""
        for file in self._files:
            for group in _groups_with(file, product):
                ids = _group(file, group, ["product"])["product"].to_pylist()
                if product in ids:
                    row = _group(file, group, None).slice(ids.index(product), 1)
                    return Embedding(
                        product,
                        row["picture"][0].as_py().hex(),
                        _components(row, self.schema.dimension)[0],
                    )
        return None

    def _column(self, name: str) -> Any:
        return pa.chunked_array(
            [
                chunk
                for file in self._files
                for group in range(file.metadata.num_row_groups)
                for chunk in _group(file, group, [name])[name].chunks
            ]
        )


def pictures_in(shard: BinaryIO) -> set[str]:
    """SHA-256 (hex) of the pictures that a shard has vectors of, whichever model made them."""
    file = _opened(shard)
    groups = range(file.metadata.num_row_groups)
    return {
        digest.hex()
        for group in groups
        for digest in _group(file, group, ["picture"])["picture"].to_pylist()
    }


def _table(products: Sequence[str], pictures: Sequence[str], vectors: Vectors, columns: Any) -> Any:
    components = pa.array(np.ascontiguousarray(vectors).ravel())
    return pa.table(
        [
            pa.array(products, pa.string()),
            pa.array([bytes.fromhex(picture) for picture in pictures], pa.binary(32)),
            pa.FixedSizeListArray.from_arrays(components, type=columns.field("vector").type),
        ],
        schema=columns,
    )


def _ascend(products: Sequence[str]) -> bool:
    return all(one < following for one, following in pairwise(products))


def _opened(file: BinaryIO) -> Any:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise ArtifactInvalid(
            f"a shard of embeddings cannot be read ({error}); embed the catalog again"
        ) from error


def _schema(file: Any, model_digest: str) -> ShardSchema:
    said: bytes = (file.metadata.metadata or {}).get(_SCHEMA_KEY, b"")
    require(said != b"", "this Parquet file is no shard of embeddings: it names no model")
    schema = ShardSchema.from_json(said)
    require(
        schema.model_digest == model_digest,
        f"found vectors of the model {schema.model_version} ({schema.model_digest[:12]}…),"
        f" expected {names.model_version(model_digest)} ({model_digest[:12]}…):"
        " vectors of two models cannot be compared; embed the catalog with the one expected",
    )
    require(
        file.schema_arrow.equals(schema.columns()),
        f"a shard of embeddings has the columns {file.schema_arrow.to_string()}",
    )
    return schema


def _group(file: Any, group: int, columns: list[str] | None) -> Any:
    try:
        return file.read_row_group(group, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise ArtifactInvalid(
            f"a shard of embeddings is damaged ({error}); run `recsys store verify`"
        ) from error


def _groups_with(file: Any, product: str) -> Iterator[int]:
    """Row groups whose first and last product enclose this one."""
    for group in range(file.metadata.num_row_groups):
        bounds = file.metadata.row_group(group).column(0).statistics
        if bounds is None or not bounds.has_min_max or bounds.min <= product <= bounds.max:
            yield group


def _components(table: Any, dimension: int) -> Vectors:
    flat = table["vector"].combine_chunks().flatten().to_numpy()
    found: Vectors = flat.reshape(-1, dimension)
    return found
