from __future__ import annotations

import hashlib

import pandas as pd
import pytest

from recsys.catalog import (
    changes,
    merge_styles,
    row_digests,
    surviving_images,
    without_products,
)
from recsys.errors import DeliveryUnreadable

HEAD = b"id,name\n"


@pytest.mark.parametrize(
    ("base", "delta", "removed", "merged"),
    [
        pytest.param(b"1,a\n2,b\n", b"", [], b"1,a\n2,b\n", id="nothing"),
        pytest.param(b"1,a\n2,b\n", b"1,z\n", [], b"1,z\n2,b\n", id="replaced in place"),
        pytest.param(b"1,a\n", b"3,c\n2,b\n", [], b"1,a\n3,c\n2,b\n", id="added at the end"),
        pytest.param(b"1,a\n2,b\n3,c\n", b"", ["2", "9"], b"1,a\n3,c\n", id="removed"),
        pytest.param(b"1,a\n2,b\n1,c\n", b"1,z\n", [], b"1,z\n2,b\n", id="stale twins go"),
        pytest.param(b"1,a\n2,b\n", b"1,y\n1,z\n", [], b"1,y\n1,z\n2,b\n", id="twins for the gate"),
        pytest.param(b"1,a", b"2,b", [], b"1,a\n2,b\n", id="no last line end"),
        pytest.param(b"1,a\r\n", b"1,z\n2,b\r\n", [], b"1,z\n2,b\r\n", id="line ends as they came"),
        pytest.param(
            b'1,"a ""b"", c"\n2,b\n', b'2,"x, y\r\nz"\n', [], b'1,"a ""b"", c"\n2,"x, y\r\nz"\n',
            id="quotes, commas and line ends",
        ),
        pytest.param(
            b'1,a,too,many\n2\n\xff,b\nx"y,"b\n', b"1,z\n", ["8"], b'1,z\n2\n\xff,b\nx"y,"b\n',
            id="malformed rows stay unless mended",
        ),
        pytest.param(b"1,a,b\n2,b\n", b"", ["1"], b"2,b\n", id="malformed rows can be removed"),
        pytest.param(
            b"1,a\n", b"1,z,z\n\xff,b\n1,\xff\n", [], b"1,a\n1,z,z\n\xff,b\n1,\xff\n",
            id="malformed rows of the delta replace nothing",
        ),
        pytest.param(b",a\n,b\n", b",c\n", [], b",a\n,b\n,c\n", id="rows without an id are kept"),
    ],
)  # fmt: skip
def test_a_delta_is_laid_over_the_base(
    base: bytes, delta: bytes, removed: list[str], merged: bytes
) -> None:
    assert merge_styles(HEAD + base, HEAD + delta, removed) == HEAD + merged


def test_byte_order_marks_and_headers_alone_are_no_obstacle() -> None:
    mark = b"\xef\xbb\xbf"
    assert merge_styles(mark + HEAD + b"1,a\n", HEAD + b"2,b\n", []) == mark + HEAD + b"1,a\n2,b\n"
    assert merge_styles(HEAD, mark + b"id, name \r\n2,b\n", []) == HEAD + b"2,b\n"
    assert merge_styles(b"id,name", b"id,name", []) == HEAD


def test_a_stray_quote_does_not_reach_into_rows_that_are_merged_behind_it() -> None:
    base, delta = HEAD + b'1,a\n5,"open\n', HEAD + b'6,"two\nlines"\n'
    # In that order validation would read 5 and both lines of 6 as malformed.
    assert merge_styles(base, delta, []) == HEAD + b'1,a\n6,"two\nlines"\n5,"open\n'


def test_rows_that_would_run_together_are_refused() -> None:
    # Each alone is malformed; one behind the other they read as one sound row of two lines.
    base, delta = HEAD + b'5,"open\n', HEAD + b'6"\n'
    assert merge_styles(base, HEAD, []) == base
    with pytest.raises(DeliveryUnreadable, match="would run into others"):
        merge_styles(base, delta, [])


@pytest.mark.parametrize(
    ("base", "delta", "removed", "reason"),
    [
        (HEAD, b"name,id\n", [], "in this order the catalog has 'id, name'. Reorder them"),
        (HEAD, b"id,title\n", [], "but the catalog has 'id, name'. Use the same"),
        (HEAD, b"id\n", [], "columns are 'id'"),
        (b"", HEAD, [], "accepted last: the header is ''"),
        (HEAD, b"", [], "delta's styles.csv: the header is ''"),
        (HEAD, b"id,id\n", [], "expected one column 'id'"),
        (HEAD, HEAD + b"1,a\n", ["1"], "1 ids are both in the delta's styles.csv"),
    ],
)
def test_a_delta_that_does_not_fit_is_refused(
    base: bytes, delta: bytes, removed: list[str], reason: str
) -> None:
    with pytest.raises(DeliveryUnreadable) as caught:
        merge_styles(base, delta, removed)
    assert reason in str(caught.value)


def test_a_merged_table_is_bounded_like_a_delivered_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.catalog.delivery.MAX_STYLES_LINES", 3)
    assert merge_styles(HEAD + b"1,a\n", HEAD + b"2,b\n", []).count(b"\n") == 3
    with pytest.raises(DeliveryUnreadable, match="4 lines; at most 3"):
        merge_styles(HEAD + b"1,a\n2,b\n", HEAD + b"3,c\n", [])


def test_pictures_survive_unless_replaced_or_removed() -> None:
    base = ["1.jpg", "2.jpg", "3.png", "4.jpg"]
    assert list(surviving_images(base, {"2.png", "9.jpg"}, ["3"])) == ["1.jpg", "4.jpg"]
    assert list(surviving_images(base, (), [])) == base


def test_a_row_digest_is_over_columns_and_fields_by_hand() -> None:
    found = row_digests(HEAD + b'1,"a, b"\n')
    assert found == {"1": hashlib.sha256(b'["id","name"]["1","a, b"]').hexdigest()}


def test_a_row_digest_follows_the_fields_and_not_how_they_are_written() -> None:
    plain = row_digests(b"id,name\n1,a\n2,b\n")
    assert row_digests(b'\xef\xbb\xbfname,id\r\n"a",1\r\n"b","2"\r\n') == plain
    assert row_digests(b"id,name\n1,a\n2,c\n")["2"] != plain["2"]
    assert row_digests(b"id,title\n1,a\n")["1"] != plain["1"]
    assert len(set(row_digests(b'id,n,m\n1,"a,b",c\n1x,a,"b,c"\n').values())) == 2


def test_the_first_sound_row_of_an_id_counts_and_unreadable_ids_do_not() -> None:
    found = row_digests(HEAD + b"1,a,b\n1,a\n1,z\n2,\xff\n,c\n\xff,d\n3\n")
    assert list(found) == ["1", "2", "3"]
    assert found["1"] == row_digests(HEAD + b"1,a\n")["1"]


def test_changes_are_told_by_kind() -> None:
    old = {"1": ("r", "i"), "2": ("r", "i"), "3": ("r", "i"), "4": ("r", "i"), "9": ("r", "i")}
    new = {"1": ("r", "i"), "2": ("r", "I"), "3": ("R", "i"), "4": ("R", "I"), "10": ("r", "i")}
    table = changes(old, new)
    assert list(zip(table["id"], table["change"], strict=True)) == [
        ("10", "added"),
        ("2", "image_changed"),
        ("3", "attributes_changed"),
        ("4", "both_changed"),
        ("9", "removed"),
    ]


def test_no_change_is_an_empty_table_of_texts() -> None:
    table = changes({}, {})
    assert list(table.columns) == ["id", "change"]
    assert table.empty
    assert isinstance(table["id"].dtype, pd.StringDtype)


def test_a_table_without_some_products_keeps_every_other_line_as_it_was() -> None:
    table = HEAD + b'1,a\r\n2,"b, ""c"""\n1,twin\nmalformed\n3,\xff\n'
    assert without_products(table, {"1"}) == HEAD + b'2,"b, ""c"""\nmalformed\n3,\xff\n'
    assert without_products(table, {"9"}) == table


def test_what_is_no_table_is_left_for_the_gate_to_judge() -> None:
    assert without_products(b"\x89PNG\r\n not a csv", {"1"}) == b"\x89PNG\r\n not a csv"
