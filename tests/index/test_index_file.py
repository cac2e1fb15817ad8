from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from index.unit_vectors import units
from recsys.artifacts.digests import sha256_file
from recsys.errors import ArtifactInvalid
from recsys.index import build, open_index, save, search

FACTORIES = ["Flat", "SQfp16", "IVF16,Flat", "HNSW8", "HNSW8_SQfp16"]


def saved(folder: Path, factory: str = "Flat", seed: int = 3, rows: int = 1_000) -> Path:
    path = folder / "index.faiss"
    save(build(units(rows), factory, 4, seed), path)
    return path


@pytest.mark.parametrize("factory", FACTORIES)
def test_the_same_input_gives_the_same_bytes(tmp_path: Path, factory: str) -> None:
    first = sha256_file(saved(tmp_path, factory))
    assert sha256_file(saved(tmp_path, factory)) == first
    assert [path.name for path in tmp_path.iterdir()] == ["index.faiss"]


def test_another_seed_learns_other_lists(tmp_path: Path) -> None:
    first = sha256_file(saved(tmp_path, "IVF16,Flat", seed=3))
    assert sha256_file(saved(tmp_path, "IVF16,Flat", seed=4)) != first


@pytest.mark.parametrize("factory", FACTORIES)
def test_an_index_reopened_finds_what_it_found_before(tmp_path: Path, factory: str) -> None:
    vectors = units(1_000)
    index = build(vectors, factory, 4, 3)
    save(index, tmp_path / "index.faiss")
    opened = open_index(tmp_path / "index.faiss", rows=1_000, dimension=16, breadth=4)
    queries = units(20, seed=9)
    assert search(opened, vectors, queries, 5) == search(index, vectors, queries, 5)


def test_nprobe_is_that_of_the_opener_and_at_most_every_list(tmp_path: Path) -> None:
    path = saved(tmp_path, "IVF16,Flat")
    assert open_index(path, rows=1_000, dimension=16, breadth=2).nprobe == 2
    assert open_index(path, rows=1_000, dimension=16, breadth=99).nprobe == 16


@pytest.mark.parametrize("factory", FACTORIES)
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path, factory: str) -> None:
    path = saved(tmp_path, factory)
    whole = path.read_bytes()
    for length in (0, 3, 10, 40, 60, len(whole) // 2, len(whole) - 49, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ArtifactInvalid, match="truncated"):
            open_index(path, rows=1_000, dimension=16, breadth=4)


def test_a_changed_byte_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, "HNSW8")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ArtifactInvalid, match="changed after it was built"):
        open_index(path, rows=1_000, dimension=16, breadth=4)


def test_what_is_no_index_of_ours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    with pytest.raises(ArtifactInvalid, match="No such file"):
        open_index(path, rows=10, dimension=16, breadth=4)
    path.write_bytes(b"not an index, but long enough to hold a footer" * 9)
    with pytest.raises(ArtifactInvalid, match="no index of ours"):
        open_index(path, rows=10, dimension=16, breadth=4)


@pytest.mark.parametrize(
    ("rows", "dimension", "message"),
    [(999, 16, "holds 1000 vectors, expected 999"), (1_000, 8, "dimension 16, expected 8")],
)
def test_another_catalogs_index_is_refused(
    tmp_path: Path, rows: int, dimension: int, message: str
) -> None:
    with pytest.raises(ArtifactInvalid, match=message):
        open_index(saved(tmp_path), rows=rows, dimension=dimension, breadth=4)


def test_an_index_of_another_metric_or_kind_is_refused(tmp_path: Path) -> None:
    euclidean = faiss.IndexFlatL2(16)
    euclidean.add(units(10))
    save(euclidean, tmp_path / "l2.faiss")
    with pytest.raises(ArtifactInvalid, match="inner-product"):
        open_index(tmp_path / "l2.faiss", rows=10, dimension=16, breadth=4)
    hashed = faiss.IndexLSH(16, 8)
    hashed.add(units(10))
    save(hashed, tmp_path / "lsh.faiss")
    with pytest.raises(ArtifactInvalid, match="IndexLSH"):
        open_index(tmp_path / "lsh.faiss", rows=10, dimension=16, breadth=4)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (units(5) * 2, "row 0 has norm 2"),
        (np.full((3, 4), np.nan, np.float32), "norm nan"),
        (units(5).astype(np.float64), "float64"),
        (np.empty((0, 4), np.float32), r"\[0, 4\]"),
    ],
    ids=["not unit norm", "NaN", "doubles", "empty"],
)
def test_vectors_that_cannot_be_indexed_are_refused(vectors: np.ndarray, message: str) -> None:
    with pytest.raises(ArtifactInvalid, match=message):
        build(vectors, "Flat", 4, 3)
