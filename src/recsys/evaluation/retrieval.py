"""Held-out queries against the whole rest of the catalog: one pass, every relevance.

The query itself and every product of its group of duplicates are left out: finding them is
no merit. A query for which the catalog holds nothing relevant has no figure, and is left
out of the means.

Formulae as in Manning, Raghavan and Schütze, *Introduction to Information Retrieval*,
chapter 8, with gains of 0 and 1; average precision and the ideal of nDCG suppose
``min(k, relevant products)`` relevant results, as many as k slots can hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.errors import BadInput
from recsys.evaluation.health import embedding_health
from recsys.evaluation.nearest import Groups, K, nearest_products
from recsys.evaluation.relevance import MAIN

_DISCOUNTS = 1 / np.log2(np.arange(2, K + 2))
_IDEAL = np.concatenate([[0.0], np.cumsum(_DISCOUNTS)])

_Rows = npt.NDArray[np.int64]
_Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Retrieval:
    """How well one model's neighbours answer the queries.

    ``figures``, of each relevance under its suffix: precision_at_10, recall_at_10,
    hit_rate_at_10, ndcg_at_10, map_at_10 in [0, 1], higher is better;
    chance_precision_at_10 and chance_ndcg_at_10, what random neighbours would reach on
    average; queries_left_out, those with nothing relevant to find. Also those of
    `embedding_health`.

    ``ndcg`` is [q] by suffix, ``precision`` [q] of the main relevance; NaN where a query
    was left out. ``neighbours`` is [q, 10] rows of the catalog, the nearest first, -1
    where there are no more.
    """

    figures: dict[str, float]
    ndcg: dict[str, _Shares]
    precision: _Shares
    neighbours: _Rows


def evaluate_retrieval(
    vectors: npt.NDArray[np.float32],
    relevances: Mapping[str, npt.NDArray[np.int64]],
    query_rows: npt.NDArray[np.int64],
    *,
    groups: Sequence[str],
) -> Retrieval:
    """Ask every query row for its ten nearest products, exactly.

    Parameters
    ----------
    vectors
        [n, dimension] float32, unit norm; a memory map is fine.
    relevances
        As `relevances` gives them: by suffix, [n] codes.
    query_rows
        [q] rows of ``vectors``, products that the model was not trained on.
    groups
        [n] products of one group share one picture and do not count for each other.

    Raises
    ------
    BadInput
        No query, lengths that differ, or no query that shares its type with a product.
    """
    if len(query_rows) == 0:
        raise BadInput("evaluation: there is no held-out product to ask for")
    lengths = {len(vectors), len(groups), *(len(codes) for codes in relevances.values())}
    if len(lengths) != 1:
        raise BadInput(f"evaluation: vectors, groups and relevances of lengths {sorted(lengths)}")
    own = Groups.of(groups)
    sound = np.nan_to_num(np.asarray(vectors))
    neighbours, _ = nearest_products(sound, sound[query_rows], query_rows, own)
    candidates = len(vectors) - own.sizes[own.codes[query_rows]]
    answers = {
        suffix: _answers(codes, query_rows, own, neighbours, candidates)
        for suffix, codes in relevances.items()
    }
    answered = {suffix: found for suffix, found in answers.items() if found.asked.any()}
    if MAIN not in answered:
        raise BadInput(
            f"evaluation: none of {len(query_rows)} held-out products shares its type with"
            " another product; a larger catalog is needed"
        )
    figures = embedding_health(vectors)
    for suffix, found in answered.items():
        figures |= {f"{name}{suffix}": value for name, value in found.means().items()}
    ndcg = {suffix: found.of_query["ndcg_at_10"] for suffix, found in answered.items()}
    precision = answered[MAIN].of_query["precision_at_10"]
    return Retrieval(figures, ndcg, precision, neighbours)


@dataclass(frozen=True)
class _Answers:
    """Figures of each query by one relevance; ``asked`` [q] says for which there are any."""

    of_query: dict[str, _Shares]
    asked: npt.NDArray[np.bool_]

    def means(self) -> dict[str, float]:
        means = {name: float(each[self.asked].mean()) for name, each in self.of_query.items()}
        return {**means, "queries_left_out": float((~self.asked).sum())}


def _answers(
    codes: _Rows, query_rows: _Rows, own: Groups, neighbours: _Rows, candidates: _Rows
) -> _Answers:
    wanted = codes[query_rows]
    hits = (codes[neighbours] == wanted[:, None]) & (neighbours >= 0)
    possible = np.bincount(codes[codes >= 0], minlength=1)[wanted]
    position, members = own.members(query_rows)
    possible -= np.bincount(position[codes[members] == wanted[position]], minlength=len(wanted))
    asked = (wanted >= 0) & (possible > 0)
    slots = np.minimum(possible, K).clip(min=1)
    precision_at = np.cumsum(hits, axis=1) / np.arange(1, K + 1)
    chance = possible / np.maximum(candidates, 1)
    of_query = {
        "precision_at_10": hits.mean(axis=1),
        "recall_at_10": hits.sum(axis=1) / possible.clip(min=1),
        "hit_rate_at_10": hits.any(axis=1).astype(np.float64),
        # Added up in the order of the ideal, so that the best possible is 1 exactly.
        "ndcg_at_10": np.cumsum(hits * _DISCOUNTS, axis=1)[:, -1] / _IDEAL[slots],
        "map_at_10": (precision_at * hits).sum(axis=1) / slots,
        "chance_precision_at_10": chance,
        "chance_ndcg_at_10": chance * _IDEAL[np.minimum(candidates, K)] / _IDEAL[slots],
    }
    return _Answers({name: np.where(asked, each, np.nan) for name, each in of_query.items()}, asked)
