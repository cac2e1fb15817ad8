import json
import os
import time
from dataclasses import replace

import numpy as np
import pytest

from recsys.artifacts.products import ProductTable
from recsys.artifacts.release import RELEASE_FILES, Release, verify_release
from recsys.errors import ArtifactInvalid
from recsys.release import assemble, list_releases
from serving_release import damage, make_release, parts, ref, verdict


@pytest.fixture
def releases_dir(tmp_path):
    return tmp_path / "releases"


def test_a_release_is_a_folder_named_by_its_content(releases_dir):
    release = make_release(releases_dir)
    home = releases_dir / release.id
    assert {path.name for path in home.iterdir()} == {*RELEASE_FILES, "manifest.json"}
    assert verify_release(home) == release
    assert ProductTable.load(home).describe(3) == {
        "product_id": "10003",
        "name": "Product 10003 – é",
        "attributes": {"gender": "Women", "articleType": "Shirts"},
    }
    assert [path.name for path in releases_dir.iterdir()] == [release.id]


def test_the_same_parts_give_the_same_release_and_it_is_left_alone(releases_dir, tmp_path):
    first = make_release(releases_dir)
    before = (releases_dir / first.id).stat().st_ino
    again = make_release(releases_dir)
    elsewhere = make_release(tmp_path / "elsewhere" / "releases")
    assert first == again == elsewhere
    assert (releases_dir / first.id).stat().st_ino == before


def test_other_parts_give_another_release(releases_dir):
    assert make_release(releases_dir, seed=0).id != make_release(releases_dir, seed=1).id
    assert len(list_releases(releases_dir)) == 2


def test_a_damaged_release_is_built_anew(releases_dir, caplog):
    release = make_release(releases_dir)
    damage(releases_dir / release.id)
    with pytest.raises(ArtifactInvalid, match=r"vectors\.npy has SHA-256"):
        verify_release(releases_dir / release.id)
    assert make_release(releases_dir) == release
    verify_release(releases_dir / release.id)
    assert "vectors.npy" in caplog.text
    assert [path.name for path in releases_dir.iterdir()] == [release.id]


def other(artifact, **changes):
    return lambda given: {**given, artifact: replace(given[artifact], **changes)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (other("embeddings", model_digest="f" * 64), "different models"),
        (other("index", model_digest="f" * 64), "different models"),
        (other("index", rows=47), "different numbers of products"),
        (other("model", dimension=9), "different dimensions"),
        (other("index", index_digest="f" * 64), r"index\.faiss has SHA-256"),
        (other("embeddings", vectors_digest="f" * 64), r"vectors\.npy has SHA-256"),
        (lambda given: {**given, "embedder": given["vectors"]}, r"embedder\.tflite has SHA-256"),
        (lambda given: {**given, "inputs": {"models": ref("models")}}, "catalog commit"),
        (lambda given: {**given, "inputs": {"catalog": ref("models")}}, "another repo"),
        (lambda given: {**given, "verdicts": (verdict(passed=False),)}, "refused"),
        (lambda given: {**given, "verdicts": ()}, "verdicts"),
    ],
)
def test_parts_that_do_not_belong_together_make_no_release(releases_dir, tmp_path, change, says):
    given = change(parts(tmp_path / "parts"))
    with pytest.raises(ArtifactInvalid, match=says):
        assemble(releases_dir, **given)
    assert not releases_dir.exists() or list(releases_dir.iterdir()) == []


def test_vectors_of_another_type_make_no_release(releases_dir, tmp_path):
    from recsys.artifacts.digests import sha256_file

    given = parts(tmp_path / "parts")
    np.save(given["vectors"], np.load(given["vectors"]).astype(np.float64))
    digest = sha256_file(given["vectors"])
    given["embeddings"] = replace(given["embeddings"], vectors_digest=digest)
    with pytest.raises(ArtifactInvalid, match="float64"):
        assemble(releases_dir, **given)


def test_what_a_crash_left_is_cleared_after_a_day(releases_dir):
    old, young = releases_dir / ".building-old", releases_dir / ".building-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    make_release(releases_dir)
    assert not old.exists()
    assert young.exists()


def test_releases_are_listed_newest_first_and_broken_ones_passed_over(releases_dir, caplog):
    first, second = make_release(releases_dir, 0), make_release(releases_dir, 1)
    now = time.time()
    for release, age in ((first, 60), (second, 0)):
        os.utime(releases_dir / release.id / "manifest.json", (now - age, now - age))
    broken = releases_dir / ("r-" + "0" * 16)
    broken.mkdir()
    (broken / "manifest.json").write_text("{}")
    (releases_dir / "live").symlink_to(first.id)
    assert list_releases(releases_dir) == [second, first]
    assert broken.name in caplog.text
    assert list_releases(releases_dir / "nowhere") == []


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"kind": "release"}'])
def test_a_manifest_that_is_none_is_named(releases_dir, content):
    release = make_release(releases_dir)
    (releases_dir / release.id / "manifest.json").write_bytes(content)
    with pytest.raises(ArtifactInvalid, match=release.id):
        verify_release(releases_dir / release.id)


def test_a_manifest_with_odd_verdicts_is_refused_too(releases_dir):
    release = make_release(releases_dir)
    data = {**json.loads(release.to_json()), "verdicts": [{"odd": 1}]}
    (releases_dir / release.id / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(ArtifactInvalid, match=r"no readable manifest\.json"):
        verify_release(releases_dir / release.id)


def test_a_folder_under_another_name_or_without_a_file_does_not_verify(releases_dir):
    release = make_release(releases_dir)
    home = releases_dir / release.id
    renamed = home.rename(releases_dir / ("r-" + "0" * 16))
    with pytest.raises(ArtifactInvalid, match=f"makes the id {release.id}"):
        verify_release(renamed)
    home = renamed.rename(home)
    (home / "index.faiss").unlink()
    with pytest.raises(ArtifactInvalid, match=r"index\.faiss is missing"):
        verify_release(home)
    assert Release.from_json((home / "manifest.json").read_bytes()) == release
