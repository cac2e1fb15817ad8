"""What differs between two versions is counted and sized."""

import numpy as np
import pandas as pd
import pytest

from recsys.comparison import agreement, compare_fields, compare_tables, compare_vectors
from recsys.errors import ArtifactInvalid

OLD = pd.DataFrame({"id": ["1", "2", "3"], "side": ["train", "test", "test"], "x": [0.5, 1, 2]})


def test_equal_tables_do_not_differ_in_whatever_order() -> None:
    assert compare_tables(OLD, OLD.copy()) is None
    assert compare_tables(OLD, OLD.iloc[::-1]) is None
    missing = OLD.assign(x=[0.5, None, 2])
    assert compare_tables(missing, missing.copy()) is None


def test_rows_that_go_come_and_change_are_named_with_the_size() -> None:
    new = pd.DataFrame({"id": ["2", "3", "4"], "side": ["test", "train", "train"], "x": [1, 5, 7]})
    found = compare_tables(OLD, new)
    assert found is not None
    assert (found.removed, found.added) == (("1",), ("4",))
    assert found.changed == {"side": ("3",), "x": ("3",)}
    assert found.largest == {"x": 3.0}
    assert str(found) == (
        "1 of 3 rows differ (side, x by up to 3); 1 rows are gone; 1 rows are new, such as 3, 1, 4"
    )


def test_a_value_that_is_there_once_is_a_difference() -> None:
    found = compare_tables(OLD, OLD.assign(x=[0.5, None, 2]))
    assert found is not None
    assert found.changed == {"x": ("2",)}


def test_rows_that_share_a_key_are_matched_in_order() -> None:
    old = pd.DataFrame({"id": ["1", "1"], "reason": ["blurred", "dark"]})
    assert compare_tables(old, old.copy()) is None
    found = compare_tables(old, old.assign(reason=["blurred", "small"]))
    assert found is not None
    assert found.changed == {"reason": ("1#2",)}


def test_a_column_of_one_table_only_is_a_difference() -> None:
    found = compare_tables(OLD, OLD.drop(columns="x"))
    assert found is not None
    assert found.changed == {"x": ()}


def test_empty_tables_can_be_compared() -> None:
    empty = OLD.head(0)
    assert compare_tables(empty, empty) is None
    found = compare_tables(empty, OLD)
    assert found is not None
    assert found.added == ("1", "2", "3")


def test_the_distance_of_vectors_is_measured() -> None:
    old = np.eye(3, dtype=np.float32)
    assert compare_vectors(old, old.copy()) is None
    new = old.copy()
    new[1] = [0.6, 0.8, 0]  # cosine 0.8 with what it was, and 0.6 away in one component
    found = compare_vectors(old, new)
    assert found is not None
    assert (found.rows, found.differing) == (3, 1)
    assert found.largest == pytest.approx(0.6)
    assert found.least_cosine == pytest.approx(0.8)


def test_vectors_of_other_shapes_cannot_be_compared() -> None:
    with pytest.raises(ArtifactInvalid, match=r"\(3, 3\) against \(2, 2\)"):
        compare_vectors(np.eye(3, dtype=np.float32), np.eye(2, dtype=np.float32))


@pytest.mark.parametrize(
    ("new", "share"),
    [([["a", "b"], ["c", "d"]], 1.0), ([["b", "a"], ["x", "y"]], 0.5), ([["x"], ["y"]], 0.0)],
)
def test_neighbours_agree_as_sets(new: list[list[str]], share: float) -> None:
    assert agreement([["a", "b"], ["c", "d"]], new) == share


def test_fields_that_differ_are_named_by_their_path() -> None:
    old = {"seed": 20, "figures": {"recall": 0.5}, "gates": [{"suite": "model"}], "same": None}
    new = {"seed": 21, "figures": {}, "gates": [{"suite": "index"}], "same": None}
    assert [str(item) for item in compare_fields(old, new)] == [
        "figures.recall 0.5 → –",
        "gates.0.suite model → index",
        "seed 20 → 21 (+1)",
    ]
    assert compare_fields(old, old) == []
