"""The sequential test against plain integration and against simulated shops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recsys.monitoring.sequential import Counts, highest_honest_share, is_higher, log_evidence

ALPHA = 0.05


@pytest.mark.parametrize(("hits", "requests", "honest"), [(0, 5, 0.1), (3, 9, 0.2), (7, 7, 0.5)])
def test_the_evidence_is_the_average_likelihood_ratio(
    hits: int, requests: int, honest: float
) -> None:
    p = np.linspace(honest, 1, 200_001)
    ratio = (p / honest) ** hits * ((1 - p) / (1 - honest)) ** (requests - hits)
    expected = np.trapezoid(ratio, p) / (1 - honest)
    assert log_evidence(hits, requests, honest) == pytest.approx(math.log(expected), abs=1e-6)


def test_nothing_seen_is_no_evidence() -> None:
    assert log_evidence(0, 0, 0.1) == pytest.approx(0)
    assert log_evidence(50, 50, 1.0) == -math.inf


def test_the_highest_honest_share_by_hand() -> None:
    # Of 0 in n, p is excluded at α where (1 − p)^n = α: the "rule of three" at 5 %.
    assert highest_honest_share(Counts(0, 100), 0, ALPHA) == pytest.approx(1 - ALPHA**0.01)
    assert highest_honest_share(Counts(0, 100), 0.02, ALPHA) == pytest.approx(1.02 - ALPHA**0.01)
    assert highest_honest_share(Counts(0, 0), 0.02, ALPHA) == 1
    assert highest_honest_share(Counts(4, 4), 0.02, ALPHA) == 1


def first_alarm(rng: np.random.Generator, before: int, share: float, after: np.ndarray) -> float:
    """After how many requests it is called worse, looking at each; inf if never."""
    seen = Counts(int(rng.binomial(before, share)), before)
    honest = highest_honest_share(seen, 0.02, ALPHA / 2)
    evidence = log_evidence(np.cumsum(after), np.arange(1, len(after) + 1), honest)
    alarms = np.flatnonzero(evidence >= math.log(2 / ALPHA))
    return float(alarms[0] + 1) if len(alarms) else math.inf


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("before", [30, 300])
def test_looking_after_every_request_false_alarms_stay_below_alpha(
    share: float, before: int
) -> None:
    """The share rises by the whole margin, which is the worst that is honest."""
    rng = np.random.default_rng(4)
    shops = 400
    alarms = sum(
        first_alarm(rng, before, share, rng.random(1_000) < share + 0.02) < math.inf
        for _ in range(shops)
    )
    # Three standard deviations above what is allowed of so many shops.
    assert alarms <= shops * ALPHA + 3 * math.sqrt(shops * ALPHA * (1 - ALPHA))


def test_a_real_rise_is_found_soon() -> None:
    rng = np.random.default_rng(5)
    found = [first_alarm(rng, 1_000, 0.01, rng.random(500) < 0.25) for _ in range(200)]
    assert np.quantile(found, 0.99) < 150
    assert is_higher(Counts(10, 1_000), Counts(30, 100), 0.02, ALPHA)
    assert not is_higher(Counts(10, 1_000), Counts(1, 100), 0.02, ALPHA)
