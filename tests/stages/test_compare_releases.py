"""Two releases beside each other: what differs is named and counted."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from recsys import names
from recsys.artifacts.base import ARTIFACT_FILE
from recsys.artifacts.catalog import ATTRIBUTES, NAME_COLUMN
from recsys.comparison import FieldDifference
from recsys.errors import BadInput, ReleaseUnknown
from recsys.settings import load_settings
from recsys.stages import frames
from recsys.stages.compare_releases import ReleaseDifference, compare_releases
from recsys.stages.find_release import find_release
from recsys.stages.night import Night
from recsys.stages.replay_release import recorded_stages
from recsys.stages.task import Task
from serving_release import make_release

PRODUCTS = pd.DataFrame(
    {
        "id": ["1", "2", "3", "4"],
        **dict.fromkeys(ATTRIBUTES, "a"),
        "articleType": ["Shirts", "Shirts", "Shoes", "Shoes"],
        NAME_COLUMN: ["one", "two", "three", "four"],
        "sha256_bytes": ["a" * 64, "b" * 64, "c" * 64, "d" * 64],
    }
)


def night(state: Path, **settings: object) -> Night:
    return Night(load_settings(state_dir=state, **settings), "2026-01-01")


def published(night: Night, products: pd.DataFrame, seed: int) -> str:
    """A release whose validated catalog holds these products."""
    night.store.ensure_repo(names.VALIDATED)
    with night.store.commit(names.VALIDATED, replace=True) as validated:
        validated.put(frames.PRODUCTS, frames.to_parquet(products))
    release = make_release(night.settings.releases_dir, seed=seed)
    release = replace(release, inputs={**release.inputs, names.VALIDATED: validated.ref})
    Task(night, "assemble_release", [validated.ref], {"of": seed}, rooms=("release",)).publish(
        release
    )
    return release.id


def differing(found: ReleaseDifference) -> dict[str, list[str]]:
    return {
        topic: [item.name for item in fields] for topic, fields in found.fields.items() if fields
    }


def test_products_that_come_go_and_change_are_named(tmp_path: Path) -> None:
    shop = night(tmp_path)
    new = PRODUCTS.drop(index=0).assign(
        articleType=["Shirts", "Boots", "Shoes"],
        baseColour=["a", "a", "red"],
        sha256_bytes=["e" * 64, "c" * 64, "d" * 64],
    )
    new = pd.concat([new, PRODUCTS.tail(1).assign(id="5")])
    old, new = published(shop, PRODUCTS, 0), published(shop, new, 0)
    products = compare_releases(shop, old, new).products
    assert (products.old, products.new) == (4, 4)
    assert (products.added, products.removed) == (("5",), ("1",))
    assert products.pictures == ("2",)
    assert products.attributes == ("3", "4")
    assert products.labels == (("3", "Shoes", "Boots"),)


def test_a_release_does_not_differ_from_itself(tmp_path: Path) -> None:
    shop = night(tmp_path)
    release = published(shop, PRODUCTS, 0)
    found = compare_releases(shop, release, release)
    assert differing(found) == {}
    assert found.products.added == found.products.removed == found.products.pictures == ()
    assert found.incomplete == ()


def test_versions_commits_settings_and_parameters_are_compared(tmp_path: Path) -> None:
    old = published(night(tmp_path), PRODUCTS, 0)
    new = published(night(tmp_path, epochs=9, seed=21), PRODUCTS, 1)
    found = compare_releases(night(tmp_path), old, new)
    assert differing(found) == {
        "versions": ["index_version"],
        "data": ["releases", "validated"],
        "settings": ["epochs", "seed"],
        "parameters": ["assemble_release.of"],
    }
    assert found.fields["settings"] == [
        FieldDifference("epochs", 12, 9),
        FieldDifference("seed", 20, 21),
    ]


def test_a_release_that_no_night_made_is_compared_too(tmp_path: Path) -> None:
    shop = night(tmp_path)
    old = published(shop, PRODUCTS, 0)
    redacted = make_release(shop.settings.releases_dir, seed=1)
    with shop.store.commit(
        names.RELEASES, message=redaction(redacted.digest), branch="purged"
    ) as writer:
        writer.put(ARTIFACT_FILE, redacted.to_json())
    found = compare_releases(shop, old, redacted.id)
    assert "index_version" in differing(found)["versions"]
    with pytest.raises(BadInput, match="it was made by redact_release"):
        recorded_stages(shop, find_release(shop, redacted.id))


def redaction(digest: str) -> str:
    return json.dumps({"stage": "redact_release", "artifact_digest": digest})


def test_a_release_that_is_only_in_its_folder_is_compared_as_far_as_that_goes(
    tmp_path: Path,
) -> None:
    shop = night(tmp_path)
    old = published(shop, PRODUCTS, 0)
    alone = make_release(shop.settings.releases_dir, seed=1).id
    found = compare_releases(shop, old, alone)
    assert found.products.pictures is None
    assert found.products.removed == ("1", "2", "3", "4")
    assert len(found.products.added) == 48
    assert len(found.incomplete) == 2
    assert "index_version" in differing(found)["versions"]


@pytest.mark.parametrize("unknown", ["r-0123456789abcdef", "yesterday"])
def test_a_release_that_is_nowhere_is_unknown(tmp_path: Path, unknown: str) -> None:
    shop = night(tmp_path)
    with pytest.raises(ReleaseUnknown):
        compare_releases(shop, published(shop, PRODUCTS, 0), unknown)
