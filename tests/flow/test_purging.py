"""A product leaves the live release, all history and all caches, and does not come back."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from changes.changed import picture as changed_picture
from changes.changed import upsert
from flow.nights import NIGHT, Platform, free_ports, run_night, served
from recsys import names
from recsys.artifacts.products import ProductTable
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.release import verify_release
from recsys.catalog import planted_faults
from recsys.changes import Spool
from recsys.deploy import local_seldon
from recsys.errors import ArtifactInvalid, BadInput, ContentRemoved
from recsys.release import history
from recsys.settings import load_settings
from recsys.stages import run_stage
from recsys.stages.feature_store import shards_showing
from recsys.stages.find_release import find_release
from recsys.stages.night import Night
from recsys.stages.purge_product import purge_product
from recsys.stages.purges import commit_purges, current_purges
from recsys.stages.roll_back import roll_back
from recsys.stages.trace import trace

PRODUCT = "10010"
WHY = "the photographer withdrew the licence"


@pytest.fixture(scope="module")
def shop(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A copy of the platform that a purge may change for good, with two releases."""
    state = tmp_path_factory.mktemp("purged") / "state"
    shutil.copytree(
        platform.settings.state_dir,
        state,
        symlinks=True,
        ignore=shutil.ignore_patterns("run", "workers", "airflow"),
    )
    settings = load_settings(
        **{
            **platform.settings.model_dump(),
            "state_dir": state,
            "shadow": False,
            "seldon_port": free_ports(1)[0],
        }
    )
    with served(settings):
        run_night(settings.model_copy(update={"index_factory": "HNSW16"}))
        yield replace(platform, settings=settings)


@pytest.fixture(scope="module")
def picture(shop: Platform) -> bytes:
    (path,) = (shop.settings.state_dir / "drawn").rglob(f"{PRODUCT}.jpg")
    return path.read_bytes()


@pytest.fixture(scope="module")
def before(shop: Platform, picture: bytes) -> dict[str, Any]:
    """What was live and what was stored before the purge, which is done here."""
    night = Night(shop.settings, NIGHT)
    live = str(shop.live)
    known = [release.release for release in history(shop.settings.releases_dir)]
    vectors = shop.settings.releases_dir / live / "vectors.npy"
    row = ProductTable.load(shop.settings.releases_dir / live).row(PRODUCT)
    vector = vectors.read_bytes()[128 + row * 32 * 4 : 128 + (row + 1) * 32 * 4]
    assert holders(shop, picture)
    assert holders(shop, vector)
    assert shards_with(shop, picture)
    assert sheets_with_models(shop)
    purge = purge_product(night, PRODUCT, "ada", WHY)
    return {"live": live, "known": known, "vector": vector, "purge": purge}


def holders(shop: Platform, content: bytes) -> list[Path]:
    """The platform's files that hold these bytes; the delivery is the shop's own."""
    return [
        path
        for path in shop.settings.state_dir.rglob("*")
        if path.is_file() and "drawn" not in path.parts and content in path.read_bytes()
    ]


def shards_with(shop: Platform, picture: bytes) -> list[str]:
    """The shards of the feature store that hold the picture's vector, in any commit."""
    night, digest = Night(shop.settings, NIGHT), hashlib.sha256(picture).hexdigest()
    commits = night.store.commits(names.EMBEDDINGS)
    return [path for commit in commits for path in shards_showing(night, commit.ref, [digest])]


def sheets_with_models(shop: Platform) -> list[str]:
    """The contact sheets of neighbours in MLflow."""
    client = MlflowClient(shop.settings.mlflow_uri)
    runs = {model.run_id for model in Night(shop.settings, NIGHT).registry.versions()}
    return [item.path for run in runs for item in client.list_artifacts(run, "neighbours")]


def test_no_sheet_of_neighbours_stands_with_a_model_any_more(
    shop: Platform, before: dict[str, Any]
) -> None:
    assert sheets_with_models(shop) == []


def test_the_live_service_answers_without_the_product(
    shop: Platform, before: dict[str, Any]
) -> None:
    assert shop.live not in (None, before["live"])
    assert shop.post({"jsonData": {"product_id": PRODUCT}}).status_code == 404
    answer = shop.answer("10011", k=100)
    assert answer["release"] == shop.live
    assert PRODUCT not in [item["product_id"] for item in answer["results"]]
    verify_release(shop.settings.releases_dir / str(shop.live))


def test_no_file_holds_the_picture_or_the_vector_any_more(
    shop: Platform, before: dict[str, Any], picture: bytes
) -> None:
    assert holders(shop, picture) == []
    assert holders(shop, before["vector"]) == []
    assert shards_with(shop, picture) == []
    assert Night(shop.settings, NIGHT).store.verify() == []


def test_a_tombstone_stays_in_the_lineage(
    shop: Platform, before: dict[str, Any], picture: bytes
) -> None:
    night = Night(shop.settings, NIGHT)
    digest = hashlib.sha256(picture).hexdigest()
    found = trace(night, digest)
    assert [item.why for item in found.purges] == [WHY]
    assert before["live"] in found.reached.releases
    commit, path = next(iter(night.store.holding(names.CATALOG, digest)))
    with pytest.raises(ContentRemoved, match="withdrew"):
        night.store.open(commit.ref, path)
    event = history(shop.settings.releases_dir)[-1]
    assert (event.event, event.release, event.previous, event.who) == (
        "purged",
        shop.live,
        before["live"],
        "ada",
    )
    assert before["purge"].finished
    assert before["purge"].remains


def test_a_rollback_goes_to_the_release_before_without_the_product(
    shop: Platform, before: dict[str, Any]
) -> None:
    night = Night(shop.settings, NIGHT)
    now = str(shop.live)
    old = next(item for item in before["known"] if item != before["live"])
    event, _ = roll_back(night, old, "ada", "a look at the index before")
    assert event.release == current_purges(night).artifact.successor(old) != old
    assert shop.post({"jsonData": {"product_id": PRODUCT}}).status_code == 404
    assert find_release(night, event.release).artifact.inputs[names.PURGES]
    roll_back(night, now, "ada", "and back")
    assert shop.live == now


def test_the_next_night_does_not_bring_it_back(shop: Platform, before: dict[str, Any]) -> None:
    receipts = run_night(shop.settings, until="validate_catalog")
    night = Night(shop.settings, NIGHT)
    assert receipts["snapshot_catalog"].fresh
    catalog = receipts["snapshot_catalog"].ref
    assert list(night.store.files(catalog, f"/images/{PRODUCT}")) == []
    rows = night.read(catalog, "/styles.csv").decode().splitlines()
    assert not [row for row in rows if row.startswith(f"{PRODUCT},")]
    assert not run_night(shop.settings, until="validate_catalog")["validate_catalog"].fresh


def test_products_that_share_the_picture_lose_it_too(
    shop: Platform, before: dict[str, Any]
) -> None:
    one, other = planted_faults(shop.settings.drawn_products).duplicates
    night = Night(shop.settings, NIGHT)
    with pytest.raises(BadInput, match=f"1 other products show the same picture.*{other}"):
        purge_product(night, one, "ada", "unlawful", may_return=True)
    assert shop.post({"jsonData": {"product_id": one}}).status_code == 200
    purge = purge_product(night, one, "ada", "unlawful", may_return=True, with_others=True)
    assert set(purge.products) == {one, other}
    for product in (one, other):
        assert shop.post({"jsonData": {"product_id": product}}).status_code == 404
    assert current_purges(night).artifact.barred_products == {PRODUCT}


def test_a_product_that_is_new_since_the_night_leaves_the_tail(shop: Platform) -> None:
    night, spool = Night(shop.settings, NIGHT), Spool(shop.settings.changes_dir)
    (change,) = spool.add([upsert("new", 5)], "ada", folded=0, most=10)
    local_seldon(shop.settings).take_up_changes(change.number)
    assert shop.post({"jsonData": {"product_id": "new"}}).status_code == 200
    purge = purge_product(night, "new", "ada", "unlawful")
    assert (purge.products, purge.finished) == (("new",), True)
    assert shop.post({"jsonData": {"product_id": "new"}}).status_code == 404
    assert holders(shop, changed_picture(5)) == []
    with pytest.raises(BadInput, match="new or its picture was purged"):
        spool.add([upsert("new", 6)], "ada", folded=0, most=10)


def test_a_purge_needs_a_reason_and_a_product(shop: Platform) -> None:
    night = Night(shop.settings, NIGHT)
    with pytest.raises(BadInput, match="--why"):
        purge_product(night, PRODUCT, "ada", " ")
    with pytest.raises(BadInput, match="no delivery ever held"):
        purge_product(night, "none", "ada", WHY)


def test_a_night_that_was_under_way_cannot_put_a_purged_product_back(
    shop: Platform, before: dict[str, Any]
) -> None:
    night = Night(shop.settings, NIGHT)
    live = find_release(night, str(shop.live))
    noted = replace(before["purge"], product="10011", pictures=(), releases={}, finished=False)
    commit_purges(night, current_purges(night).artifact, noted)
    receipt = Receipt("release", live.ref, live.artifact.digest, fresh=True)
    tried = run_stage(
        "shadow_release", shop.settings, night=NIGHT, receipts={"assemble_release": receipt}
    )
    with pytest.raises(ArtifactInvalid, match=r"1 purged products \(10011\)"):
        run_stage("deploy_release", shop.settings, night=NIGHT, receipts={"shadow_release": tried})
    assert shop.live == live.artifact.id
    assert shop.answer("10012")["release"] == shop.live
