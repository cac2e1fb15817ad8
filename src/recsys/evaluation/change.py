"""Is this model better or worse than the champion? Both are asked the same queries."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from recsys.evaluation.intervals import bootstrap_means
from recsys.evaluation.relevance import RELEVANCES
from recsys.evaluation.slices import column_means


def ndcg_changes(
    ndcg: Mapping[str, npt.NDArray[np.float64]],
    champion_ndcg: Mapping[str, npt.NDArray[np.float64]],
    clusters: npt.NDArray[np.int64],
    *,
    seed: int,
) -> dict[str, float]:
    """By how much nDCG at 10 changed, of each relevance that both sides answered.

    ``ndcg_at_10<suffix>_change`` with ``_low`` and ``_high``, the 95 % interval of a paired
    bootstrap: the differences of single queries are drawn, so what is hard for both models
    cancels out. Above 0 this model is better.

    Parameters
    ----------
    ndcg, champion_ndcg
        By relevance, [q] of each query, NaN where nothing relevant can be found; as
        `Retrieval` has them.
    clusters
        [q] queries that show one picture.
    """
    suffixes = [suffix for suffix in RELEVANCES if suffix in ndcg and suffix in champion_ndcg]
    if not suffixes:
        return {}
    differences = np.column_stack([ndcg[suffix] - champion_ndcg[suffix] for suffix in suffixes])
    low, high = bootstrap_means(differences, clusters, seed=seed)
    mean = column_means(differences)
    return {
        f"ndcg_at_10{suffix}_change{end}": float(values[position])
        for position, suffix in enumerate(suffixes)
        for end, values in (("", mean), ("_low", low), ("_high", high))
    }
