"""A night with its provenance on a Pachyderm server: stages, memory and service do not notice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from flow.nights import NIGHT, Platform, command_environment, free_ports, run_night, served
from pachd.double import Pachd
from recsys.artifacts.products import ProductTable
from recsys.artifacts.release import verify_release
from recsys.provenance import open_store
from recsys.settings import load_settings
from recsys.stages import NIGHT_STAGES
from recsys.stages.find_release import find_live_release
from recsys.stages.night import Night
from recsys.stages.purge_product import purge_product

PRODUCT = "10010"
TOKEN = "the-nights-own-token"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A running service and a first night over the wire."""
    (port,) = free_ports(1)
    with Pachd(token=TOKEN) as pachd:
        settings = load_settings(
            state_dir=tmp_path_factory.mktemp("pachyderm") / "state",
            drawn_products=240,
            embedding_dim=32,
            epochs=12,
            batch_size=16,
            recall_queries=100,
            shadow_questions=16,
            seldon_port=port,
            provenance="pachyderm",
            pachd_address=pachd.address,
            pachd_token=TOKEN,
            pachd_project="shop",
        )
        with served(settings):
            run_night(settings)
            yield Platform(settings, {})


def test_a_night_on_pachyderm_is_served_remembered_and_traced(shop: Platform) -> None:
    release = verify_release(shop.settings.releases_dir / str(shop.live))
    table = ProductTable.load(shop.settings.releases_dir / str(shop.live))
    answer = shop.answer(bytes(table.ids[0]).decode())
    assert answer["release"] == shop.live
    assert len(answer["results"]) == 5

    command = [sys.executable, "-m", "recsys", "nightly", "--date", NIGHT]
    environment = {**os.environ, **command_environment(shop.settings)}
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("(unchanged)") == len(NIGHT_STAGES)
    assert TOKEN not in again.stdout + again.stderr

    store = open_store(shop.settings)
    made_of = {info.ref for info in store.upstream(release.inputs["indexes"])}
    assert {release.inputs["catalog"], release.inputs["embeddings"]} <= made_of
    assert not shop.settings.store_dir.exists()
    assert store.verify() == []


def test_a_product_is_purged_with_all_that_was_made_of_its_picture_and_nights_go_on(
    shop: Platform,
) -> None:
    before = str(shop.live)
    night = Night(shop.settings, NIGHT)
    purge = purge_product(night, PRODUCT, "ada", "unlawful")
    assert shop.live == purge.releases[before]
    assert shop.post({"jsonData": {"product_id": PRODUCT}}).status_code == 404
    assert shop.answer("10011")["release"] == shop.live
    assert any(ref.startswith("releases@") for ref in purge.commits)
    assert any("object storage" in what for what in purge.remains)

    night = Night(shop.settings, NIGHT)
    assert night.holding("catalog", purge.pictures[0]) == []
    assert find_live_release(night).artifact.id == shop.live
    receipts = run_night(shop.settings, until="validate_catalog")
    assert receipts["validate_catalog"].fresh
    assert list(night.store.files(receipts["snapshot_catalog"].ref, f"/images/{PRODUCT}.")) == []
