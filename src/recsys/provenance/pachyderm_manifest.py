"""The manifest inside each Pachyderm commit: every file's path, size and SHA-256.

Pachyderm's own file hashes are hashes of chunk hashes, so ours stand beside the files, under
a path that no file may have. A large manifest is cut into 256 shards by the first byte of
the SHA-256, so that a small change writes few of them and one content is looked for in one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Annotated, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from recsys.artifacts.digests import canonical_json
from recsys.errors import StoreDamaged
from recsys.provenance.addresses import RESERVED

FOLDER = f"{RESERVED}/manifest"
_WHOLE = "all"
_SHARDED_ABOVE_FILES = 2_000


class Entry(NamedTuple):
    """One file's content."""

    sha256: bytes
    size_bytes: int


_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_SHARD = TypeAdapter(list[tuple[str, Annotated[int, Field(ge=0)], _Sha256]])


def is_sharded(files: int) -> bool:
    """Whether the manifest of so many files is cut."""
    return files > _SHARDED_ABOVE_FILES


def shard_path(sha256: bytes, sharded: bool) -> str:
    """Where the entries of this content stand."""
    return f"{FOLDER}/{sha256[:1].hex() if sharded else _WHOLE}"


def shards(entries: Mapping[str, Entry]) -> dict[str, bytes]:
    """The manifest as files of the commit: path to content, the same for the same entries."""
    sharded = is_sharded(len(entries))
    firsts = [bytes([first]) for first in range(256 if sharded else 1)]
    rows: dict[str, list[tuple[str, int, str]]] = {shard_path(one, sharded): [] for one in firsts}
    for path, entry in sorted(entries.items()):
        row = (path, entry.size_bytes, entry.sha256.hex())
        rows[shard_path(entry.sha256, sharded)].append(row)
    return {path: canonical_json(listed) for path, listed in rows.items()}


def read_shard(ref: str, content: bytes) -> dict[str, Entry]:
    """The entries of one shard, or `StoreDamaged`."""
    try:
        rows = _SHARD.validate_json(content)
    except ValidationError as error:
        raise StoreDamaged(f"{ref}: its manifest cannot be read: {error.errors()[0]}") from error
    return {path: Entry(bytes.fromhex(sha256), size) for path, size, sha256 in rows}


def digest(entries: Iterable[tuple[str, Entry]]) -> str:
    """SHA-256 (hex) over all entries, sorted by path: what the commit's description names."""
    found = hashlib.sha256()
    for path, entry in entries:
        found.update(b"%s %d %s\n" % (entry.sha256, entry.size_bytes, path.encode()))
    return found.hexdigest()
