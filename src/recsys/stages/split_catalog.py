"""Group duplicates, and give every new group its side: train, validation or test."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys import training, validation
from recsys.artifacts.catalog import LABEL_COLUMN, CatalogSplit, ValidatedCatalog
from recsys.artifacts.receipt import Receipt
from recsys.stages import frames
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import pixels_of_rows, products_of, settings_size
from recsys.stages.task import Task


def run(night: Night) -> Receipt:
    """Commit the split: the one before it, and the images that are new tonight.

    The ledger grows from commit to commit, so an image once trained on is never a test
    query of a later model, and champion and challenger can be asked the same questions.
    """
    validated = night.result_of("validate_catalog", ValidatedCatalog)
    settings = night.settings
    before = night.newest("split_catalog", CatalogSplit)
    task = Task(
        night,
        "split_catalog",
        [validated.ref],
        {
            "test_share": settings.test_share,
            "validation_share": settings.validation_share,
            "seed": settings.seed,
            "duplicate_hash_distance": settings.duplicate_hash_distance,
            "duplicate_cosine": settings.duplicate_cosine,
        },
        rooms=("training/split.py", "validation/duplicates.py", "images"),
        context={"extends": "" if before is None else before.ref},
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    products = products_of(night, validated)
    duplicates = _duplicates(night, validated, products)
    split = training.assign_sides(
        products,
        None if before is None else frames.read_frame(night, before.ref, frames.SPLIT),
        label=LABEL_COLUMN,
        test_share=settings.test_share,
        validation_share=settings.validation_share,
        seed=settings.seed,
        groups=duplicates.group.tolist(),
    )
    groups = pd.DataFrame({"id": products["id"], "group": duplicates.group.to_numpy()})
    return task.publish(
        _summary(validated.ref, split, duplicates.table),
        [
            (frames.SPLIT, frames.to_parquet(split)),
            (frames.GROUPS, frames.to_parquet(groups)),
            (frames.DUPLICATES, frames.to_parquet(duplicates.table)),
        ],
    )


def _duplicates(
    night: Night, validated: Opened[ValidatedCatalog], products: pd.DataFrame
) -> validation.DuplicateGroups:
    """Products that show one picture; thumbnails confirm what the hashes suggest."""

    def thumbnails_of(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        size = settings_size(night)
        return validation.thumbnails(pixels_of_rows(night, validated, products, rows, size))

    return validation.find_duplicates(
        products,
        products["phash"].tolist(),
        thumbnails_of,
        max_hash_distance=night.settings.duplicate_hash_distance,
        min_cosine=night.settings.duplicate_cosine,
    )


def _summary(validated: str, split: pd.DataFrame, table: pd.DataFrame) -> CatalogSplit:
    sides = split["side"].value_counts()
    counts = {side: int(sides.get(side, 0)) for side in ("train", "validation", "test", "retired")}
    return CatalogSplit(
        validated=validated,
        **counts,
        duplicate_groups=int(table["group"].nunique()),
        conflicting_groups=int(table.loc[table["conflicting"], "group"].nunique()),
    )


def groups_of(night: Night, split: Opened[CatalogSplit]) -> list[str]:
    """The group of duplicates of every product, in product order."""
    return frames.read_frame(night, split.ref, frames.GROUPS)["group"].tolist()
