from __future__ import annotations

import pytest

from recsys.errors import SettingsInvalid
from recsys.index import plan

ROOM = 4_000_000_000


@pytest.mark.parametrize("rows", [1, 960, 10_000])
def test_auto_is_exact_until_lists_pay(rows: int) -> None:
    assert plan(rows, 192, "auto", ROOM) == ("Flat",)


@pytest.mark.parametrize(
    ("rows", "lists"),
    [
        (10_001, (128, 256)),  # 2 × 100
        (40_000, (256, 512)),  # 2 × 200
        (1_000_000, (1_024, 2_048)),  # 2 × 1,000
    ],
)
def test_auto_tries_lists_beside_exact_search(rows: int, lists: tuple[int, int]) -> None:
    few, many = (f"IVF{count},Flat" for count in lists)
    exact, *graph, fewer, more = plan(rows, 192, "auto", ROOM)
    assert (exact, fewer, more) == ("Flat", few, many)
    assert graph == ([] if rows > 100_000 else ["HNSW32_SQfp16"])
    for factory in (few, many):
        assert plan(rows, 192, factory, ROOM) == (factory,)


def test_a_graph_that_does_not_fit_is_not_tried() -> None:
    fits = 40_000 * (2 * 192 + 256)
    assert "HNSW32_SQfp16" in plan(40_000, 192, "auto", fits)
    assert "HNSW32_SQfp16" not in plan(40_000, 192, "auto", fits - 1)


@pytest.mark.parametrize(
    ("rows", "codes"),
    [
        (3_800_000, "Flat"),  # × (4 × 256 + 8) bytes are 3.9 GB
        (3_900_000, "SQ8"),  # 4.02 GB
        (15_000_000, "SQ8"),  # × (256 + 8) are 3.96 GB
        (100_000_000, "PQ64"),
    ],
)
def test_lists_hold_what_fits(rows: int, codes: str) -> None:
    _, few, many = plan(rows, 256, "auto", ROOM)
    assert few.endswith(f",{codes}")
    assert many.endswith(f",{codes}")
    assert plan(rows, 256, many, ROOM) == (many,)


@pytest.mark.parametrize(
    "factory",
    [
        *("Flat", "SQ8", "SQfp16", "HNSW32", "HNSW32,Flat", "HNSW32_SQfp16"),
        *("IVF64,Flat", "IVF64,SQ8", "IVF64,PQ16"),
    ],
)
def test_a_known_factory_is_kept(factory: str) -> None:
    assert plan(40_000, 128, factory, ROOM) == (factory,)


@pytest.mark.parametrize(
    "factory", ["", "flat", "LSH", "Flat;rm", "IVF,Flat", "PQ16", "OPQ16,IVF8,Flat"]
)
def test_an_unknown_factory_is_refused_with_what_is_allowed(factory: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"RECSYS_INDEX_FACTORY: .*allowed: auto, Flat"):
        plan(40_000, 128, factory, ROOM)


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
        plan(2_000, 128, factory, ROOM)


def test_no_vectors_need_no_index() -> None:
    with pytest.raises(SettingsInvalid, match="needs vectors"):
        plan(0, 128, "auto", ROOM)
