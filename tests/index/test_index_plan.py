from __future__ import annotations

import pytest

from recsys.errors import SettingsInvalid
from recsys.index import plan


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (1, "Flat"),
        (44_000, "Flat"),
        (200_000, "Flat"),
        (200_001, "IVF2048,Flat"),  # 4 × 447 = 1,789
        (1_000_000, "IVF4096,Flat"),  # 4 × 1,000
    ],
)
def test_auto_is_exact_until_lists_pay(rows: int, expected: str) -> None:
    assert plan(rows, 128, "auto") == expected


@pytest.mark.parametrize(
    "factory",
    ["Flat", "SQ8", "SQfp16", "HNSW32", "HNSW16,Flat", "IVF64,Flat", "IVF64,SQ8", "IVF64,PQ16"],
)
def test_a_known_factory_is_kept(factory: str) -> None:
    assert plan(40_000, 128, factory) == factory


@pytest.mark.parametrize(
    "factory", ["", "flat", "LSH", "Flat;rm", "IVF,Flat", "PQ16", "OPQ16,IVF8,Flat"]
)
def test_an_unknown_factory_is_refused_with_what_is_allowed(factory: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"RECSYS_INDEX_FACTORY: .*allowed: auto, Flat"):
        plan(40_000, 128, factory)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("IVF100,Flat", "100 lists; this catalog allows 1 to 51"),
        ("HNSW1", "1 links; this catalog allows 4 to 128"),
        ("IVF8,PQ17", "cannot split 128 dimensions into 17"),
        ("IVF8,PQ16", "needs 9,984 products"),
    ],
)
def test_a_factory_that_the_catalog_is_too_small_for_is_refused(factory: str, message: str) -> None:
    with pytest.raises(SettingsInvalid, match=message):
        plan(2_000, 128, factory)


def test_no_vectors_need_no_index() -> None:
    with pytest.raises(SettingsInvalid, match="needs vectors"):
        plan(0, 128, "auto")
