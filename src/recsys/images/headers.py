"""What a picture's first bytes say: format, size, orientation. No pixel is decoded here."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_JPEG_START = b"\xff\xd8\xff"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_SOS, _APP1, _APP2 = 0xDA, 0xE1, 0xE2
_SCAN_START = b"\xff\xda"
# Markers that no length follows: restarts, start and end of image. Lower ones are reserved.
_FIRST_MARKER, _WITHOUT_LENGTH = 0xC0, range(0xD0, 0xDA)
_EXIF_START = b"Exif\x00\x00"
_ORIENTATION_TAG, _SHORT = 0x0112, 3


def sniff(data: bytes) -> str | None:
    """``JPEG``, ``PNG``, ``WEBP`` (Pillow's names), or None for anything else."""
    if data.startswith(_JPEG_START):
        return "JPEG"
    if data.startswith(_PNG_START):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return None


def jpeg_orientation(data: bytes) -> int:
    """The EXIF orientation of a JPEG, 1 (upright) to 8; 1 where none is given."""
    for marker, start, end in _jpeg_segments(data):
        if marker == _APP1 and data.startswith(_EXIF_START, start):
            return exif_orientation(data[start:end])
    return 1


def jpeg_scans(data: bytes) -> int:
    """How many scans a JPEG has: 1 for baseline, about 10 for progressive.

    Inside a scan 0xFF is always followed by 0x00 or a restart marker, so counting the
    start-of-scan marker from the first one on is exact enough. Where something odd stands
    before it, which a decoder may step over, all that look like one count.
    """
    for marker, start, _ in _jpeg_segments(data):
        if marker == _SOS:
            return 1 + data.count(_SCAN_START, start)
    return data.count(_SCAN_START)


def without_metadata(jpeg: bytes) -> bytes:
    """The JPEG less its EXIF, XMP, colour profile and multi-picture segments.

    Pillow parses and warns about them on opening; nothing here needs them.
    """
    kept, position = [], 0
    for marker, start, end in _jpeg_segments(jpeg):
        if marker in (_APP1, _APP2):
            kept.append(jpeg[position : start - 4])
            position = end
    return b"".join([*kept, jpeg[position:]])


def exif_orientation(exif: bytes) -> int:
    """The orientation tag of an EXIF block (TIFF 6.0, first directory), 1 to 8.

    A malformed block counts as upright: viewers show such pictures too.
    """
    tiff = exif.removeprefix(_EXIF_START)
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, directory)
        for entry in range(entries):
            tag, kind, count, value = struct.unpack_from(
                order + "HHIH", tiff, directory + 2 + 12 * entry
            )
            if (tag, kind, count) == (_ORIENTATION_TAG, _SHORT, 1):
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, payload start, payload end) of each segment up to the first scan.

    Ends early where something else than a segment stands.
    """
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker < _FIRST_MARKER or marker in _WITHOUT_LENGTH:
            return
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        yield marker, position + 4, position + 2 + length
        if marker == _SOS or length < 2:
            return
        position += 2 + length
