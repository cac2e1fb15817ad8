"""The members of an uncompressed tar, one at a time, in bounded memory and time.

Python's own reader keeps what every header says, runs regular expressions with quadratic
time over extended headers, recurses once a header and lets sizes be negative; a delivery
comes from outside, so its headers are read here, by the book (POSIX.1-2017 ustar and pax;
GNU's long names) and with a limit on each.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

from recsys.errors import DeliveryUnreadable

BLOCK_BYTES: Final = 512
# An extended header holds a name and some times: a few hundred bytes.
MAX_HEADER_BYTES: Final = 1_000_000
# A member has at most a pax header, a long name and a long link name in front of it.
_MAX_HEADERS_IN_A_ROW = 8
_CHUNK_BYTES = 1 << 20

_PLAIN, _PLAIN_V7, _FOLDER = b"0", b"\0", b"5"
_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK = b"x", b"g", b"L", b"K"
_EXTENDED = (_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK)
_SPARSE = "GNU.sparse."


class _Unsound(Exception):
    """What is wrong with the tar; told with its path by `tar_members`."""


@dataclass(frozen=True)
class TarMember:
    """What a header says: the name as it stands there, and where the content lies."""

    name: str
    size_bytes: int
    offset: int
    is_folder: bool
    is_plain: bool


@dataclass(frozen=True)
class _Header:
    name: str
    kind: bytes
    size_bytes: int


def tar_members(raw: BinaryIO, place: Path) -> Iterator[TarMember]:
    """Every member in order; the stream may be moved in between.

    Raises
    ------
    DeliveryUnreadable
        No tar, compressed, damaged, cut short, or going on after its end.
    """
    try:
        yield from _members(raw, place)
    except _Unsound as error:
        raise DeliveryUnreadable(f"{place}: not a sound uncompressed tar ({error})") from error


def read_content(raw: BinaryIO, member: TarMember, place: Path) -> bytes:
    """The bytes of a member; check its size first."""
    try:
        return _read(raw, member.offset, member.size_bytes)
    except _Unsound as error:
        raise DeliveryUnreadable(f"{place}: not a sound uncompressed tar ({error})") from error


def _members(raw: BinaryIO, place: Path) -> Iterator[TarMember]:
    offset, said, extended = 0, dict[str, str](), 0
    end = raw.seek(0, os.SEEK_END)
    while (block := _block(raw, offset, end)).strip(b"\0"):
        header = _parse_header(block, offset)
        content, offset = offset + BLOCK_BYTES, offset + BLOCK_BYTES
        if header.kind in _EXTENDED:
            extended += 1
            if extended > _MAX_HEADERS_IN_A_ROW:
                raise _Unsound(f"more than {_MAX_HEADERS_IN_A_ROW} extended headers in a row")
            _check_header_size(header, place)
            said |= _extended(header.kind, _read(raw, content, header.size_bytes), content)
            offset += _padded(header.size_bytes)
            continue
        member = _member(header, said, content)
        yield member
        offset += 0 if member.is_folder else _padded(member.size_bytes)
        said, extended = {}, 0
    if said:
        raise _Unsound(f"cut short at byte {offset:,}, after an extended header")
    _require_zeros(raw, offset)


def _check_header_size(header: _Header, place: Path) -> None:
    if header.size_bytes > MAX_HEADER_BYTES:
        raise DeliveryUnreadable(
            f"{place}: a tar header asks for {header.size_bytes:,} bytes;"
            f" at most {MAX_HEADER_BYTES:,} are accepted"
        )


def _member(header: _Header, said: dict[str, str], content: int) -> TarMember:
    if "size" in said:
        header = replace(header, size_bytes=_pax_number(said["size"], content))
    name = said.get("path", header.name)
    sparse = any(key.startswith(_SPARSE) for key in said)
    # Before POSIX a folder was a plain member whose name ends with a slash.
    folder = header.kind == _FOLDER or (header.kind == _PLAIN_V7 and name.endswith("/"))
    plain = header.kind in (_PLAIN, _PLAIN_V7) and not folder and not sparse
    return TarMember(name, header.size_bytes, content, folder, plain)


def _parse_header(block: bytes, offset: int) -> _Header:
    checksum = sum(block[:148]) + 8 * ord(" ") + sum(block[156:])
    if _number(block[148:156], offset) != checksum:
        raise _Unsound(f"damaged at byte {offset:,}")
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
        name = f"{prefix}/{name}"
    return _Header(name, block[156:157], _number(block[124:136], offset))


def _number(field: bytes, offset: int) -> int:
    """An octal number, or GNU's base 256 for large ones; neither can be negative here."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0") or b"0"
    if not all(ord("0") <= digit <= ord("7") for digit in digits):
        raise _Unsound(f"damaged at byte {offset:,}")
    return int(digits, 8)


def _extended(kind: bytes, content: bytes, offset: int) -> dict[str, str]:
    """What an extended header says of the member that follows."""
    if kind == _LONG_NAME:
        return {"path": _text(content)}
    if kind == _LONG_LINK:  # the link that follows is refused whatever its target
        return {}
    said = dict(_pax_records(content, offset))
    if kind == _PAX_GLOBAL and any(key in ("path", "size") for key in said):
        raise _Unsound(f"a global header at byte {offset:,} names a path or size for every member")
    return {key: value for key, value in said.items() if kind == _PAX or key.startswith(_SPARSE)}


def _pax_records(content: bytes, offset: int) -> Iterator[tuple[str, str]]:
    """(keyword, value) of records ``<length> <keyword>=<value>\\n``; length counts all of it."""
    position = 0
    while position < len(content):
        blank = content.find(b" ", position, position + 8)
        length = _pax_number(content[position : max(position, blank)].decode("latin-1"), offset)
        record = content[blank + 1 : position + length]
        keyword, equals, value = record.partition(b"=")
        fits = blank + 1 < position + length <= len(content)
        if not (fits and equals and value.endswith(b"\n")):
            raise _Unsound(f"a damaged extended header at byte {offset:,}")
        yield _decoded(keyword), _decoded(value[:-1])
        position += length


def _pax_number(digits: str, offset: int) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
        raise _Unsound(f"a damaged extended header at byte {offset:,}")
    return int(digits)


def _text(field: bytes) -> str:
    return _decoded(field.partition(b"\0")[0])


def _decoded(text: bytes) -> str:
    """Bytes that are not UTF-8 stay visible, so that the check of names finds them."""
    return text.decode("utf-8", "surrogateescape")


def _padded(size_bytes: int) -> int:
    return -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES


def _read(raw: BinaryIO, offset: int, size_bytes: int) -> bytes:
    raw.seek(offset)
    data = raw.read(size_bytes)
    if len(data) != size_bytes:
        raise _Unsound(f"cut short at byte {offset + len(data):,}")
    return data


def _block(raw: BinaryIO, offset: int, end: int) -> bytes:
    if offset > end:  # a size may be larger than any file, and than seek takes
        raise _Unsound(f"cut short at byte {end:,}")
    return _read(raw, offset, BLOCK_BYTES)


def _require_zeros(raw: BinaryIO, offset: int) -> None:
    """Members behind the end marker, as of tars that were joined, would be lost silently."""
    raw.seek(offset)
    while chunk := raw.read(_CHUNK_BYTES):
        if chunk.strip(b"\0"):
            raise _Unsound("it goes on after its end; join tars with tar --concatenate")
