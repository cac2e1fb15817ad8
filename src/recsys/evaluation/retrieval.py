"""Held-out queries against the whole rest of the catalog.

A neighbour is relevant when it has the query's label. The query itself and every product
with the very same picture are left out: finding them is no merit.

Formulae as in Manning, Raghavan and Schütze, *Introduction to Information Retrieval*,
chapter 8; average precision at k divides by the number of relevant results that k slots
could hold, ``min(k, relevant products)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.errors import BadInput

K = 10
# Scores held at a time: 40 MB of them, whatever the catalog's size.
_BLOCK_SCORES = 10_000_000
_COLLAPSED_BELOW = 1e-4


@dataclass(frozen=True)
class RetrievalFigures:
    """Figures by name, all higher is better but the health figures, and per class.

    ``figures``: precision_at_10, hit_rate_at_10, map_at_10 in [0, 1];
    chance_precision_at_10, what a random neighbour would reach; embedding_nan_share,
    embedding_norm_error (largest ``|norm - 1|``) and collapsed_dimension_share.
    ``per_class``: label, queries, precision_at_10; by label.
    """

    figures: dict[str, float]
    per_class: pd.DataFrame


def evaluate_retrieval(
    vectors: npt.NDArray[np.float32],
    labels: Sequence[str],
    query_rows: npt.NDArray[np.int64],
    *,
    groups: Sequence[str],
) -> RetrievalFigures:
    """Ask every query row for its ten nearest products, exactly.

    Parameters
    ----------
    vectors
        [n, dimension] float32, unit norm; a memory map is fine.
    labels
        [n] what a neighbour must share to be relevant.
    query_rows
        [q] rows of ``vectors``, products that the model was not trained on.
    groups
        [n] products of one group share one picture and do not count for each other.

    Raises
    ------
    BadInput
        No query, or lengths that differ.
    """
    if len(query_rows) == 0:
        raise BadInput("evaluation: there is no held-out product to ask for")
    if not len(vectors) == len(labels) == len(groups):
        raise BadInput(
            f"evaluation: {len(vectors)} vectors, {len(labels)} labels, {len(groups)} groups"
        )
    label_codes = _codes(labels)
    group_codes = _codes(groups)
    matrix = np.nan_to_num(np.asarray(vectors))
    block = max(1, _BLOCK_SCORES // len(matrix))
    blocks = [
        _relevance(matrix, label_codes, group_codes, query_rows[start : start + block])
        for start in range(0, len(query_rows), block)
    ]
    relevant = np.concatenate([part[0] for part in blocks])
    possible = np.concatenate([part[1] for part in blocks])
    candidates = np.concatenate([part[2] for part in blocks])
    precision = relevant.mean(axis=1)
    figures = {
        "precision_at_10": float(precision.mean()),
        "hit_rate_at_10": float(relevant.any(axis=1).mean()),
        "map_at_10": float(_average_precision(relevant, possible).mean()),
        "chance_precision_at_10": float((possible / np.maximum(candidates, 1)).mean()),
        **embedding_health(vectors),
    }
    asked = pd.DataFrame(
        {"label": np.asarray(labels, dtype=str)[query_rows], "precision_at_10": precision}
    )
    per_class = asked.groupby("label", as_index=False).agg(
        queries=("precision_at_10", "size"), precision_at_10=("precision_at_10", "mean")
    )
    return RetrievalFigures(figures, per_class)


def embedding_health(vectors: npt.NDArray[np.float32]) -> dict[str, float]:
    """What must never be wrong with vectors, whatever the labels.

    [n, dimension] float32 in; embedding_nan_share (share of rows with a value that is not
    finite), embedding_norm_error and collapsed_dimension_share (share of dimensions whose
    standard deviation is below 1e-4) out; lower is better, 0 is perfect.
    """
    matrix = np.asarray(vectors)
    finite = np.isfinite(matrix).all(axis=1)
    sound = matrix[finite]
    if len(sound) == 0:
        return {
            "embedding_nan_share": 1.0,
            "embedding_norm_error": 1.0,
            "collapsed_dimension_share": 1.0,
        }
    norms = np.linalg.norm(sound, axis=1)
    return {
        "embedding_nan_share": float(1 - finite.mean()),
        "embedding_norm_error": float(np.abs(norms - 1).max()),
        "collapsed_dimension_share": float((sound.std(axis=0) < _COLLAPSED_BELOW).mean()),
    }


def _relevance(
    vectors: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """[q, 10] whether each neighbour is relevant; [q] relevant and [q] all candidates."""
    scores = vectors[rows] @ vectors.T
    own_picture = groups[rows][:, None] == groups[None, :]
    scores[own_picture] = -np.inf
    same_label = (labels[rows][:, None] == labels[None, :]) & ~own_picture
    k = min(K, scores.shape[1])
    top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
    top = np.take_along_axis(top, order, axis=1)
    hits = np.zeros((len(rows), K), bool)
    hits[:, :k] = np.take_along_axis(same_label, top, axis=1)
    return hits, same_label.sum(axis=1), (~own_picture).sum(axis=1)


def _average_precision(
    relevant: npt.NDArray[np.bool_], possible: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """[q] average precision at 10 of [q, 10] hits; 0 where nothing relevant exists."""
    ranks = np.arange(1, relevant.shape[1] + 1)
    precision_at = np.cumsum(relevant, axis=1) / ranks
    total = (precision_at * relevant).sum(axis=1)
    average: npt.NDArray[np.float64] = total / np.maximum(np.minimum(possible, K), 1)
    return average


def _codes(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.unique(np.asarray(texts, dtype=str), return_inverse=True)[1].astype(np.int64)
