"""The catalog as delivered, as validated, and as split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from recsys import names
from recsys.artifacts.base import Artifact, require
from recsys.artifacts.verdict import Verdict, require_passed, revive_verdict

# The columns of a product row beside its id. `name` is shown; the rest can be filtered on.
ATTRIBUTES: tuple[str, ...] = (
    "gender",
    "masterCategory",
    "subCategory",
    "articleType",
    "baseColour",
    "season",
    "year",
    "usage",
)
ID_COLUMN = "id"
NAME_COLUMN = "productDisplayName"
LABEL_COLUMN = "articleType"
DELIVERY_COLUMNS: tuple[str, ...] = (ID_COLUMN, *ATTRIBUTES, NAME_COLUMN)


@dataclass(frozen=True)
class CatalogSnapshot(Artifact):
    """One delivery, stored as it came.

    The commit holds ``/styles.csv`` (the bytes delivered) and ``/images/<id>.<suffix>``.
    ``layout`` is kaggle, idx or drawn; ``source_digest`` the SHA-256 over the delivery.
    """

    kind: ClassVar[str] = "catalog_snapshot"

    layout: str
    source_digest: str


@dataclass(frozen=True)
class ValidatedCatalog(Artifact):
    """The products that passed, and those set aside.

    The commit holds ``/products.parquet`` (one row a good product: id, the attributes,
    name, image path in the catalog commit, SHA-256 of bytes and of pixels),
    ``/measures.parquet`` and ``/quarantine.parquet`` (id, reason).
    """

    kind: ClassVar[str] = "validated_catalog"

    catalog: str
    products: int
    quarantined: int
    verdicts: tuple[Verdict, ...]

    def __post_init__(self) -> None:
        require(names.parse_ref(self.catalog)[0] == names.CATALOG, "not a catalog commit")
        require(len(self.verdicts) > 0, "a validated catalog needs its gates' verdicts")
        for verdict in self.verdicts:
            require_passed(verdict)

    @classmethod
    def _revive(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "verdicts": tuple(revive_verdict(item) for item in fields["verdicts"])}


@dataclass(frozen=True)
class CatalogSplit(Artifact):
    """Which side every image is on; once given, a side never changes.

    The commit holds ``/split.parquet``: ``pixels_sha256`` (unique) and ``side`` (train,
    validation or test). Counts are of distinct images.
    """

    kind: ClassVar[str] = "catalog_split"

    validated: str
    train: int
    validation: int
    test: int

    def __post_init__(self) -> None:
        require(names.parse_ref(self.validated)[0] == names.VALIDATED, "not a validated commit")
        require(min(self.train, self.validation, self.test) > 0, "a side of the split is empty")
