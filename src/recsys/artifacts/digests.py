"""SHA-256 and canonical JSON: the two things every digest in this project is made of."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import BinaryIO

_CHUNK_BYTES = 1 << 20


def canonical_json(data: object) -> bytes:
    """JSON with sorted keys, no blanks, UTF-8 and a newline: equal data, equal bytes.

    Raises
    ------
    ValueError
        The data hold NaN or infinity.
    """
    text = json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode() + b"\n"


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of bytes, as hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_stream(stream: BinaryIO) -> str:
    """SHA-256 of what is left in a binary stream, as hex, in bounded memory."""
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, as hex, in bounded memory."""
    with path.open("rb") as stream:
        return sha256_stream(stream)
