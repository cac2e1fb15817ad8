"""The product table: what is kept on disk, and which rows satisfy a condition."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from recsys.artifacts.conditions import Condition
from recsys.artifacts.products import FILES, ProductTable
from recsys.errors import ArtifactInvalid, QueryRejected

ATTRIBUTES = {
    "colour": ["Red", "Blue", "Red", "NA", "Green"],
    "year": ["2010", "2012", "NA", "2014.5", "2016"],
    "size": ["1", "L", "2", "3", "4"],
}
IDS = ["a", "b", "c", "d", "e"]


def table(**columns: object) -> ProductTable:
    return ProductTable.from_columns(IDS, IDS, ATTRIBUTES, **columns)  # type: ignore[arg-type]


def rows(field: str, products: ProductTable | None = None, **condition: object) -> list[int]:
    asked = Condition(**condition)  # type: ignore[arg-type]
    return np.flatnonzero((products or table()).satisfying(field, asked)).tolist()


def test_any_of_several_values_and_none_of_others_may_be_asked_for() -> None:
    assert rows("colour", any_of=("Red",)) == [0, 2]
    assert rows("colour", any_of=("Red", "Green")) == [0, 2, 4]
    assert rows("colour", none_of=("Red", "Blue")) == [3, 4]
    assert rows("colour", any_of=("Red", "Blue"), none_of=("Red",)) == [1]


def test_a_range_includes_its_ends_and_leaves_unknown_values_out() -> None:
    assert rows("year", at_least=2012, at_most=2014.5) == [1, 3]
    assert rows("year", at_least=2012) == [1, 3, 4]
    assert rows("year", at_most=2013.9) == [0, 1]
    assert rows("year", at_most=2012, none_of=("2010",)) == [1]


def test_a_field_that_holds_other_texts_than_numbers_has_no_range() -> None:
    with pytest.raises(
        QueryRejected, match=r"where: size holds texts, .*; from and to work on: year"
    ):
        rows("size", at_least=1)


@pytest.mark.parametrize("asked", [{"any_of": ("Pink",)}, {"none_of": ("Red", "Pink")}])
def test_a_value_that_no_product_has_is_told_with_those_there_are(asked: dict[str, object]) -> None:
    with pytest.raises(QueryRejected, match="colour has no value 'Pink'; allowed: Blue, Green"):
        rows("colour", **asked)


def test_an_unknown_field_is_told_with_those_there_are() -> None:
    with pytest.raises(QueryRejected, match="'material'; allowed: colour, year, size, in_stock"):
        rows("material", any_of=("Wool",))


def test_products_are_in_stock_unless_the_catalog_says_otherwise() -> None:
    assert rows("in_stock", any_of=("true",)) == [0, 1, 2, 3, 4]
    assert rows("in_stock", any_of=("false",)) == []
    known = table(in_stock=[True, False, True, True, False])
    assert rows("in_stock", known, any_of=("true",)) == [0, 2, 3]
    assert rows("in_stock", known, none_of=("true",)) == [1, 4]
    with pytest.raises(QueryRejected, match="in_stock has no value 'no'; allowed: false, true"):
        rows("in_stock", known, any_of=("no",))


def test_the_stock_is_shown_where_it_is_known() -> None:
    known = table(in_stock=[True, False, True, True, False])
    assert known.describe(1)["attributes"]["in_stock"] == "false"
    assert "in_stock" not in table().describe(1)["attributes"]


def test_groups_and_stock_come_back_from_disk_and_survive_a_narrowing(tmp_path: Path) -> None:
    full = table(groups=["x", "y", "x", "z", "y"], in_stock=[True, False, True, True, False])
    full.save(tmp_path)
    again = ProductTable.load(tmp_path)
    assert again.groups is not None
    assert again.groups.tolist() == [0, 1, 0, 2, 1]
    assert rows("in_stock", again, any_of=("false",)) == [1, 4]
    assert again.describe(1) == full.describe(1)
    kept = again.kept(np.array([False, True, True, False, True]))
    assert kept.groups is not None
    assert kept.groups.tolist() == [1, 0, 1]
    assert rows("in_stock", kept, any_of=("false",)) == [0, 2]


def test_without_duplicates_and_stock_the_files_are_what_they_were_before_both(
    tmp_path: Path,
) -> None:
    table(groups=IDS).save(tmp_path)
    assert np.load(tmp_path / FILES[2]).shape == (5, 3)
    assert list(json.loads((tmp_path / FILES[3]).read_bytes())) == ["fields"]
    assert ProductTable.load(tmp_path).groups is None


@pytest.mark.parametrize(
    "damage", [{"columns": ["price"]}, {"columns": ["group", "in_stock"]}, {"columns": []}]
)
def test_a_table_whose_columns_do_not_fit_is_refused(
    tmp_path: Path, damage: dict[str, object]
) -> None:
    table(groups=["x", "y", "x", "z", "y"]).save(tmp_path)
    vocabulary = json.loads((tmp_path / FILES[3]).read_bytes())
    (tmp_path / FILES[3]).write_text(json.dumps({**vocabulary, **damage}))
    with pytest.raises(ArtifactInvalid):
        ProductTable.load(tmp_path)


def test_ids_are_looked_up_and_those_that_are_not_there_are_told_apart() -> None:
    found, unknown = table().rows(["d", "nobody", "a", "d"])
    assert found.tolist() == [3, 0, 3]
    assert unknown == ("nobody",)
