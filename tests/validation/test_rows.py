from __future__ import annotations

import pytest

from recsys.artifacts.catalog import DELIVERY_COLUMNS
from recsys.validation import parse_rows
from recsys.validation.rows import MAX_FIELD_CHARACTERS
from validation.delivery_builders import HEADER, row, styles


def test_rows_are_read_as_text_in_delivered_order() -> None:
    rows = parse_rows(styles(row("7"), row("07")))
    assert tuple(rows.frame.columns) == DELIVERY_COLUMNS
    assert rows.frame["id"].tolist() == ["7", "07"]
    assert rows.frame["year"].tolist() == ["2012", "2012"]
    assert (rows.rows, rows.malformed_rows, rows.duplicate_ids) == (2, 0, 0)
    assert rows.columns_missing == rows.columns_unknown == ()


def test_na_and_the_empty_text_stay_what_they_are() -> None:
    rows = parse_rows(styles("1,NA,,NaN,null,None,,,,N/A"))
    assert rows.frame.iloc[0].tolist() == ["1", "NA", "", "NaN", "null", "None", "", "", "", "N/A"]
    assert not rows.frame.isna().any(axis=None)


def test_quoted_commas_quotes_and_line_ends_belong_to_the_field() -> None:
    rows = parse_rows(styles(row("1", name='"Red, ""new""\nshirt"')))
    assert rows.frame["productDisplayName"].tolist() == ['Red, "new"\nshirt']
    assert rows.malformed_rows == 0


def test_an_unquoted_comma_sets_the_row_aside_with_its_id() -> None:
    rows = parse_rows(styles(row("1"), row("2", name="Red, new"), row("3")))
    assert rows.frame["id"].tolist() == ["1", "3"]
    assert rows.malformed.to_dict("records") == [{"id": "2", "detail": "11 fields, expected 10"}]


@pytest.mark.parametrize("name", ['"never closed', '"closed" too early', '"'])
def test_a_stray_quote_costs_its_own_row_only(name: str) -> None:
    lines = [row("1"), row("2", name=name), *(row(str(number)) for number in range(3, 9))]
    lines.append(row("9", name=name))
    rows = parse_rows(styles(*lines))
    assert rows.frame["id"].tolist() == ["1", "3", "4", "5", "6", "7", "8"]
    assert rows.malformed_rows == 2


def test_bytes_that_are_not_utf8_set_their_row_aside() -> None:
    content = styles(row("1"), row("2", name="Caf\u00e9"), row("3", name="@"))
    rows = parse_rows(content.replace(b"@", b"Caf\xe9"))
    assert rows.frame["productDisplayName"].tolist() == ["A shirt", "Café"]
    assert rows.undecodable_rows == 1
    assert rows.malformed.to_dict("records") == [{"id": "3", "detail": "bytes that are not UTF-8"}]


def test_an_overlong_field_sets_its_row_aside() -> None:
    longest = "x" * MAX_FIELD_CHARACTERS
    rows = parse_rows(
        styles(row("1", name=longest), row("2", name=longest + "x"), row("3", name="y" * 200_000))
    )
    assert rows.frame["id"].tolist() == ["1"]
    assert rows.malformed_rows == 2


def test_byte_order_mark_windows_line_ends_and_blank_lines_do_not_matter() -> None:
    content = styles(row("1"), "", row("2")).replace(b"\n", b"\r\n")
    rows = parse_rows(b"\xef\xbb\xbf" + content)
    assert rows.frame["id"].tolist() == ["1", "2"]
    assert (rows.rows, rows.columns_missing) == (2, ())


def test_columns_are_found_by_name_and_others_are_told() -> None:
    rows = parse_rows(b"price,articleType,id\n9.99,Shirts,1\n")
    assert rows.frame.to_dict("records") == [{"id": "1", "articleType": "Shirts"}]
    assert rows.columns_unknown == ("price",)
    assert "gender" in rows.columns_missing
    assert len(rows.columns_missing) == 8


def test_a_doubled_column_counts_as_missing() -> None:
    rows = parse_rows(styles("x," + row("1"), header="gender," + HEADER))
    assert rows.columns_missing == ("gender",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n\n",
        b"\x00\x01\x02\xff" * 500,
        "id,gender\n1,Men\n".encode("utf-16"),
        b'"' * 10_001,
        b"\xff\xd8\xff\xe0 no csv at all",
        b"," * 100_000,
    ],
)
def test_garbage_gives_no_columns_and_no_crash(content: bytes) -> None:
    rows = parse_rows(content)
    assert rows.frame.columns.tolist() == []
    assert set(rows.columns_missing) == set(DELIVERY_COLUMNS)


def test_repeated_ids_are_counted() -> None:
    assert parse_rows(styles(row("1"), row("2"), row("1"), row("1"))).duplicate_ids == 2


def test_the_stock_is_read_where_it_is_delivered() -> None:
    rows = parse_rows(styles(row("1") + ",false", header=f"{HEADER},in_stock"))
    assert tuple(rows.frame.columns) == (*DELIVERY_COLUMNS, "in_stock")
    assert rows.columns_missing == rows.columns_unknown == ()
