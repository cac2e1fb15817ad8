"""Everything read again and compared with its SHA-256."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from recsys.errors import StoreDamaged
from recsys.provenance.catalogue import CATALOGUE_FILE, Catalogue
from recsys.provenance.packs import Blob
from recsys.provenance.port import Damage
from recsys.provenance.reading import ContentReader

_AFFECTED_SHOWN = 3


def verify(
    catalogue: Catalogue, contents: ContentReader, on_progress: Callable[[int], None]
) -> list[Damage]:
    """What is damaged, by file of the store; see `EmbeddedStore.verify`."""
    try:
        problems = catalogue.problems()
    except StoreDamaged as error:
        problems = [str(error)]
    if problems:  # by a damaged catalogue no pack can be judged
        return [Damage(CATALOGUE_FILE, problem) for problem in problems]
    found = []
    for number, group in groupby(catalogue.blobs(), key=lambda blob: blob.file):
        blobs = list(group)
        damaged = []
        for blob in blobs:
            if contents.is_damaged(blob):
                damaged.append(blob)
            on_progress(1)
        if damaged:
            found.append(_damage(catalogue, number, len(blobs), damaged))
    return found


def _damage(catalogue: Catalogue, number: int, blobs: int, damaged: Sequence[Blob]) -> Damage:
    affected: list[str] = []
    for blob in damaged[:_AFFECTED_SHOWN]:
        affected += catalogue.users(blob.sha256, _AFFECTED_SHOWN)
    problem = f"{len(damaged)} of {blobs} blobs are missing or changed"
    return Damage(catalogue.files()[number], problem, tuple(affected[:_AFFECTED_SHOWN]))
