"""Give every new image its side: train, validation or test."""

from __future__ import annotations

from recsys import training
from recsys.artifacts.catalog import LABEL_COLUMN, CatalogSplit, ValidatedCatalog
from recsys.artifacts.receipt import Receipt
from recsys.stages import frames
from recsys.stages.night import Night
from recsys.stages.task import Task


def run(night: Night) -> Receipt:
    """Commit the split: the one before it, and the images that are new tonight.

    The ledger grows from commit to commit, so an image once trained on is never a test
    query of a later model, and champion and challenger can be asked the same questions.
    """
    validated = night.result_of("validate_catalog", ValidatedCatalog)
    settings = night.settings
    parameters = {
        "test_share": settings.test_share,
        "validation_share": settings.validation_share,
        "seed": settings.seed,
    }
    task = Task(night, "split_catalog", [validated.ref], parameters, rooms=("training/split.py",))
    if (receipt := task.remembered()) is not None:
        return receipt
    before = night.newest("split_catalog", CatalogSplit)
    split = training.assign_sides(
        frames.read_frame(night, validated.ref, frames.PRODUCTS),
        None if before is None else frames.read_frame(night, before.ref, frames.SPLIT),
        label=LABEL_COLUMN,
        test_share=settings.test_share,
        validation_share=settings.validation_share,
        seed=settings.seed,
    )
    sides = split["side"].value_counts()
    artifact = CatalogSplit(
        validated.ref, *(int(sides.get(side, 0)) for side in ("train", "validation", "test"))
    )
    return task.publish(artifact, [(frames.SPLIT, frames.to_parquet(split))])
