"""From the feature store to index, release and reproduction: the same bytes all the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys.artifacts.digests import sha256_file
from recsys.artifacts.index import EmbeddingSet, SearchIndex
from recsys.artifacts.release import Release, verify_release
from recsys.errors import ArtifactInvalid
from recsys.settings import load_settings
from recsys.stages import NIGHT_STAGES, assemble_release, build_index
from recsys.stages.compare_rebuilt import Rebuilt, Row
from recsys.stages.night import Night
from recsys.stages.release_commits import RecordedCommit
from stages.embedded_nights import embed, picture, reach_champion

SHOWN = {str(10_000 + number): picture(number) for number in range(40)}


def embedded(folder: Path, pictures: dict[str, bytes] = SHOWN) -> Night:
    settings = load_settings(state_dir=folder, recall_queries=20)
    night = reach_champion(settings, "2026-01-01", pictures)
    embed(night)
    return night


def test_a_release_ships_the_vectors_of_the_store(tmp_path: Path) -> None:
    night = embedded(tmp_path)
    night.receipts["build_index"] = build_index.run(night)
    bundle = night.open(assemble_release.run(night).ref, Release).artifact
    home = night.settings.releases_dir / bundle.id
    verify_release(home)
    found = night.newest("embed_catalog", EmbeddingSet)
    assert found is not None
    assert sha256_file(home / "vectors.npy") == found.artifact.vectors_digest
    assert night.open(night.receipts["build_index"].ref, SearchIndex).artifact.rows == len(SHOWN)


def vectors_row(real: Night, scratch: Night, folder: Path) -> Row:
    """The comparison of two nights' vectors, as `recsys reproduce` tells it."""
    recorded, commits = {}, {}
    for stage, repo in (("train_model", "models"), ("embed_catalog", "embeddings")):
        recorded[stage] = RecordedCommit(next(iter(real.store.commits(repo))), {})
        commits[stage] = next(iter(scratch.store.commits(repo))).ref
    for stage, repo in (("snapshot_catalog", "catalog"), ("validate_catalog", "validated")):
        recorded[stage] = RecordedCommit(next(iter(real.store.commits(repo))), {})
        commits[stage] = next(iter(scratch.store.commits(repo))).ref
    recorded["approve_model"] = RecordedCommit(next(iter(real.store.commits("champions"))), {})
    commits["approve_model"] = next(iter(scratch.store.commits("champions"))).ref
    rest = dict.fromkeys(NIGHT_STAGES, recorded["embed_catalog"])
    rows = Rebuilt(real, scratch, {**rest, **recorded}, commits, folder).rows()
    return next(row for row in rows if row.artefact == "vectors")


def test_shards_that_name_other_commits_of_the_same_work_are_identical(tmp_path: Path) -> None:
    sides = [embedded(tmp_path / name) for name in ("real", "scratch")]
    row = vectors_row(*sides, tmp_path / "copies")
    assert row.differences == ()
    assert row.identical


def test_other_vectors_are_told_with_the_size_of_the_difference(tmp_path: Path) -> None:
    real = embedded(tmp_path / "real")
    scratch = embedded(tmp_path / "scratch", {**SHOWN, "10005": picture(77)})
    (found,) = vectors_row(real, scratch, tmp_path / "copies").differences
    assert found.what == "/vectors/"
    assert found.figures["differing"] == 1
    assert 0 < found.figures["largest"] <= 2
    assert found.figures["top_10_agreement"] < 1


def test_vectors_that_the_artefact_does_not_name_are_not_indexed(tmp_path: Path) -> None:
    night = embedded(tmp_path)
    found = night.newest("embed_catalog", EmbeddingSet)
    assert found is not None
    forged = EmbeddingSet(**{**vars(found.artifact), "vectors_digest": "0" * 64})
    files = [(file.path, night.read(found.ref, file.path)) for file in night.store.files(found.ref)]
    inputs = night.store.inspect(found.ref).inputs
    with night.store.commit("embeddings", inputs=inputs, message="{}", replace=True) as writer:
        for path, content in files:
            writer.put(path, forged.to_json() if path == "/artifact.json" else content)
    night.receipts.pop("embed_catalog", None)
    with pytest.raises(ArtifactInvalid, match="not those that its artefact names"):
        build_index.run(night)
