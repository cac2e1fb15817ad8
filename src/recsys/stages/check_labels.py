"""Find labels that are probably wrong, and gate how many there are."""

from __future__ import annotations

import pandas as pd

from recsys import labels, names
from recsys.artifacts.catalog import (
    LABEL_COLUMN,
    NAME_COLUMN,
    CatalogSplit,
    LabelReport,
    ValidatedCatalog,
)
from recsys.artifacts.model import ModelReport, TrainedModel
from recsys.artifacts.receipt import Receipt
from recsys.stages import frames
from recsys.stages.judge import judge
from recsys.stages.night import Night
from recsys.stages.pixels import products_of
from recsys.stages.split_catalog import groups_of
from recsys.stages.task import Task, suite_digest
from recsys.stages.vectors import vectors_of

# A share estimated on fewer products says little about their class.
_MIN_PRODUCTS = 100


def run(night: Night) -> Receipt:
    """Commit the ranked label issues, or refuse a catalog whose labels cannot be learned from.

    Every product is judged by classifiers that did not see it, over the vectors of
    tonight's model and the words of its title.
    """
    report = night.result_of("evaluate_model", ModelReport)
    model = night.open(report.artifact.model, TrainedModel)
    validated = night.open(model.artifact.validated, ValidatedCatalog)
    split = night.open(model.artifact.split, CatalogSplit)
    task = Task(
        night,
        "check_labels",
        [model.ref, validated.ref, split.ref],
        {"seed": night.settings.seed, **suite_digest(night, names.SUITE_LABELS)},
        rooms=("labels", "embedding", "gates"),
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    products = products_of(night, validated)
    given = products[LABEL_COLUMN].tolist()
    classes, probabilities = labels.cross_fitted_probabilities(
        vectors_of(night, validated, model.ref, model.artifact.model_digest),
        given,
        groups_of(night, split),
        products[NAME_COLUMN].tolist(),
        seed=night.settings.seed,
    )
    issues = labels.find_label_issues(given, classes, probabilities)
    table = labels.label_figures(labels.label_table(given, issues), min_products=_MIN_PRODUCTS)
    verdict = judge(night, names.SUITE_LABELS, table, subject=validated.ref)
    found = LabelReport(
        model=model.ref,
        issues=len(issues),
        overall_noise_share=float(table["overall_noise_share"].item()),
        verdict=verdict,
    )
    return task.publish(found, [(frames.LABEL_ISSUES, frames.to_parquet(_named(issues, products)))])


def _named(issues: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    """The issues with product ids and titles instead of rows."""
    rows = issues["row"].to_numpy()
    return issues.drop(columns="row").assign(
        id=products["id"].to_numpy()[rows], name=products[NAME_COLUMN].to_numpy()[rows]
    )
