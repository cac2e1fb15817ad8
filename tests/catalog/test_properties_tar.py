"""Whatever a tar holds: safe names with bounded content, or DeliveryUnreadable."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.deliveries import CSV, opened
from recsys.errors import DeliveryUnreadable

properties: Callable[[Any], Any] = settings(
    derandomize=True, max_examples=80, deadline=None, database=None
)

MAX_BYTES = 1_000
BLOCK = 512
names = st.one_of(
    st.sampled_from(
        ["1.jpg", "2.png", "images/3.webp", "./4.jpeg", "../5.jpg", "/6.jpg", "a/7.jpg", "README"]
    ),
    st.text(max_size=30).map(lambda text: f"{text}.jpg"),
    st.integers(1, 40).map(lambda times: "long/" * times + "8.jpg"),
)
kinds = st.sampled_from(
    [*[tarfile.REGTYPE] * 6, *(bytes([kind]) for kind in b"\x00123456789LKxgSVX")]
)
sizes = st.sampled_from([0, 1, 511, 512, 513, MAX_BYTES, MAX_BYTES + 1])
formats = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
members = st.tuples(names, kinds, sizes, formats)
damages = st.lists(st.tuples(st.integers(0, 9_999), st.integers(0, 255)), max_size=4)


def packed(items: list[tuple[str, bytes, int, int]]) -> bytes:
    """A tar of headers as they come, each followed by as many bytes as it says."""
    parts = []
    for name, kind, size, form in items:
        info = tarfile.TarInfo(name)
        info.type, info.size, info.linkname = kind, size, "elsewhere"
        try:
            header = info.tobuf(form, "utf-8", "surrogateescape")
        except (ValueError, UnicodeError):  # a name that this format cannot hold
            continue
        parts += [header, b"x" * size, b"\0" * (-size % BLOCK)]
    return b"".join(parts) + bytes(2 * BLOCK)


def read(data: bytes) -> list[tuple[str, bytes]] | DeliveryUnreadable:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "styles.csv").write_bytes(CSV)
        (Path(folder) / "images.tar").write_bytes(data)
        try:
            return list(opened(Path(folder), MAX_BYTES).images())
        except DeliveryUnreadable as error:
            return error


def require_safe(outcome: list[tuple[str, bytes]] | DeliveryUnreadable) -> None:
    if isinstance(outcome, DeliveryUnreadable):
        assert 0 < len(str(outcome)) < 1_000
        return
    found = [name for name, _ in outcome]
    assert len(set(found)) == len(found)
    for name, content in outcome:
        assert name.isascii()
        assert name.isprintable()
        assert not name.startswith(".")
        assert not set(name) & set("/\\*?[]{}!()@+^")
        assert name.lower().endswith((".jpg", ".jpeg", ".png", ".webp"))
        assert len(name) <= 200
        assert len(content) <= MAX_BYTES


@properties
@given(st.lists(members, max_size=5), damages)
def test_any_members_however_damaged_are_safe_or_refused(
    items: list[tuple[str, bytes, int, int]], damaged: list[tuple[int, int]]
) -> None:
    data = bytearray(packed(items))
    for place, value in damaged:
        data[place % len(data)] = value
    require_safe(read(bytes(data)))


@properties
@given(st.binary(max_size=2_000))
def test_any_bytes_are_refused_or_an_empty_tar(data: bytes) -> None:
    outcome = read(data)
    assert isinstance(outcome, DeliveryUnreadable) or outcome == []


@properties
@given(
    st.dictionaries(st.text("ab1-_. ", min_size=1, max_size=120), st.binary(max_size=600)),
    formats,
)
def test_what_pythons_own_writer_packs_comes_out_again(
    contents: dict[str, bytes], form: int
) -> None:
    buffer = io.BytesIO()
    expected = {f"1{name}.jpg": content for name, content in contents.items()}
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, content in expected.items():
            info = tarfile.TarInfo(f"images/{name}")
            info.size, info.mtime = len(content), 1.5
            try:
                tar.addfile(info, io.BytesIO(content))
            except ValueError:  # ustar has no room for a name this long
                return
    assert read(buffer.getvalue()) == list(expected.items())


def header(kind: bytes, content: bytes, name: str = "1.jpg", size: int | None = None) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content) if size is None else size
    block = info.tobuf(tarfile.GNU_FORMAT)
    return block + content + bytes(-len(content) % BLOCK)


def pax(keyword: str, value: str) -> bytes:
    record = f" {keyword}={value}\n"
    length = len(record) + 2
    return f"{length}{record}".encode() if length > 9 else f"{length - 1}{record}".encode()


PICTURE = header(b"0", b"x")
END = bytes(2 * BLOCK)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(header(b"x", b"9" * 900_000) + PICTURE, "damaged extended", id="digits"),
        pytest.param(header(b"x", pax("size", "-99")) + PICTURE, "damaged extended", id="negative"),
        pytest.param(header(b"x", pax("size", "9" * 30)) + PICTURE, "damaged", id="huge size"),
        pytest.param(header(b"0", b"", "a.txt", size=2**62), "cut short", id="beyond the end"),
        pytest.param(header(b"g", pax("path", "1.jpg")) + PICTURE, "every member", id="global"),
        pytest.param(header(b"L", b"1.jpg\0") * 3_000 + PICTURE, "in a row", id="endless chain"),
        pytest.param(
            header(b"x", pax("GNU.sparse.major", "1")) + PICTURE, "or sparse", id="sparse by pax"
        ),
        pytest.param(header(b"x", pax("comment", "y")), "after an extended", id="nothing follows"),
        pytest.param(PICTURE + END + PICTURE, "goes on after its end", id="joined"),
    ],
)
def test_headers_made_to_trip_a_reader_are_refused_at_once(data: bytes, reason: str) -> None:
    started = time.monotonic()
    outcome = read(data + END)
    assert isinstance(outcome, DeliveryUnreadable)
    assert reason in str(outcome)
    assert time.monotonic() - started < 2


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "styles.csv").write_bytes(CSV)
    os.mkfifo(tmp_path / "images.tar")
    with pytest.raises(DeliveryUnreadable, match="not a regular file"):
        opened(tmp_path)


def test_hidden_tars_are_no_part_as_hidden_pictures_are_none(tmp_path: Path) -> None:
    (tmp_path / "styles.csv").write_bytes(CSV)
    (tmp_path / "images.tar").write_bytes(PICTURE + END)
    (tmp_path / "._images.tar").write_bytes(b"resource fork")
    assert dict(opened(tmp_path).images()) == {"1.jpg": b"x"}
