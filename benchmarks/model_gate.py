"""How often the gate against the champion errs, by simulation on a real night's queries.

    python benchmarks/model_gate.py .recsys              # a state folder after a night

Two rivals of equal worth are made of the night's vectors by adding noise to each; their
differences, query by query, are the population. Out of it so many queries are drawn with
replacement as a catalog would have, shifted by a change that is then the true one, and put
before the rules: the upper end of the interval below one margin, or the mean below another,
for any of the four relevances. For slices the differences get random signs, so that no slice
truly changed, and one slice at a time is lowered.

Prints JSON lines: ``refused`` is the share of trials that would be refused, which is wrong
where the true ``change`` is 0 and right where it is not.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recsys import evaluation
from recsys.artifacts.model import TrainedModel
from recsys.evaluation.intervals import bootstrap_means
from recsys.settings import load_settings
from recsys.stages.embedding_coverage import newest_embeddings
from recsys.stages.feature_store import open_embeddings
from recsys.stages.frozen_queries import FrozenQueries
from recsys.stages.night import Night

_Floats = npt.NDArray[np.float64]
_QUERIES = (24, 72, 150, 400, 1_000, 4_000)
_CHANGES = (0.0, -0.01, -0.015, -0.02, -0.03, -0.05, -0.1)
_FALLS = (0.0, -0.1, -0.2, -0.3, -0.4)
_SIZES = ((30, 60), (60, 150), (150, 5_000))


def rivals(night: Night, noise: float, seed: int) -> tuple[FrozenQueries, _Floats]:
    """The queries, and [q, 4] differences in nDCG of two equally disturbed models."""
    model = night.newest("train_model", TrainedModel)
    if model is None:
        raise SystemExit("no model there: run a night first")
    queries = FrozenQueries.of(night, model)
    embeddings = newest_embeddings(night)
    with open_embeddings(night, embeddings.ref, embeddings.artifact.model_digest) as shards:
        vectors = shards.vectors()
    random = np.random.default_rng(seed)
    sides = []
    for _ in range(2):
        moved = vectors + noise * random.normal(size=vectors.shape).astype(np.float32)
        moved /= np.linalg.norm(moved, axis=1, keepdims=True)
        relevances = evaluation.relevances(queries.products)
        found = evaluation.evaluate_retrieval(
            moved, relevances, queries.rows, groups=queries.groups
        )
        sides.append(np.column_stack([found.ndcg[suffix] for suffix in relevances]))
    print(
        json.dumps(
            {
                "ndcg_of_rivals": [np.nanmean(side, axis=0).round(4).tolist() for side in sides],
                "spread_of_differences": np.nanstd(sides[0] - sides[1], axis=0).round(4).tolist(),
            }
        )
    )
    return queries, sides[0] - sides[1]


def simulate_change(
    differences: _Floats, trials: int, resamples: int, sure: float, mean: float
) -> None:
    """Print how often each rule refuses, by number of queries and true change."""
    centred = differences - np.nanmean(differences, axis=0)
    random = np.random.default_rng(1)
    for count in _QUERIES:
        highs, means = [], []
        for trial in range(trials):
            drawn = centred[random.integers(0, len(centred), count)]
            _, high = bootstrap_means(drawn, np.arange(count), seed=trial, resamples=resamples)
            highs.append(high)
            means.append(np.nanmean(drawn, axis=0))
        for change in _CHANGES:
            # A shift of all values shifts mean and interval by as much.
            surely = (np.array(highs) + change < -sure).any(axis=1)
            by_mean = (np.array(means) + change < -mean).any(axis=1)
            print(
                json.dumps(
                    {
                        "queries": count,
                        "change": change,
                        "refused": round(float((surely | by_mean).mean()), 4),
                        "surely": round(float(surely.mean()), 4),
                        "by_mean": round(float(by_mean.mean()), 4),
                        "one_relevance": round(
                            float((np.array(highs)[:, 0] + change < -sure).mean()), 4
                        ),
                    }
                ),
                flush=True,
            )


def simulate_slices(
    queries: FrozenQueries, difference: _Floats, trials: int, resamples: int, margin: float
) -> None:
    """Print how often any slice is refused that did not fall, and one that did."""
    rows = queries.products.iloc[queries.rows]
    none = rows[[]].assign(brightness=np.random.default_rng(0).uniform(size=len(rows)))
    masks = np.column_stack(list(evaluation.find_slices(rows, none).values()))
    sizes = masks.sum(axis=0)
    random = np.random.default_rng(2)
    highs = []
    for trial in range(trials):
        signed = difference * random.choice([-1.0, 1.0], len(difference))
        columns = np.where(masks, signed[:, None], np.nan)
        highs.append(bootstrap_means(columns, queries.clusters, seed=trial, resamples=resamples)[1])
    found = np.array(highs)
    any_refused = float((found < -margin).any(axis=1).mean())
    print(json.dumps({"slices": len(sizes), "change": 0.0, "any_refused": any_refused}))
    for least, most in _SIZES:
        among = (sizes >= least) & (sizes < most)
        for fall in _FALLS:
            refused = float((found[:, among] + fall < -margin).mean())
            told = {"slice_queries": [least, most], "change": fall, "refused": round(refused, 4)}
            print(json.dumps(told), flush=True)


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("state", type=Path)
    parser.add_argument("--noise", type=float, default=0.05, help="of each component")
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--resamples", type=int, default=1_000)
    parser.add_argument("--sure", type=float, default=0.01, help="margin of the upper end")
    parser.add_argument("--mean", type=float, default=0.1, help="margin of the mean")
    parser.add_argument("--slice", type=float, default=0.1, help="margin of a slice's upper end")
    asked = parser.parse_args()
    night = Night(load_settings(state_dir=asked.state), "0001-01-01")
    queries, differences = rivals(night, asked.noise, seed=0)
    simulate_change(differences, asked.trials, asked.resamples, asked.sure, asked.mean)
    simulate_slices(queries, differences[:, 0], asked.trials // 2, asked.resamples, asked.slice)


if __name__ == "__main__":
    main()
