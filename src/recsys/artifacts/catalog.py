"""The catalog as delivered, as validated, and as split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from recsys import names
from recsys.artifacts.base import Artifact, require, with_zero_changes, without_zero_changes
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
# How a catalog writes that it does not know a value.
UNKNOWN = "NA"
DELIVERY_COLUMNS: tuple[str, ...] = (ID_COLUMN, *ATTRIBUTES, NAME_COLUMN)
# May be delivered too: whether a product can be bought. Without it all can.
STOCK_COLUMN = "in_stock"


@dataclass(frozen=True)
class CatalogSnapshot(Artifact):
    """One delivery, stored as it came.

    The commit holds ``/styles.csv`` (the bytes delivered) and ``/images/<id>.<suffix>``.
    ``layout`` is kaggle, idx or drawn; ``source_digest`` the SHA-256 over the delivery.
    ``changes_through`` is the number of the last change between nights that was laid over it,
    or over one before; 0, which is not written down, for none.
    """

    kind: ClassVar[str] = "catalog_snapshot"

    layout: str
    source_digest: str
    changes_through: int = 0

    def to_data(self) -> dict[str, Any]:
        """As the others, without a number of changes that is 0."""
        return without_zero_changes(super().to_data())

    @classmethod
    def from_data(cls, fields: Any) -> Self:
        """As the others, with the number of changes that was not written down."""
        return super().from_data(with_zero_changes(fields))


@dataclass(frozen=True)
class MeasuredCatalog(Artifact):
    """Every delivered row and picture measured, the bad ones set aside; not judged yet.

    The commit holds ``/measures.parquet`` (one row a picture), ``/products.parquet`` (the
    sound products), ``/quarantine.parquet`` (those set aside, and why) and
    ``/delivery.parquet`` (one row of figures). ``fresh_pictures`` were decoded tonight; the
    others had been measured before. ``verdicts`` are of the row suite, over the products
    that stay; it has none when no product was sound.
    """

    kind: ClassVar[str] = "measured_catalog"

    catalog: str
    products: int
    quarantined: int
    pictures: int
    fresh_pictures: int
    verdicts: tuple[Verdict, ...]

    def __post_init__(self) -> None:
        require(names.parse_ref(self.catalog)[0] == names.CATALOG, "not a catalog commit")
        for verdict in self.verdicts:
            require_passed(verdict)

    @classmethod
    def _revive(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "verdicts": tuple(revive_verdict(item) for item in fields["verdicts"])}


@dataclass(frozen=True)
class ValidatedCatalog(Artifact):
    """The products that may be learned from and shown.

    The commit holds ``/products.parquet`` (one row a product: id, the attributes, name,
    image, SHA-256 of bytes and of pixels, and ``kept``), ``/changes.parquet`` (id, change
    since the last accepted night) and, for products kept from the night before because
    tonight's row or picture is bad, their good picture under ``/kept/``. ``changes`` counts
    by kind of change.
    """

    kind: ClassVar[str] = "validated_catalog"

    catalog: str
    measured: str
    products: int
    kept: int
    quarantined: int
    changes: dict[str, int]
    verdicts: tuple[Verdict, ...]

    def __post_init__(self) -> None:
        require(names.parse_ref(self.catalog)[0] == names.CATALOG, "not a catalog commit")
        require(names.parse_ref(self.measured)[0] == names.MEASURED, "not a measured commit")
        require(len(self.verdicts) > 0, "a validated catalog needs its gates' verdicts")
        for verdict in self.verdicts:
            require_passed(verdict)

    @classmethod
    def _revive(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "verdicts": tuple(revive_verdict(item) for item in fields["verdicts"])}


@dataclass(frozen=True)
class CatalogSplit(Artifact):
    """Which side every image is on; duplicates stand on one side.

    The commit holds ``/split.parquet`` (``pixels_sha256``, unique, and ``side``: train,
    validation, test, or retired when a link found later joined two sides),
    ``/groups.parquet`` (id and its group of duplicates) and ``/duplicates.parquet`` (one
    row a group of two products or more). Sides are counted in distinct images;
    ``conflicting_groups`` show one picture under several article types.
    """

    kind: ClassVar[str] = "catalog_split"

    validated: str
    train: int
    validation: int
    test: int
    retired: int
    duplicate_groups: int
    conflicting_groups: int

    def __post_init__(self) -> None:
        require(names.parse_ref(self.validated)[0] == names.VALIDATED, "not a validated commit")
        require(min(self.train, self.validation, self.test) > 0, "a side of the split is empty")


@dataclass(frozen=True)
class LabelReport(Artifact):
    """Which labels are probably wrong.

    The commit holds ``/label_issues.parquet``: id, name, given and suggested label,
    ``self_confidence`` (of the given one, lower is worse) and rank, the worst first.
    """

    kind: ClassVar[str] = "label_report"

    model: str
    issues: int
    overall_noise_share: float
    verdict: Verdict

    def __post_init__(self) -> None:
        require(names.parse_ref(self.model)[0] == names.MODELS, "not a model commit")
        require_passed(self.verdict)

    @classmethod
    def _revive(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "verdict": revive_verdict(fields["verdict"])}
