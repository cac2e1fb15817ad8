"""The feature store's files: what is written is what is read, of the model asked for only."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest

from recsys import names
from recsys.embedding.shards import EmbeddingShards, ShardSchema, write_shards
from recsys.errors import ArtifactInvalid

DIGEST, OTHER = "a" * 64, "b" * 64
ROWS, DIMENSION = 1_300, 8
PRODUCTS = sorted(str(number) for number in range(9_500, 9_500 + ROWS))
PICTURES = [hashlib.sha256(product.encode()).hexdigest() for product in PRODUCTS]


def schema(digest: str = DIGEST, dimension: int = DIMENSION) -> ShardSchema:
    return ShardSchema(
        names.model_version(digest), digest, dimension, f"models@{'1' * 32}", f"catalog@{'2' * 32}"
    )


def drawn_vectors() -> np.ndarray:
    drawn = np.random.default_rng(0).normal(size=(ROWS, DIMENSION)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return write_shards(
        tmp_path / "shards", PRODUCTS, PICTURES, drawn_vectors(), schema(), shard_rows=600
    )


def opened(paths: list[Path], digest: str = DIGEST) -> EmbeddingShards:
    return EmbeddingShards([io.BytesIO(path.read_bytes()) for path in paths], model_digest=digest)


def test_what_was_written_is_read_to_the_bit(paths: list[Path]) -> None:
    found = opened(paths)
    assert len(found) == ROWS
    assert found.products() == PRODUCTS
    assert found.pictures() == PICTURES
    np.testing.assert_array_equal(found.vectors(), drawn_vectors())
    assert found.schema == schema()


def test_shards_are_bounded_and_named_in_order(paths: list[Path]) -> None:
    assert [path.name for path in paths] == ["00000.parquet", "00001.parquet", "00002.parquet"]
    assert [len(opened([path])) for path in paths] == [600, 600, 100]


def test_equal_rows_give_equal_bytes(paths: list[Path], tmp_path: Path) -> None:
    again = write_shards(
        tmp_path / "again", PRODUCTS, PICTURES, drawn_vectors(), schema(), shard_rows=600
    )
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]


def test_a_vector_of_another_model_cannot_be_read(paths: list[Path]) -> None:
    with pytest.raises(ArtifactInvalid, match=r"found .* m-aaaaaaaaaaaa .*, expected m-bbbbbbbb"):
        opened(paths, OTHER)


def test_one_shard_of_another_model_among_others_is_refused(
    paths: list[Path], tmp_path: Path
) -> None:
    (strange,) = write_shards(
        tmp_path / "b", PRODUCTS[:5], PICTURES[:5], drawn_vectors()[:5], schema(OTHER)
    )
    with pytest.raises(ArtifactInvalid, match="found vectors of the model m-bbbbbbbbbbbb"):
        opened([*paths, strange])


def test_nobody_reads_without_saying_of_which_model(paths: list[Path]) -> None:
    with pytest.raises(TypeError, match="model_digest"):
        EmbeddingShards([io.BytesIO(paths[0].read_bytes())])  # type: ignore[call-arg]


@pytest.mark.parametrize("row", [0, 511, 512, 599, 600, 1_299])
def test_a_product_is_found_by_its_id(paths: list[Path], row: int) -> None:
    found = opened(paths).find(PRODUCTS[row])
    assert found is not None
    assert (found.product, found.picture) == (PRODUCTS[row], PICTURES[row])
    np.testing.assert_array_equal(found.vector, drawn_vectors()[row])


@pytest.mark.parametrize("product", ["", "9", "zebra", "95000"])
def test_a_product_that_is_not_there_is_not_found(paths: list[Path], product: str) -> None:
    assert opened(paths).find(product) is None


def test_a_look_up_reads_a_small_part_of_a_large_set(tmp_path: Path) -> None:
    rows, dimension = 4_096, 128
    products = [f"{row:05}" for row in range(rows)]
    vectors = np.random.default_rng(1).normal(size=(rows, dimension)).astype(np.float32)
    (path,) = write_shards(
        tmp_path, products, ["0" * 64] * rows, vectors, schema(dimension=dimension)
    )
    stream = _Counted(path.read_bytes())
    found = EmbeddingShards([stream], model_digest=DIGEST).find("03000")
    assert found is not None
    assert stream.bytes_read < path.stat().st_size / 4


class _Counted(io.BytesIO):
    """A file that counts what is read of it."""

    bytes_read = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.bytes_read += len(content)
        return content


@pytest.mark.parametrize("kept", [0, 10, 5_000])
def test_a_truncated_shard_is_refused(paths: list[Path], kept: int) -> None:
    broken = io.BytesIO(paths[0].read_bytes()[:kept])
    with pytest.raises(ArtifactInvalid, match="cannot be read"):
        EmbeddingShards([broken], model_digest=DIGEST)


def test_a_table_of_something_else_is_refused() -> None:
    import pandas as pd

    other = io.BytesIO()
    pd.DataFrame({"product": ["1"]}).to_parquet(other)
    with pytest.raises(ArtifactInvalid, match="names no model"):
        EmbeddingShards([other], model_digest=DIGEST)


@pytest.mark.parametrize("products", [["2", "1"], ["1", "1"]])
def test_products_out_of_order_are_refused(products: list[str], tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match="ascending"):
        write_shards(tmp_path, products, PICTURES[:2], drawn_vectors()[:2], schema())


def test_vectors_that_do_not_fit_the_products_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=r"shape \[3, 8\], expected \[2, 8\]"):
        write_shards(tmp_path, ["1", "2"], PICTURES[:2], drawn_vectors()[:3], schema())
