"""Night after night only new pictures are embedded, and each vector knows its model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recsys import embedding, images, names
from recsys.artifacts.digests import sha256_bytes
from recsys.artifacts.index import EmbeddingSet
from recsys.errors import ArtifactInvalid, BadInput, ContentRemoved, ProductUnknown
from recsys.provenance.replay import ReplayStore
from recsys.settings import Settings, load_settings
from recsys.stages.embedding_coverage import embedding_coverage, product_vector
from recsys.stages.feature_store import (
    SHARDS,
    open_embeddings,
    shard_paths,
    shards_showing,
    write_vectors,
)
from recsys.stages.night import Night, Opened
from recsys.stages.vectors import known_vectors
from serving_release import EMBEDDER, HEIGHT, WIDTH
from stages.embedded_nights import embed, other_model, picture, reach_champion

FIRST = {str(10_000 + number): picture(number) for number in range(30)}
# One product is gone, one shows another picture, one is new.
SECOND = {
    **{product: content for product, content in FIRST.items() if product != "10003"},
    "10007": picture(107),
    "10500": picture(500),
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(state_dir=tmp_path / "state")


@pytest.fixture
def embedded_pictures(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures went through the model, call by call."""
    seen: list[int] = []
    embed_all = embedding.incremental.embed_all

    def counted(model: Path, pixels: np.ndarray, **options: object) -> object:
        seen.append(len(pixels))
        return embed_all(model, pixels, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(embedding.incremental, "embed_all", counted)
    return seen


def vectors_of(night: Night, embeddings: Opened[EmbeddingSet]) -> np.ndarray:
    with open_embeddings(night, embeddings.ref, embeddings.artifact.model_digest) as shards:
        return shards.vectors()


def embedding_everything(night: Night, pictures: dict[str, bytes]) -> np.ndarray:
    encoder = embedding.Encoder(EMBEDDER)
    pixels = [
        images.load(pictures[product], WIDTH, HEIGHT, night.image_limits)
        for product in sorted(pictures)
    ]
    return encoder.embed(np.stack(pixels))


def test_the_first_night_embeds_everything(
    settings: Settings, embedded_pictures: list[int]
) -> None:
    night = reach_champion(settings, "2026-01-01", FIRST)
    found = embed(night)
    assert (found.artifact.rows, found.artifact.taken_over, found.artifact.embedded) == (30, 0, 30)
    assert embedded_pictures == [30]
    np.testing.assert_array_equal(vectors_of(night, found), embedding_everything(night, FIRST))


def test_the_second_night_embeds_new_and_changed_pictures_to_the_same_bytes(
    settings: Settings, embedded_pictures: list[int], tmp_path: Path
) -> None:
    embed(reach_champion(settings, "2026-01-01", FIRST))
    night = reach_champion(settings, "2026-01-02", SECOND)
    found = embed(night)
    assert (found.artifact.rows, found.artifact.taken_over, found.artifact.embedded) == (30, 28, 2)
    assert embedded_pictures == [30, 2]
    np.testing.assert_array_equal(vectors_of(night, found), embedding_everything(night, SECOND))
    anew = load_settings(state_dir=tmp_path / "anew")
    assert (
        found.artifact.vectors_digest
        == embed(reach_champion(anew, "2026-01-02", SECOND)).artifact.vectors_digest
    )


def test_of_few_new_pictures_only_those_are_decoded(settings: Settings) -> None:
    embed(reach_champion(settings, "2026-01-01", FIRST))
    for pixels in settings.scratch_dir.glob("pixels-*.npy"):
        pixels.unlink()
    embed(reach_champion(settings, "2026-01-02", SECOND))
    assert not list(settings.scratch_dir.glob("pixels-*.npy"))


def test_another_model_takes_nothing_over(settings: Settings, embedded_pictures: list[int]) -> None:
    embed(reach_champion(settings, "2026-01-01", FIRST))
    assert (
        embed(reach_champion(settings, "2026-01-02", FIRST, other_model())).artifact.embedded == 30
    )
    back = embed(reach_champion(settings, "2026-01-03", SECOND))
    assert back.artifact.taken_over == 28  # of the night before the last
    assert embedded_pictures == [30, 30, 2]


def test_vectors_of_other_code_or_libraries_are_made_anew(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = reach_champion(settings, "2026-01-01", FIRST)
    digest = embed(first).artifact.model_digest
    assert len(known_vectors(first, digest).row_of) == 30
    with monkeypatch.context() as patch:
        patch.setattr("recsys.stages.vectors.code_digest", lambda places: "other code")
        assert not known_vectors(first, digest).row_of
    monkeypatch.setattr("recsys.stages.vectors.library_versions", lambda: {"numpy": "0"})
    assert not known_vectors(first, digest).row_of


def test_a_replay_takes_nothing_over(settings: Settings, tmp_path: Path) -> None:
    night = reach_champion(settings, "2026-01-01", FIRST)
    found = embed(night)
    scratch = Night(load_settings(state_dir=tmp_path / "scratch"), night.date)
    store = ReplayStore(night.store, scratch.store, night.store.inspect(found.ref))
    store.ensure_repo(names.EMBEDDINGS)
    object.__setattr__(scratch, "store", store)
    assert not known_vectors(scratch, found.artifact.model_digest).row_of


def test_vectors_of_another_model_are_not_read_from_a_commit(settings: Settings) -> None:
    night = reach_champion(settings, "2026-01-01", FIRST)
    found = embed(night)
    wanted = sha256_bytes(other_model())
    with (
        pytest.raises(ArtifactInvalid, match=f"expected {names.model_version(wanted)}"),
        open_embeddings(night, found.ref, wanted),
    ):
        raise AssertionError("it was opened")


def test_every_commit_can_still_be_read_as_it_was(settings: Settings, tmp_path: Path) -> None:
    first = reach_champion(settings, "2026-01-01", FIRST)
    old = embed(first)
    embed(reach_champion(settings, "2026-01-02", SECOND))
    products = write_vectors(first, old, tmp_path / "vectors.npy")
    assert products == sorted(FIRST)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r", allow_pickle=False)
    np.testing.assert_array_equal(mapped, embedding_everything(first, FIRST))


def test_a_shard_says_which_commits_it_was_made_of(settings: Settings) -> None:
    night = reach_champion(settings, "2026-01-01", FIRST)
    found = embed(night).artifact
    with open_embeddings(night, embed(night).ref, found.model_digest) as shards:
        said = shards.schema
    assert (said.model, said.catalog) == (found.model, found.catalog)
    assert (said.model_version, said.dimension) == (found.version, found.dimension)


def test_shards_with_a_picture_can_be_purged_and_the_rest_is_still_taken_over(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.stages.embed_catalog.SHARD_ROWS", 10)
    night = reach_champion(settings, "2026-01-01", FIRST)
    found = embed(night)
    gone = sha256_bytes(FIRST["10012"])
    paths = list(shards_showing(night, found.ref, [gone]))
    assert paths == [f"{SHARDS}00001.parquet"]
    night.store.purge([(found.ref, path) for path in paths], "withdrawn")
    with pytest.raises(ContentRemoved):
        vectors_of(night, found)
    assert list(shards_showing(night, found.ref, [gone])) == []
    assert len(shard_paths(night, found.ref)) == 3
    known = known_vectors(night, found.artifact.model_digest)
    assert len(known.row_of) == 20
    assert gone not in known


def test_the_store_is_fresh_when_every_product_has_its_vector(settings: Settings) -> None:
    night = reach_champion(settings, "2026-01-01", FIRST)
    embed(night)
    found = embedding_coverage(night)
    assert found.stale == ()
    assert (found.products, found.with_vector, found.without) == (30, 30, ())
    assert found.model == found.champion
    assert found.live_release == ""
    assert 0 <= found.age_seconds < 600


def test_products_without_a_vector_of_their_picture_make_it_stale(settings: Settings) -> None:
    embed(reach_champion(settings, "2026-01-01", FIRST))
    found = embedding_coverage(reach_champion(settings, "2026-01-02", SECOND))
    assert found.without == ("10007", "10500")
    assert found.stale == ("2 products of the newest catalog have no vector of their picture",)


def test_another_champion_makes_it_stale(settings: Settings) -> None:
    embed(reach_champion(settings, "2026-01-01", FIRST))
    found = embedding_coverage(reach_champion(settings, "2026-01-02", FIRST, other_model()))
    assert found.stale == (
        f"the vectors are those of {found.model}, but {found.champion} is champion",
    )


def test_a_product_is_looked_up_with_its_picture(settings: Settings) -> None:
    night = reach_champion(settings, "2026-01-01", FIRST)
    ref = embed(night).ref
    found = product_vector(night, "10007")
    assert found.embedding.picture == sha256_bytes(FIRST["10007"])
    assert (found.embeddings, found.current) == (ref, True)
    np.testing.assert_array_equal(
        found.embedding.vector, embedding_everything(night, {"10007": FIRST["10007"]})[0]
    )
    assert not product_vector(reach_champion(settings, "2026-01-02", SECOND), "10007").current


def test_what_is_not_there_is_said(settings: Settings) -> None:
    night = reach_champion(settings, "2026-01-01", FIRST)
    with pytest.raises(BadInput, match="no catalog was embedded yet"):
        embedding_coverage(night)
    embed(night)
    with pytest.raises(ProductUnknown, match="'99' is not among the 30 products"):
        product_vector(night, "99")


def test_nothing_is_left_in_the_scratch_folder_but_the_night_s_maps(settings: Settings) -> None:
    embed(reach_champion(settings, "2026-01-01", FIRST))
    left = {path.name.split("-")[0] for path in settings.scratch_dir.iterdir()}
    assert left == {"pixels", "vectors", "vectors.lock"}
