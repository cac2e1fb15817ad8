"""Whatever a product table or a list of removals holds: a bounded answer or DeliveryUnreadable."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from catalog.deliveries import kaggle_folder, opened
from recsys.catalog import merge_styles, row_digests
from recsys.catalog.records import Record, read_table
from recsys.errors import DeliveryUnreadable
from recsys.validation import parse_rows

properties: Callable[[Any], Any] = settings(
    derandomize=True, max_examples=80, deadline=None, database=None
)

HEAD = "id,articleType,productDisplayName\n"
# What tables go wrong with: quotes, separators, line ends, NUL, bytes that are no UTF-8.
separators = [b",", b",", b'"', b'""', b"\n", b"\n", b"\r\n", b"\r"]
words = [b"1", b"2", b"3", b"x", b" ", b"\x00", b"\xff", "é".encode(), b"\xef\xbb\xbf"]
lines = [b"1,a,b\n", b'2,"a\nb",c\n', b"3,a,b,c\n"]
pieces = st.sampled_from([*separators, *words, *lines])
bodies = st.lists(pieces, max_size=25).map(b"".join)
tables = bodies.map(lambda body: HEAD.encode() + body)
values = st.text(st.characters(codec="utf-8"), max_size=12)
ids = st.integers(1, 6).map(str)
rows = st.dictionaries(ids, st.tuples(values, values), max_size=6)


def written(products: dict[str, tuple[str, str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(
        [product, *fields] for product, fields in products.items()
    )
    return (HEAD + text.getvalue()).encode()


def records(table: bytes) -> list[Record]:
    return list(read_table(table, "the table").records())


@properties
@given(st.one_of(st.binary(max_size=200), tables))
@example(b"")
@example(b"\xef\xbb\xbf")
@example(b'id,"\n')
@example(b"id\n\r\r\n\n")
def test_any_bytes_are_read_as_validation_reads_them(data: bytes) -> None:
    try:
        found = records(data)
    except DeliveryUnreadable:
        return
    parsed = parse_rows(data)
    assert len(found) == parsed.rows
    assert sum(not record.sound for record in found) == parsed.malformed_rows
    sound = [record.id for record in found if record.sound]
    assert sound == parsed.frame["id"].tolist()
    assert set(row_digests(data)) >= {product for product in sound if product}


@properties
@given(tables)
def test_no_byte_but_blank_lines_is_lost_in_reading(data: bytes) -> None:
    kept = b"".join(record.text.encode("utf-8", "surrogateescape") for record in records(data))
    body = data.removeprefix(HEAD.encode())
    assert kept.replace(b"\r", b"").replace(b"\n", b"") == body.replace(b"\r", b"").replace(
        b"\n", b""
    )


@properties
@given(tables, tables, st.lists(ids, max_size=2))
def test_merging_any_tables_loses_nothing_that_is_not_replaced_or_removed(
    base: bytes, delta: bytes, removed: list[str]
) -> None:
    try:
        merged = merge_styles(base, delta, removed)
    except DeliveryUnreadable:
        return
    assert merge_styles(base, delta, removed) == merged
    before, fresh, after = records(base), records(delta), records(merged)
    sound = {record.id for record in fresh if record.sound and record.id}
    stays = [item for item in before if item.id not in sound and item.id not in removed]
    assert sorted(after, key=repr) == sorted([*stays, *fresh], key=repr)
    parsed = parse_rows(merged)
    assert (parsed.rows, parsed.malformed_rows) == (
        len(stays) + len(fresh),
        sum(not record.sound for record in [*stays, *fresh]),
    )


@properties
@given(rows, rows, st.sets(ids, max_size=3))
def test_merging_sound_tables_is_what_a_dictionary_does(
    base: dict[str, tuple[str, str]], delta: dict[str, tuple[str, str]], gone: set[str]
) -> None:
    gone -= delta.keys()
    # A quoted line that looks like a whole row is read as a row, by validation too.
    for table in (base, delta):
        assume(all(len(part.split(",")) < 3 for two in table.values() for part in two))
    expected = {key: fields for key, fields in (base | delta).items() if key not in gone}
    merged = merge_styles(written(base), written(delta), sorted(gone))
    assert row_digests(merged) == row_digests(written(expected))
    assert list(row_digests(merged)) == list(expected)


@properties
@given(st.one_of(st.binary(max_size=60), bodies.map(lambda body: b"id\n" + body)))
def test_any_list_of_removals_gives_safe_names_or_is_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = kaggle_folder(Path(folder) / "d", {})
        (source / "removed.csv").write_bytes(data)
        try:
            found = opened(source).removed()
        except DeliveryUnreadable:
            return
    assert len(set(found)) == len(found)
    for product in found:
        assert product.isascii()
        assert product.isprintable()
        assert not set(product) & set("/\\*?[]{}!()@+^")


def test_huge_fields_and_records_cost_their_own_row_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.catalog.records.MAX_RECORD_CHARACTERS", 150_000)
    huge = b'7,"' + b"x" * 140_000 + b'",c\n'  # more than the csv module takes for a field
    endless = b'8,"' + b'\n","' * 50_000 + b"\n"
    for bad in (huge, endless):
        table = HEAD.encode() + b"1,a,b\n" + bad + b"2,a,b\n"
        found = records(table)
        assert [record.id for record in found if record.sound] == ["1", "2"]
        assert b"".join(record.text.encode() for record in found) in table
        assert merge_styles(table, HEAD.encode() + b"2,c,d\n", []) == table[:-6] + b"2,c,d\n"


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        pytest.param(b"1\n" * 11, "12 lines; at most 10", id="line feeds"),
        pytest.param(b"1\r" * 11, "12 lines; at most 10", id="carriage returns"),
        pytest.param(b"1\r\n" * 11, "12 lines; at most 10", id="both"),
        pytest.param(b"1," * 26, "line at byte 34 has more than", id="long line"),
        pytest.param(b"1234567\n" * 10, "larger than 100 bytes", id="bytes"),
    ],
)
def test_a_table_too_large_to_check_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: bytes, reason: str
) -> None:
    monkeypatch.setattr("recsys.catalog.delivery.MAX_STYLES_LINES", 10)
    monkeypatch.setattr("recsys.catalog.kaggle.MAX_STYLES_BYTES", 100)
    monkeypatch.setattr("recsys.catalog.delivery._OVERLONG_LINE", re.compile(rb"[^\r\n]{51}"))
    source = kaggle_folder(tmp_path / "d", {})
    (source / "styles.csv").write_bytes(HEAD.encode() + table)
    with pytest.raises(DeliveryUnreadable, match=reason):
        opened(source).styles_csv()
