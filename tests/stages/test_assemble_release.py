"""What a release's product table is made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from recsys import names
from recsys.artifacts.base import ARTIFACT_FILE, Artifact
from recsys.artifacts.catalog import (
    ATTRIBUTES,
    NAME_COLUMN,
    CatalogSnapshot,
    CatalogSplit,
    ValidatedCatalog,
)
from recsys.artifacts.model import TrainedModel
from recsys.artifacts.products import ProductTable
from recsys.artifacts.release import Release
from recsys.embedding.shards import ShardSchema, write_shards
from recsys.settings import load_settings
from recsys.stages import assemble_release, frames
from recsys.stages.feature_store import SHARDS
from recsys.stages.night import Night
from serving_release import EMBEDDER, IDS, parts, ref, vectors, verdict

TWINS = (3, 7)
OUT_OF_STOCK = 5
CHANGES = 4


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(load_settings(state_dir=tmp_path / "state"), "2026-01-01")


def commit(night: Night, repo: str, artifact: Artifact, **files: bytes) -> str:
    night.store.ensure_repo(repo)
    with night.store.commit(repo) as writer:
        writer.put(ARTIFACT_FILE, artifact.to_json())
        for path, content in files.items():
            writer.put(path, content)
    return str(writer.ref)


def assembled(night: Night, folder: Path, **columns: object) -> ProductTable:
    """The table of the release that is made of the tiny one's parts, committed."""
    given = parts(folder)
    products = pd.DataFrame({"id": IDS, **dict.fromkeys(ATTRIBUTES, "a"), NAME_COLUMN: IDS})
    groups = [IDS[TWINS[0]] if row in TWINS else own for row, own in enumerate(IDS)]
    catalog = commit(night, names.CATALOG, CatalogSnapshot("drawn", "b" * 64, CHANGES))
    validated = commit(
        night,
        names.VALIDATED,
        ValidatedCatalog(catalog, ref("measured"), len(IDS), 0, 0, {}, (verdict(),)),
        **{frames.PRODUCTS: frames.to_parquet(products.assign(**columns))},
    )
    split = commit(
        night,
        names.SPLITS,
        CatalogSplit(validated, 30, 9, 9, 0, 1, 0),
        **{frames.GROUPS: frames.to_parquet(pd.DataFrame({"id": IDS, "group": groups}))},
    )
    approved = given["model"]
    model = TrainedModel(validated, split, approved.model_digest, 8, 6, 8, "run", {})
    trained = commit(night, names.MODELS, model, **{"/embedder.tflite": EMBEDDER.read_bytes()})
    champion = commit(night, names.CHAMPIONS, replace(approved, model=trained))
    digest = approved.model_digest
    schema = ShardSchema(names.model_version(digest), digest, 8, trained, catalog)
    (shard,) = write_shards(folder / "shards", IDS, ["0" * 64] * len(IDS), vectors(), schema)
    made_of = {"champion": champion, "validated": validated, "model": trained, "catalog": catalog}
    embeddings = commit(
        night,
        names.EMBEDDINGS,
        replace(given["embeddings"], **made_of),
        **{f"{SHARDS}{shard.name}": shard.read_bytes()},
    )
    index = replace(given["index"], embeddings=embeddings)
    commit(night, names.INDEXES, index, **{"/index.faiss": given["index_file"].read_bytes()})
    release = night.open(assemble_release.run(night).ref, Release).artifact
    assert release.changes_through == CHANGES
    return ProductTable.load(night.settings.releases_dir / release.id)


def test_it_knows_which_products_show_the_same_picture(night: Night, tmp_path: Path) -> None:
    table = assembled(night, tmp_path / "parts")
    assert table.groups is not None
    one, other = TWINS
    assert table.groups[one] == table.groups[other]
    assert len(set(table.groups.tolist())) == len(IDS) - 1


def test_it_knows_the_stock_where_it_was_delivered(night: Night, tmp_path: Path) -> None:
    said = ["false" if row == OUT_OF_STOCK else "true" for row in range(len(IDS))]
    table = assembled(night, tmp_path / "parts", in_stock=said)
    assert table.in_stock is not None
    assert [row for row, there in enumerate(table.in_stock.tolist()) if not there] == [OUT_OF_STOCK]


def test_it_says_nothing_of_the_stock_where_nobody_did(night: Night, tmp_path: Path) -> None:
    assert assembled(night, tmp_path / "parts").in_stock is None
