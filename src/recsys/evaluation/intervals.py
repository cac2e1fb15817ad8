"""How sure a mean or a share is: 95 % intervals."""

from __future__ import annotations

from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 2_000
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
# Draws held at a time: 32 MB of them.
_BLOCK_DRAWS = 4_000_000

_Floats = npt.NDArray[np.float64]


def wilson_interval(successes: npt.ArrayLike, trials: npt.ArrayLike) -> tuple[_Floats, _Floats]:
    """Low and high of a share, for counts of any one shape; [0, 1] where nothing was tried.

    Wilson (1927): sound for few trials and for shares of 0 and 1, other than the normal one.
    """
    hits = np.asarray(successes, np.float64)
    tried = np.asarray(trials, np.float64)
    count = np.maximum(tried, 1)
    share = hits / count
    middle = share + _Z**2 / (2 * count)
    reach = _Z * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    scale = 1 + _Z**2 / count
    low = np.where(tried > 0, (middle - reach) / scale, 0.0)
    high = np.where(tried > 0, (middle + reach) / scale, 1.0)
    return low.clip(0, 1), high.clip(0, 1)


def bootstrap_means(
    values: _Floats,
    clusters: npt.NDArray[np.int64],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> tuple[_Floats, _Floats]:
    """Low and high of the mean of every column, by the percentile bootstrap.

    The columns share their resamples. Queries that show one picture answer alike, so whole
    clusters of them are drawn. A resample without a value of a column has that column's
    mean.

    Parameters
    ----------
    values
        [q, m]; NaN where a query has no value in a column. A column without any gives NaN.
    clusters
        [q] codes from 0: queries that are drawn together.
    seed
        The same seed, the same intervals.
    """
    there = ~np.isnan(values)
    groups = int(clusters.max()) + 1
    sums, counts = np.zeros((2, groups, values.shape[1]))
    np.add.at(sums, clusters, np.where(there, values, 0.0))
    np.add.at(counts, clusters, there)
    mean = _ratio(sums.sum(axis=0), counts.sum(axis=0), np.full(values.shape[1], np.nan))
    random = np.random.default_rng(seed)
    block = max(1, _BLOCK_DRAWS // groups)
    means = np.concatenate(
        [
            _resampled(sums, counts, mean, min(block, resamples - start), random)
            for start in range(0, resamples, block)
        ]
    )
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high


def _resampled(
    sums: _Floats, counts: _Floats, mean: _Floats, times: int, random: np.random.Generator
) -> _Floats:
    """[times, m] means of the columns, each over clusters drawn with replacement."""
    groups = len(sums)
    draws = random.integers(0, groups, (times, groups)) + groups * np.arange(times)[:, None]
    weights = np.bincount(draws.ravel(), minlength=times * groups).reshape(times, groups)
    drawn = weights.astype(np.float64)
    return _ratio(drawn @ sums, drawn @ counts, mean)


def _ratio(part: _Floats, whole: _Floats, empty: _Floats) -> _Floats:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), empty)
