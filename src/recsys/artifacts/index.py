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

    The commit holds ``/vectors/00000.parquet`` and so on: product, SHA-256 of its picture,
    vector (float32, unit norm), in the order of ``products.parquet``; each shard names model
    and origins in its metadata. ``model`` and ``catalog`` are the commits that the vectors
    were made of. ``vectors_digest`` is the SHA-256 of the vectors as one ``.npy``, [rows,
    dimension] float32, which a release ships. ``taken_over`` of the rows had been embedded
    by the same model before, the others were embedded for this set.
    """

    kind: ClassVar[str] = "embedding_set"
    schema_version: ClassVar[int] = 2

    champion: str
    validated: str
    model: str
    catalog: str
    model_digest: str
    rows: int
    dimension: int
    vectors_digest: str
    taken_over: int

    def __post_init__(self) -> None:
        require(names.parse_ref(self.champion)[0] == names.CHAMPIONS, "not a champion commit")
        require(names.parse_ref(self.validated)[0] == names.VALIDATED, "not a validated commit")
        require(names.parse_ref(self.model)[0] == names.MODELS, "not a model commit")
        require(names.parse_ref(self.catalog)[0] == names.CATALOG, "not a catalog commit")
        require(self.rows > 0, "an embedding set has at least one product")
        require(
            0 <= self.taken_over <= self.rows,
            f"{self.taken_over} vectors taken over, of {self.rows}",
        )

    @property
    def version(self) -> str:
        """The model's short name."""
        return names.model_version(self.model_digest)

    @property
    def embedded(self) -> int:
        """How many went through the model for this set."""
        return self.rows - self.taken_over


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
    breadth: int
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
