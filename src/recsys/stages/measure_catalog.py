"""Measure every row and picture, and set the bad ones aside."""

from __future__ import annotations

import pandas as pd

from recsys import gates, names, quarantine, validation
from recsys.artifacts.catalog import CatalogSnapshot, MeasuredCatalog
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.verdict import Verdict
from recsys.stages import frames
from recsys.stages.night import Night
from recsys.stages.overrides import current_overrides
from recsys.stages.record import commit_record
from recsys.stages.task import Task, suite_digest

_IMAGES = "/images/"


def run(night: Night) -> Receipt:
    """Commit measures, sound products and quarantine; whether the night may go on comes next.

    Pictures that were measured on an earlier night, by the same code and limits, are not
    read again.
    """
    snapshot = night.result_of("snapshot_catalog", CatalogSnapshot)
    overrides = current_overrides(night)
    settings = night.settings
    task = Task(
        night,
        "measure_catalog",
        inputs=[snapshot.ref, overrides.ref],
        parameters={
            "max_image_bytes": settings.max_image_bytes,
            "max_image_pixels": settings.max_image_pixels,
            **suite_digest(night, names.SUITE_PRODUCT_ROWS),
        },
        rooms=(
            "validation",
            "quarantine",
            "gates",
            "images",
            "artifacts/catalog.py",
            "artifacts/soundness.py",
        ),
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    before = night.newest("measure_catalog", MeasuredCatalog)
    rows = validation.parse_rows(night.read(snapshot.ref, "/styles.csv"))
    measures, fresh = _measure(night, snapshot.ref, _known(task))
    catalog = validation.sort_out(rows, measures)
    verdicts: tuple[Verdict, ...] = ()
    if len(catalog.products) > 0:
        sifted = _sift(night, snapshot.ref, catalog, measures)
        pictures = catalog.products.set_index("id")["sha256_bytes"]
        catalog = validation.apply_row_failures(
            catalog, quarantine.without_released(sifted.failures, pictures, overrides.artifact)
        )
        verdicts = (sifted.verdict,)
    ledger = quarantine.update_ledger(
        None if before is None else frames.read_frame(night, before.ref, frames.QUARANTINE),
        catalog.quarantine,
        night.date,
    )
    return task.publish(
        MeasuredCatalog(
            catalog=snapshot.ref,
            products=len(catalog.products),
            quarantined=len(ledger),
            pictures=len(measures),
            fresh_pictures=fresh,
            verdicts=verdicts,
        ),
        [
            (frames.MEASURES, frames.to_parquet(measures)),
            (frames.PRODUCTS, frames.to_parquet(_with_hash(catalog.products, measures))),
            (frames.QUARANTINE, frames.to_parquet(ledger)),
            (
                frames.DELIVERY,
                frames.to_parquet(validation.delivery_table(rows, measures, catalog)),
            ),
        ],
    )


def _with_hash(products: pd.DataFrame, measures: pd.DataFrame) -> pd.DataFrame:
    """Products with the perceptual hash of their picture, which near duplicates share."""
    hash_of = dict(zip(measures["path"], measures["phash"], strict=True))
    return products.assign(phash=products["image"].map(hash_of))


def _known(task: Task) -> pd.DataFrame:
    """The newest measures; none when other code or other limits made them."""
    nothing = validation.measure_images([], task.night.image_limits)
    head = task.night.store.head(names.MEASURED)
    if head is None:
        return nothing
    record = commit_record(head.message)
    same = ("max_image_bytes", "max_image_pixels")
    if record.get("code_digest") != task.code or any(
        record["parameters"][name] != task.parameters[name] for name in same
    ):
        return nothing
    return frames.read_frame(task.night, head.ref, frames.MEASURES)


def _measure(night: Night, ref: str, known: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    files = [
        (
            file.path.removeprefix(_IMAGES),
            file.sha256,
            lambda path=file.path: night.read(ref, path),
        )
        for file in night.store.files(ref, _IMAGES)
    ]
    with night.progress("measuring images", len(files)) as advance:
        return validation.measure_changed(files, night.image_limits, known, on_progress=advance)


def _sift(
    night: Night, ref: str, catalog: validation.SortedCatalog, measures: pd.DataFrame
) -> gates.Sifted:
    """What the row suite says against single products."""
    return gates.sift(
        names.SUITE_PRODUCT_ROWS,
        validation.candidates_table(catalog, measures),
        id_column="id",
        subject=ref,
        expectations_dir=night.settings.expectations_dir,
        docs_dir=night.settings.data_docs_dir,
        night=night.date,
    )
