"""Judge the measured catalog: may the night go on with it?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd

from recsys import catalog, names, quarantine, validation
from recsys.artifacts.catalog import (
    ATTRIBUTES,
    NAME_COLUMN,
    STOCK_COLUMN,
    MeasuredCatalog,
    ValidatedCatalog,
)
from recsys.artifacts.digests import canonical_json, sha256_bytes
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.verdict import Verdict
from recsys.stages import frames
from recsys.stages.judge import judge
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import KEPT, picture_place
from recsys.stages.purges import current_purges
from recsys.stages.task import Task, suite_digest


def run(night: Night) -> Receipt:
    """Commit the products of tonight, or refuse the night.

    The last accepted night is what tonight's drift, changes and kept products refer to; it
    is recorded as context.
    """
    measured = night.result_of("measure_catalog", MeasuredCatalog)
    before = night.newest("validate_catalog", ValidatedCatalog)
    settings = night.settings
    task = Task(
        night,
        "validate_catalog",
        inputs=[measured.ref],
        parameters={
            "quarantine_budget": settings.quarantine_budget,
            "type_quarantine_budget": settings.type_quarantine_budget,
            "quarantined_products": settings.quarantined_products,
            **suite_digest(night, names.SUITE_DELIVERY, names.SUITE_PRODUCTS, names.SUITE_DRIFT),
        },
        rooms=("validation", "quarantine", "gates", "catalog/merge.py", "artifacts/catalog.py"),
        context={"compared_with": "" if before is None else before.ref},
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    tonight = _Tables.of(night, measured)
    earlier = None if before is None else _earlier(night, before)
    verdicts = (
        *measured.artifact.verdicts,
        *_verdicts(night, measured.ref, tonight, earlier),
    )
    kept = _kept(night, tonight, None if earlier is None else earlier.products)
    products = _together(tonight.products, kept)
    changes = _changes(products, None if earlier is None else earlier.products)
    validated = ValidatedCatalog(
        catalog=measured.artifact.catalog,
        measured=measured.ref,
        products=len(products),
        kept=len(kept),
        quarantined=len(tonight.quarantine),
        changes={str(kind): int(count) for kind, count in changes["change"].value_counts().items()},
        verdicts=verdicts,
    )
    return task.publish(
        validated,
        [
            (frames.PRODUCTS, frames.to_parquet(products)),
            (frames.CHANGES, frames.to_parquet(changes)),
            *_kept_pictures(night, before, kept),
        ],
    )


@dataclass(frozen=True)
class _Tables:
    """The tables of one measured catalog, in the order of their files in `of`."""

    products: pd.DataFrame
    measures: pd.DataFrame
    quarantine: pd.DataFrame
    delivery: pd.DataFrame

    @classmethod
    def of(cls, night: Night, measured: Opened[MeasuredCatalog]) -> _Tables:
        paths = (frames.PRODUCTS, frames.MEASURES, frames.QUARANTINE, frames.DELIVERY)
        return cls(*(frames.read_frame(night, measured.ref, path) for path in paths))


def _earlier(night: Night, before: Opened[ValidatedCatalog]) -> _Tables:
    """The last accepted night: what it measured, and the products that it let go on."""
    measured = _Tables.of(night, night.open(before.artifact.measured, MeasuredCatalog))
    return replace(measured, products=frames.read_frame(night, before.ref, frames.PRODUCTS))


def _verdicts(
    night: Night, subject: str, tonight: _Tables, earlier: _Tables | None
) -> Iterator[Verdict]:
    settings = night.settings
    budgets = {
        "quarantine_budget": settings.quarantine_budget,
        "type_quarantine_budget": settings.type_quarantine_budget,
    }
    yield judge(
        night, names.SUITE_DELIVERY, tonight.delivery, subject=subject, replacements=budgets
    )
    table = validation.products_table(
        validation.SortedCatalog(tonight.products, tonight.quarantine), tonight.measures
    )
    yield judge(night, names.SUITE_PRODUCTS, table, subject=subject)
    if earlier is not None:
        drift = validation.drift_table(
            tonight.products, tonight.measures, earlier.products, earlier.measures
        )
        yield judge(night, names.SUITE_DRIFT, drift, subject=subject)


def _kept(night: Night, tonight: _Tables, previous_products: pd.DataFrame | None) -> pd.DataFrame:
    """Rows of products that stay on the shelf as they were, unless the setting delists them.

    A picture that was purged is nothing to keep.
    """
    if night.settings.quarantined_products == "delist":
        previous_products = None
    if previous_products is not None:
        barred = current_purges(night).artifact.barred_pictures
        previous_products = previous_products[~previous_products["sha256_bytes"].isin(barred)]
    return quarantine.keep_on_shelf(tonight.products, tonight.quarantine, previous_products)


def _together(products: pd.DataFrame, kept: pd.DataFrame) -> pd.DataFrame:
    both = pd.concat([products.assign(kept=False), kept.assign(kept=True)])
    if STOCK_COLUMN in both:  # one of the two nights may not have said
        both[STOCK_COLUMN] = both[STOCK_COLUMN].fillna("true")
    return both.sort_values("id", ignore_index=True)


def _changes(products: pd.DataFrame, previous: pd.DataFrame | None) -> pd.DataFrame:
    old = {} if previous is None else _digests(previous)
    return catalog.changes(old, _digests(products))


def _digests(products: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Digest of the attributes and of the picture, by product."""
    rows = products[[*ATTRIBUTES, NAME_COLUMN]].to_dict("records")
    if STOCK_COLUMN in products:
        # To deliver the column is no change; to run out of stock is.
        for row, in_stock in zip(rows, products[STOCK_COLUMN], strict=True):
            row |= {STOCK_COLUMN: in_stock} if in_stock == "false" else {}
    return {
        product: (sha256_bytes(canonical_json(row)), picture)
        for product, row, picture in zip(
            products["id"], rows, products["sha256_bytes"], strict=True
        )
    }


def _kept_pictures(
    night: Night, before: Opened[ValidatedCatalog] | None, kept: pd.DataFrame
) -> Iterator[tuple[str, bytes]]:
    if before is None or kept.empty:
        return
    for image, was_kept in zip(kept["image"], kept["kept"], strict=True):
        yield f"{KEPT}{image}", night.read(*picture_place(before, image, was_kept))
