"""The neighbours of every product of one release, as files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from recsys import names
from recsys.artifacts.base import Artifact, require


@dataclass(frozen=True)
class CatalogScores(Artifact):
    """What `recsys batch` wrote: ``files`` maps each Parquet file's name to its SHA-256.

    The files hold, in the release's order of ``products``, up to ``k`` rows a product:
    product, rank (from 1), neighbour, score (cosine, higher is closer); ``rows`` in all.
    """

    kind: ClassVar[str] = "catalog_scores"

    release: str
    model_version: str
    index_version: str
    k: int
    products: int
    rows: int
    files: dict[str, str]

    def __post_init__(self) -> None:
        require(names.is_release_id(self.release), f"{self.release!r} is no release id")
        require(self.k > 0 and len(self.files) > 0, "scores of nothing")
