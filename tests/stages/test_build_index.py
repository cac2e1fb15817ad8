"""The index of a night is gated by what it finds, with and without a filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from index.unit_vectors import clustered, units
from recsys import index, names
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.index import EmbeddingSet, SearchIndex
from recsys.embedding.shards import ShardSchema, write_shards
from recsys.errors import GateRefused
from recsys.index import Neighbours, measure_recall, search
from recsys.settings import load_settings
from recsys.stages.build_index import built_index, chosen_index, run
from recsys.stages.feature_store import SHARDS
from recsys.stages.night import Night
from recsys.stages.task import Task
from serving_release import ref

MODEL_DIGEST = "0" * 64


def searched_then_filtered(
    asked: Any,
    vectors: np.ndarray,
    queries: np.ndarray,
    k: int,
    *,
    allowed: np.ndarray | None = None,
    exclude: Sequence[int | None] | None = None,
) -> list[Neighbours]:
    """What the field does: the nearest of all, and of those the allowed ones."""
    found = search(asked, vectors, queries, 5 * k, exclude=exclude)
    return [
        [(row, score) for row, score in answer if allowed is None or allowed[row]][:k]
        for answer in found
    ]


def embedded(folder: Path, vectors: np.ndarray) -> tuple[EmbeddingSet, Path]:
    file = folder / "vectors.npy"
    np.save(file, vectors)
    rows, dimension = vectors.shape
    digest = sha256_file(file)
    origins = (ref("champions"), ref("validated"), ref("models"), ref("catalog"))
    return EmbeddingSet(*origins, MODEL_DIGEST, rows, dimension, digest, 0), file


def shards(folder: Path, embeddings: EmbeddingSet, vectors: Path) -> list[tuple[str, Path]]:
    """The files of an embeddings commit."""
    schema = ShardSchema(
        embeddings.version,
        embeddings.model_digest,
        embeddings.dimension,
        embeddings.model,
        embeddings.catalog,
    )
    products = [f"{row:05}" for row in range(embeddings.rows)]
    pictures = ["0" * 64] * embeddings.rows
    written = write_shards(folder / "shards", products, pictures, np.load(vectors), schema)
    return [(f"{SHARDS}{path.name}", path) for path in written]


def at_night(folder: Path) -> Night:
    return Night(load_settings(state_dir=folder / "state", recall_queries=60), "2026-01-01")


def built(folder: Path) -> SearchIndex:
    embeddings, vectors = embedded(folder, units(1_500))
    out = folder / "index.faiss"
    return built_index(at_night(folder), ref("embeddings"), embeddings, vectors, "Flat", 1, out)


def test_an_index_tells_its_recall_at_every_selectivity(tmp_path: Path) -> None:
    made = built(tmp_path)
    assert made.recall_at_10 == 1
    assert made.filtered_recall_at_10 == {
        "10_percent": 1.0,
        "1_percent": 1.0,
        "0_1_percent": 1.0,
        "5_items": 1.0,
    }
    assert made.verdict.passed


def test_an_index_that_is_filtered_after_the_search_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(measure_recall.__globals__, "search", searched_then_filtered)
    with pytest.raises(GateRefused) as refusal:
        built(tmp_path)
    said = str(refusal.value)
    for selectivity in ("10_percent", "1_percent", "0_1_percent", "5_items"):
        assert f"recall_at_10_of_{selectivity}" in said
    assert "on recall_at_10:" not in said


def test_an_index_that_was_chosen_comes_with_what_it_was_chosen_from(tmp_path: Path) -> None:
    embeddings, vectors = embedded(tmp_path, clustered(3_000, 16, 30))
    factories = ("Flat", "IVF16,Flat", "IVF32,Flat")
    made = chosen_index(
        at_night(tmp_path), ref("embeddings"), embeddings, vectors, factories, tmp_path
    )
    tried = pd.read_parquet(tmp_path / "candidates.parquet")
    assert list(tried["factory"].unique()) == list(factories)
    (chosen,) = tried[tried["chosen"]].to_dict("records")
    assert (made.factory, made.breadth) == (chosen["factory"], chosen["breadth"])
    assert made.factory != "Flat"
    assert made.recall_at_10 >= 0.99
    assert min(made.filtered_recall_at_10.values()) >= 0.99
    assert made.index_digest == sha256_file(tmp_path / "index.faiss")
    with Image.open(tmp_path / "trade_off.png") as picture:
        assert min(picture.size) > 150


def test_what_was_chosen_is_the_same_to_the_byte_again(tmp_path: Path) -> None:
    embeddings, vectors = embedded(tmp_path, clustered(3_000, 16, 30))
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        chosen_index(
            at_night(tmp_path),
            ref("embeddings"),
            embeddings,
            vectors,
            ("Flat", "IVF16,Flat"),
            folder,
        )
    one, two = ({path.name: sha256_file(path) for path in folder.iterdir()} for folder in folders)
    assert set(one) == {"index.faiss", "candidates.parquet", "trade_off.png"}
    assert one == two


def test_a_large_catalog_commits_its_choice_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(index.plan.__globals__, "EXACT_UP_TO", 1_000)
    night = at_night(tmp_path)
    inputs = [committed(night, repo) for repo in (names.CHAMPIONS, names.VALIDATED)]
    embeddings, vectors = embedded(tmp_path, clustered(6_000, 16, 60))
    Task(night, "embed_catalog", inputs, {}, rooms=("embedding",)).publish(
        replace(embeddings, champion=inputs[0], validated=inputs[1]),
        shards(tmp_path, embeddings, vectors),
    )
    receipt = run(night)
    made = night.open(receipt.ref, SearchIndex).artifact
    # 2 × 77 = 155 lists, to a power of two
    assert made.factory in ("HNSW32_SQfp16", "IVF64,Flat", "IVF128,Flat")
    assert {file.path for file in night.store.files(receipt.ref)} >= {
        "/index.faiss",
        "/candidates.parquet",
        "/trade_off.png",
    }
    again = run(night)
    assert (again.ref, again.fresh) == (receipt.ref, False)


def committed(night: Night, repo: str) -> str:
    night.store.ensure_repo(repo)
    with night.store.commit(repo, replace=True) as writer:
        writer.put("/nothing", b"")
    return writer.ref
