"""Measure every row and image, set bad products aside, and gate the night."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

import pandas as pd

from recsys import names, validation
from recsys.artifacts.catalog import CatalogSnapshot, ValidatedCatalog
from recsys.artifacts.receipt import Receipt
from recsys.stages import frames
from recsys.stages.judge import judge
from recsys.stages.night import Night
from recsys.stages.task import Task, suite_digest


def run(night: Night) -> Receipt:
    """Commit the good products and the quarantine, or refuse the night."""
    snapshot = night.result_of("snapshot_catalog", CatalogSnapshot)
    settings = night.settings
    task = Task(
        night,
        "validate_catalog",
        inputs=[snapshot.ref],
        parameters={
            "quarantine_budget": settings.quarantine_budget,
            "max_image_bytes": settings.max_image_bytes,
            "max_image_pixels": settings.max_image_pixels,
            **suite_digest(night, names.SUITE_DELIVERY, names.SUITE_PRODUCTS),
        },
        rooms=("validation", "gates", "images", "artifacts/catalog.py"),
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    rows = validation.parse_rows(night.read(snapshot.ref, "/styles.csv"))
    measures = _measure(night, snapshot.ref)
    catalog = validation.sort_out(rows, measures)
    verdicts = (
        judge(
            night,
            names.SUITE_DELIVERY,
            validation.delivery_table(rows, measures, catalog),
            subject=snapshot.ref,
            replacements={"quarantine_budget": settings.quarantine_budget},
        ),
        judge(
            night,
            names.SUITE_PRODUCTS,
            validation.products_table(catalog, measures),
            subject=snapshot.ref,
        ),
    )
    return task.publish(
        ValidatedCatalog(snapshot.ref, len(catalog.products), len(catalog.quarantine), verdicts),
        [
            (frames.PRODUCTS, frames.to_parquet(catalog.products)),
            (frames.MEASURES, frames.to_parquet(measures)),
            (frames.QUARANTINE, frames.to_parquet(catalog.quarantine)),
        ],
    )


def _measure(night: Night, ref: str) -> pd.DataFrame:
    paths = [file.path for file in night.store.files(ref, "/images/")]
    with night.progress("measuring images", len(paths)) as advance:
        return validation.measure_images(
            _images(night, ref, paths), night.image_limits, on_progress=advance
        )


def _images(night: Night, ref: str, paths: list[str]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        yield PurePosixPath(path).name, night.read(ref, path)
