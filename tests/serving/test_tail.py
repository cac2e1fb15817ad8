"""The tail belongs to the release's own model, and one bad change takes nothing else along."""

from dataclasses import replace

import numpy as np
import pytest

from changes.changed import delist, picture, upsert
from recsys.changes import Spool
from recsys.errors import ProductUnknown
from recsys.images import ImageLimits
from recsys.serving.engine import ServingRelease
from recsys.serving.requests import Quality, Query
from serving_release import IDS, make_release, pictures, png

LIMITS = ImageLimits(max_bytes=100_000, max_pixels=10_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("tail")
    made = make_release(home / "releases", changes_through=2)
    return home / "releases" / made.id


@pytest.fixture
def serving(folder):
    return ServingRelease.open(folder, LIMITS)


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path / "changes")
    spool.add([delist(IDS[0]), upsert("folded", 9)], "me", folded=0, most=10)
    return spool


def add(spool, *drafts):
    return spool.add(drafts, "me", folded=2, most=10)


def shown(serving, product=IDS[1], **options):
    (answer,) = serving.answer([Query(100, product, quality=Quality(**options))])
    return {result["product_id"]: result for result in answer.results}


def test_what_the_release_has_folded_in_is_not_laid_over_it_again(serving, spool):
    changed = serving.with_changes(spool)
    assert changed.changes == serving.changes == 2
    assert set(shown(changed)) == set(IDS) - {IDS[1]}


def test_the_picture_of_a_change_gets_the_vector_that_a_shoppers_picture_gets(serving, spool):
    add(spool, upsert("new", 1))
    changed = serving.with_changes(spool)
    (answer,) = changed.answer([Query(3, image=picture(1))])
    assert answer.results[0]["product_id"] == "new"
    assert answer.results[0]["score"] == pytest.approx(1, abs=1e-6)
    by_id, by_picture = (
        changed.answer([query])[0].results
        for query in (Query(48, "new"), Query(49, image=picture(1)))
    )
    assert by_id == by_picture[1:]


def test_the_release_that_changes_were_laid_over_stays_as_it_was(serving, spool):
    before = shown(serving)
    add(spool, delist(IDS[3]), upsert("new", 1))
    serving.with_changes(spool)
    assert shown(serving) == before


def test_a_withdrawn_change_leaves_the_product_as_the_release_has_it(serving, spool):
    before = shown(serving)
    add(spool, upsert(IDS[3], 1), upsert("new", 2))
    assert shown(serving.with_changes(spool)) != before
    spool.withdraw([IDS[3], "new"], [], "me")
    changed = serving.with_changes(spool)
    assert shown(changed) == before
    assert changed.changes == 6


def test_a_picture_is_embedded_once_however_many_changes_follow(serving, spool, monkeypatch):
    embedded = []
    embed = serving._encoder.embed
    monkeypatch.setattr(
        serving._encoder, "embed", lambda pixels: embedded.append(1) or embed(pixels)
    )
    changed = serving
    for number in range(3):
        add(spool, upsert(f"new{number}", number))
        changed = changed.with_changes(spool)
    assert len(embedded) == 3
    assert {"new0", "new1", "new2"} <= set(shown(changed))


def test_what_the_model_cannot_take_is_set_aside_and_the_rest_is_in_effect(
    serving, spool, monkeypatch
):
    add(spool, upsert("a", 1), upsert("b", 2))
    embed = serving._encoder.embed
    broken = [np.full((1, 8), np.nan, np.float32)]
    monkeypatch.setattr(
        serving._encoder, "embed", lambda pixels: broken.pop() if broken else embed(pixels)
    )
    changed = serving.with_changes(spool)
    assert "a" not in shown(changed)
    assert "b" in shown(changed)
    ((_, why),) = spool.rejected()
    assert why == "the model makes no finite vector of this picture"


def test_a_new_product_with_the_picture_of_another_is_collapsed_into_it(serving, spool):
    twin = png(pictures()[7])
    add(spool, upsert("a"), upsert("b"))
    add(spool, *(replace(upsert(name), picture=twin) for name in ("x", "y")))
    changed = serving.with_changes(spool)
    plain, collapsed = shown(changed), shown(changed, collapse=True)
    assert {"a", "b", "x", "y", IDS[7]} <= set(plain)
    assert [name for name in ("a", "b") if name in collapsed] == ["a"]
    assert [name for name in (IDS[7], "x", "y") if name in collapsed] == [IDS[7]]


def test_a_delisted_product_is_unknown_and_comes_back_with_an_upsert(serving, spool):
    add(spool, delist(IDS[3]))
    changed = serving.with_changes(spool)
    with pytest.raises(ProductUnknown, match="not among the 47 products"):
        changed.answer([Query(1, IDS[3])])
    add(spool, upsert(IDS[3], 1))
    assert shown(changed.with_changes(spool))[IDS[3]]["part"] == "tail"
