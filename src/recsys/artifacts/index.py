"""The embeddings of a catalog and the index over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from recsys import names
from recsys.artifacts.base import Artifact, require
from recsys.artifacts.verdict import Verdict, require_passed, revive_verdict


@dataclass(frozen=True)
class EmbeddingSet(Artifact):
    """Every good product through one approved model.

    The commit holds ``/vectors.npy`` ([rows, dimension] float32, unit norm) and
    ``/ids.json`` (product ids in row order, the order of ``products.parquet``).
    """

    kind: ClassVar[str] = "embedding_set"

    champion: str
    validated: str
    model_digest: str
    rows: int
    dimension: int
    vectors_digest: str

    def __post_init__(self) -> None:
        require(names.parse_ref(self.champion)[0] == names.CHAMPIONS, "not a champion commit")
        require(names.parse_ref(self.validated)[0] == names.VALIDATED, "not a validated commit")
        require(self.rows > 0, "an embedding set has at least one product")


@dataclass(frozen=True)
class SearchIndex(Artifact):
    """A FAISS index that reached its recall.

    The commit holds ``/index.faiss``: inner product over unit vectors, row numbers as ids.
    ``factory`` is the FAISS factory string; ``recall_at_10`` is measured against exact
    search on ``recall_queries`` frozen queries; ``filtered_recall_at_10`` by selectivity is
    that of the same queries under filters.
    """

    kind: ClassVar[str] = "search_index"
    schema_version: ClassVar[int] = 2

    embeddings: str
    model_digest: str
    index_digest: str
    factory: str
    nprobe: int
    rows: int
    dimension: int
    recall_at_10: float
    recall_queries: int
    filtered_recall_at_10: dict[str, float]
    verdict: Verdict

    def __post_init__(self) -> None:
        require(names.parse_ref(self.embeddings)[0] == names.EMBEDDINGS, "not an embeddings commit")
        require_passed(self.verdict)

    @property
    def version(self) -> str:
        """The index's short name."""
        return names.index_version(self.index_digest)

    @classmethod
    def from_data(cls, fields: Any) -> Self:
        """As the others; schema 1 was not measured under filters."""
        if isinstance(fields, dict) and fields.get("schema_version") == 1:
            fields = {**fields, "schema_version": cls.schema_version, "filtered_recall_at_10": {}}
        return super().from_data(fields)

    @classmethod
    def _revive(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "verdict": revive_verdict(fields["verdict"])}
