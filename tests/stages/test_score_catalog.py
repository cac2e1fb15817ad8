"""Every product's neighbours as files: those of the release, whole or not at all."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from recsys import index
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.live import write_live
from recsys.artifacts.scores import CatalogScores
from recsys.errors import ArtifactInvalid, BadInput
from recsys.settings import load_settings
from recsys.stages.night import Night
from recsys.stages.score_catalog import score_catalog
from serving_release import IDS, PRODUCTS, damage, make_release, vectors


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(load_settings(state_dir=tmp_path / "state"), "2026-01-01")


def made(night: Night) -> str:
    release = make_release(night.settings.releases_dir)
    write_live(night.settings.releases_dir, release.id)
    return release.id


def read(out: Path, scores: CatalogScores) -> list[dict[str, object]]:
    return [row for name in sorted(scores.files) for row in pq.read_table(out / name).to_pylist()]


def test_every_product_has_its_nearest_others_best_first(night: Night, tmp_path: Path) -> None:
    scores = score_catalog(night, made(night), 3, tmp_path / "out", shard_products=20)
    rows = read(tmp_path / "out", scores)
    assert (scores.products, scores.rows, len(rows)) == (PRODUCTS, 3 * PRODUCTS, 3 * PRODUCTS)
    found = [(row["product"], row["rank"], row["neighbour"]) for row in rows]
    cosines = vectors() @ vectors().T
    np.fill_diagonal(cosines, -2)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :3]
    assert found == [
        (IDS[row], rank, IDS[other])
        for row in range(PRODUCTS)
        for rank, other in enumerate(nearest[row], 1)
    ]
    scored = np.array([row["score"] for row in rows]).reshape(PRODUCTS, 3)
    np.testing.assert_allclose(scored, np.take_along_axis(cosines, nearest, 1), atol=1e-6)


def test_the_manifest_names_the_release_and_every_file(night: Night, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scores = score_catalog(night, made(night), 3, out, shard_products=20)
    assert CatalogScores.from_json((out / "manifest.json").read_bytes()) == scores
    assert sorted(path.name for path in out.iterdir()) == [*sorted(scores.files), "manifest.json"]
    assert scores.files == {name: sha256_file(out / name) for name in scores.files}
    assert len(scores.files) == 3


def test_more_neighbours_than_products_are_fewer(night: Night, tmp_path: Path) -> None:
    scores = score_catalog(night, made(night), 100, tmp_path / "out")
    assert scores.rows == PRODUCTS * (PRODUCTS - 1)


def test_a_folder_that_is_there_is_left_alone(night: Night, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(BadInput, match="is there already"):
        score_catalog(night, made(night), 3, tmp_path / "out")
    with pytest.raises(BadInput, match="is no folder"):
        score_catalog(night, made(night), 3, tmp_path / "none" / "out")


def test_nothing_is_left_when_it_is_cut_short(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, folder = made(night), tmp_path / "folder"
    folder.mkdir()
    search = index.search

    def search_once(*arguments: object, **options: object) -> object:
        if list(folder.rglob("*.parquet")):
            raise KeyboardInterrupt
        return search(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(index, "search", search_once)
    with pytest.raises(KeyboardInterrupt):
        score_catalog(night, release, 3, folder / "out", shard_products=20)
    assert list(folder.iterdir()) == []


def test_a_damaged_release_is_not_asked(night: Night, tmp_path: Path) -> None:
    release = made(night)
    damage(night.settings.releases_dir / release)
    with pytest.raises(ArtifactInvalid):
        score_catalog(night, release, 3, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_progress_is_told_in_products(night: Night, tmp_path: Path) -> None:
    told: list[int] = []

    @contextmanager
    def progress(what: str, total: int) -> object:
        told.append(-total)
        yield told.append

    watched = Night(night.settings, night.date, progress=progress)  # type: ignore[arg-type]
    score_catalog(watched, made(night), 3, tmp_path / "out")
    assert sum(told) == 0
