"""Tombstones: what is barred, and what stands in for a release that was replaced."""

from __future__ import annotations

from dataclasses import replace

import pytest

from recsys.artifacts.purge import Purge, Purges
from recsys.errors import ArtifactInvalid

PURGE = Purge(
    product="10",
    why="unlawful",
    who="ada",
    when="2026-01-01T00:00:00+00:00",
    pictures=("a" * 64,),
    products=("10", "11"),
    may_return=False,
    releases={"r-1": "r-2"},
    files=3,
    commits=(),
    remains=("copies",),
    finished=True,
)


def test_purges_are_the_same_after_a_round_trip() -> None:
    purges = Purges((PURGE,))
    assert Purges.from_json(purges.to_json()) == purges


def test_a_product_that_may_return_is_barred_by_its_picture_only() -> None:
    purges = Purges((PURGE, replace(PURGE, product="20", pictures=("b" * 64,), may_return=True)))
    assert purges.barred_products == {"10"}
    assert purges.barred_pictures == {"a" * 64, "b" * 64}


def test_what_is_barred_has_a_digest_that_bookkeeping_does_not_change() -> None:
    first = Purges((replace(PURGE, finished=False, files=0),))
    assert first.barred_digest == Purges((PURGE,)).barred_digest
    assert first.barred_digest != Purges((replace(PURGE, may_return=True),)).barred_digest


def test_a_release_is_followed_to_what_stands_in_for_it_now() -> None:
    purges = Purges((PURGE, replace(PURGE, product="20", releases={"r-2": "r-3"})))
    assert [purges.successor(release) for release in ("r-1", "r-2", "r-9")] == ["r-3", "r-3", "r-9"]


def test_a_product_is_purged_once_the_newest_word_counts() -> None:
    again = replace(PURGE, why="again")
    assert Purges((PURGE,)).adding(again).items == (again,)


def test_a_purge_without_a_reason_is_none() -> None:
    with pytest.raises(ArtifactInvalid, match="reason"):
        replace(PURGE, why=" ")
