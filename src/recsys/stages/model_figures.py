"""All figures of one model on frozen queries, beside the champion's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys import evaluation
from recsys.artifacts.catalog import ID_COLUMN, LABEL_COLUMN
from recsys.artifacts.model import ApprovedModel, ModelReport, TrainedModel
from recsys.evaluation import Naming, Retrieval
from recsys.stages import frames
from recsys.stages.frozen_queries import FrozenQueries
from recsys.stages.model_files import model_folder
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import pixels_of_rows
from recsys.stages.vectors import vectors_of
from recsys.training.classify import predict_probabilities

# The queries whose neighbours are kept to be looked at: the weakest, and some of the others.
_WEAKEST = 12
_SAMPLED = 12
# Below what sums of floats may differ in when they are added in another order.
_DECIMALS = 9

# What decides these figures, for the key of a task.
ROOMS = (
    "evaluation",
    "embedding",
    "images",
    "training/classify.py",
    "stages/frozen_queries.py",
    "stages/model_figures.py",
)


@dataclass(frozen=True)
class Measured:
    """A model's report, and its tables by their path in the commit."""

    report: ModelReport
    tables: dict[str, pd.DataFrame]


def measure(
    night: Night,
    questions: FrozenQueries,
    model: Opened[TrainedModel],
    champion: ApprovedModel | None,
) -> Measured:
    """Put the questions to a model, and to the champion unless there is none."""
    found = questions.put_to(night, model.ref, model.artifact.model_digest)
    rival = None
    if champion is not None:
        # A champion that was kept would answer the same once more.
        kept = champion.model_digest == model.artifact.model_digest
        rival = found if kept else questions.put_to(night, champion.model, champion.model_digest)
    size = (model.artifact.image_width, model.artifact.image_height)
    asked = pixels_of_rows(night, questions.validated, questions.products, questions.rows, size)
    naming = _naming(night, questions, model, asked)
    exposed, exposure = evaluation.exposure_figures(found.neighbours, questions.products)
    vectors = vectors_of(night, questions.validated, model.ref, model.artifact.model_digest)
    pictures = questions.products["sha256_pixels"].tolist()
    figures = {
        **model.artifact.figures,
        **found.figures,
        **naming.figures,
        **exposed,
        **evaluation.largest_duplicate_distance(vectors, pictures),
        **_changes(night, questions, found, rival),
    }
    report = ModelReport(
        model.ref,
        len(questions.rows),
        _rounded(figures),
        "" if champion is None else champion.model,
        {} if rival is None else _rounded(rival.figures),
    )
    tables = {
        frames.PER_CLASS: _per_class(questions, found, naming),
        frames.CONFUSION: naming.confusion,
        frames.SLICES: _slices(night, questions, asked, found, rival),
        frames.EXPOSURE: exposure,
        frames.NEIGHBOURS: _neighbours(night, questions, found, vectors),
    }
    return Measured(report, tables)


def _naming(
    night: Night,
    questions: FrozenQueries,
    model: Opened[TrainedModel],
    asked: npt.NDArray[np.uint8],
) -> Naming:
    """``asked`` [q, height, width, 3] are the queries' pictures, in the order of their rows."""
    with model_folder(night, model.ref) as folder:
        classes, probabilities = predict_probabilities(folder, asked, np.arange(len(asked)))
    predicted = np.asarray(classes)[probabilities.argmax(axis=1)]
    labels = questions.products[LABEL_COLUMN].to_numpy()[questions.rows]
    return evaluation.evaluate_naming(labels.tolist(), predicted.tolist())


def _changes(
    night: Night, questions: FrozenQueries, found: Retrieval, rival: Retrieval | None
) -> dict[str, float]:
    if rival is None:
        return {}
    return evaluation.ndcg_changes(
        found.ndcg, rival.ndcg, questions.clusters, seed=night.settings.seed
    )


def _per_class(questions: FrozenQueries, found: Retrieval, naming: Naming) -> pd.DataFrame:
    """Retrieval and naming by article type; a type that nothing could be found of has NaN."""
    labels = questions.products[LABEL_COLUMN].to_numpy()[questions.rows]
    asked = pd.DataFrame({"label": labels, "precision_at_10": found.precision})
    retrieval = asked.groupby("label", as_index=False).agg(
        queries=("precision_at_10", "count"), precision_at_10=("precision_at_10", "mean")
    )
    return retrieval.merge(naming.per_class, on="label", validate="one_to_one")


def _slices(
    night: Night,
    questions: FrozenQueries,
    asked: npt.NDArray[np.uint8],
    found: Retrieval,
    rival: Retrieval | None,
) -> pd.DataFrame:
    queries = questions.products.iloc[questions.rows]
    pictures = evaluation.picture_figures(asked)
    table = evaluation.slice_table(
        evaluation.find_slices(queries, pictures),
        found.ndcg[evaluation.MAIN],
        None if rival is None else rival.ndcg[evaluation.MAIN],
        questions.clusters,
        seed=night.settings.seed,
    )
    return table.round(_DECIMALS)


def _neighbours(
    night: Night,
    questions: FrozenQueries,
    found: Retrieval,
    vectors: npt.NDArray[np.float32],
) -> pd.DataFrame:
    """query, rank from 1, id, score (cosine) of some queries; the weakest come first."""
    ndcg = found.ndcg[evaluation.MAIN]
    ordered = np.argsort(ndcg, kind="stable")[: np.count_nonzero(~np.isnan(ndcg))]
    random = np.random.default_rng(night.settings.seed)
    others = random.permutation(ordered[_WEAKEST:])[:_SAMPLED]
    ids = questions.products[ID_COLUMN].to_numpy()
    rows = []
    for position in (*ordered[:_WEAKEST], *others):
        near = found.neighbours[position]
        near = near[near >= 0]
        query = questions.rows[position]
        # Not by the matrix product that found them: its last digits depend on the threads.
        scores = np.einsum("kd,d->k", vectors[near].astype(np.float64), vectors[query])
        rows += [
            (ids[query], rank, ids[row], round(float(score), _DECIMALS))
            for rank, (row, score) in enumerate(zip(near, scores, strict=True), 1)
        ]
    return pd.DataFrame(rows, columns=["query", "rank", "id", "score"])


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, _DECIMALS) for name, value in figures.items()}
