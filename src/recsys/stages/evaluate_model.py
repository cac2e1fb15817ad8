"""Measure tonight's model, and the champion's on the same frozen queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys import evaluation, names, training
from recsys.artifacts.catalog import LABEL_COLUMN, CatalogSplit, ValidatedCatalog
from recsys.artifacts.model import ApprovedModel, ModelReport, TrainedModel
from recsys.artifacts.receipt import Receipt
from recsys.stages import frames
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import pixels_of, products_of
from recsys.stages.split_catalog import groups_of
from recsys.stages.task import Task, scratch_folder
from recsys.stages.train_model import MODEL_FILES, sides_of
from recsys.stages.vectors import vectors_of


def run(night: Night) -> Receipt:
    """Commit the model's figures beside the champion's."""
    model = night.result_of("train_model", TrainedModel)
    champion = night.newest("approve_model", ApprovedModel)
    if champion is not None and champion.artifact.model == model.ref:
        return _report_of_champion(night, model)
    rival = "" if champion is None else champion.artifact.model
    task = Task(
        night,
        "evaluate_model",
        [model.ref, model.artifact.validated, model.artifact.split],
        {"champion": rival},
        rooms=("evaluation", "embedding", "images", "training/classify.py"),
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    questions = _Questions.of(night, model)
    retrieval = questions.put_to(night, model.ref, model.artifact.model_digest)
    figures = {
        **model.artifact.figures,
        **retrieval.figures,
        "accuracy": _accuracy(night, model, questions),
    }
    rival_figures: dict[str, float] = {}
    if champion is not None:
        rival_figures = questions.put_to(night, rival, champion.artifact.model_digest).figures
    report = ModelReport(model.ref, len(questions.rows), figures, rival, rival_figures)
    return task.publish(report, [(frames.PER_CLASS, frames.to_parquet(retrieval.per_class))])


def _report_of_champion(night: Night, model: Opened[TrainedModel]) -> Receipt:
    """The report that let the reigning champion pass; it needs no second one."""
    for commit in night.store.downstream(model.ref):
        if names.parse_ref(commit.ref)[0] == names.EVALUATIONS:
            report = night.open(commit.ref, ModelReport).artifact
            return Receipt(report.kind, commit.ref, report.digest, fresh=False)
    raise AssertionError(f"champion {model.ref} has no evaluation")  # approve_model needs one


@dataclass(frozen=True)
class _Questions:
    """The frozen queries: the catalog's products on the test side."""

    validated: Opened[ValidatedCatalog]
    products: pd.DataFrame
    rows: npt.NDArray[np.int64]
    groups: list[str]

    @classmethod
    def of(cls, night: Night, model: Opened[TrainedModel]) -> Self:
        validated = night.open(model.artifact.validated, ValidatedCatalog)
        split = night.open(model.artifact.split, CatalogSplit)
        products = products_of(night, validated)
        sides = np.asarray(sides_of(night, split, products))
        return cls(validated, products, np.flatnonzero(sides == "test"), groups_of(night, split))

    def put_to(self, night: Night, model: str, model_digest: str) -> evaluation.RetrievalFigures:
        """Held-out products against the whole rest of the catalog, by one model."""
        vectors = vectors_of(night, self.validated, model, model_digest)
        return evaluation.evaluate_retrieval(
            vectors,
            self.products[LABEL_COLUMN].tolist(),
            self.rows,
            groups=self.groups,
        )


def _accuracy(night: Night, model: Opened[TrainedModel], questions: _Questions) -> float:
    pixels = pixels_of(night, questions.validated, questions.products)
    with scratch_folder(night) as folder:
        for name in MODEL_FILES:
            (folder / name).write_bytes(night.read(model.ref, f"/{name}"))
        labels = questions.products[LABEL_COLUMN].tolist()
        return training.classify(folder, pixels, labels, questions.rows).accuracy
