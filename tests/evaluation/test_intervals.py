"""Intervals, against published and closed-form values, and by how often they hold."""

import numpy as np
import pytest

from recsys.evaluation.intervals import bootstrap_means, wilson_interval


def alone(count: int) -> np.ndarray:
    return np.arange(count)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),  # Brown, Cai and DasGupta (2001): z² / (n + z²)
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (81, 263, 0.2553, 0.3662),  # Newcombe (1998), table I
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_intervals_are_the_published_ones(
    successes: int, trials: int, low: float, high: float
) -> None:
    found = wilson_interval(successes, trials)
    assert [float(end) for end in found] == pytest.approx([low, high], abs=5e-5)


def test_a_bootstrapped_mean_has_the_interval_of_the_normal_theory() -> None:
    values = np.random.default_rng(1).normal(0.3, 0.2, (2_000, 1))
    low, high = bootstrap_means(values, alone(2_000), seed=1)
    reach = 1.96 * values.std() / np.sqrt(2_000)
    assert low[0] == pytest.approx(values.mean() - reach, abs=0.1 * reach)
    assert high[0] == pytest.approx(values.mean() + reach, abs=0.1 * reach)


def test_columns_are_averaged_over_the_queries_that_they_have() -> None:
    values = np.full((50, 3), np.nan)
    values[:, 0] = 1.0
    values[:10, 1] = 0.5
    low, high = bootstrap_means(values, alone(50), seed=1)
    assert [low[0], high[0], low[1], high[1]] == [1, 1, 0.5, 0.5]
    assert np.isnan([low[2], high[2]]).all()


def test_queries_that_are_one_picture_do_not_make_it_surer() -> None:
    values = np.random.default_rng(2).normal(size=(100, 1))
    once = bootstrap_means(values, alone(100), seed=1)
    twice = bootstrap_means(np.repeat(values, 2, axis=0), np.repeat(alone(100), 2), seed=1)
    assert [end.item() for end in twice] == pytest.approx([end.item() for end in once])


def test_the_same_seed_gives_the_same_interval_however_it_is_cut_into_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(3).normal(size=(40, 4))
    first = bootstrap_means(values, alone(40), seed=5)
    monkeypatch.setattr("recsys.evaluation.intervals._BLOCK_DRAWS", 40 * 7)
    again = bootstrap_means(values, alone(40), seed=5)
    assert np.allclose(first, again, rtol=0, atol=1e-12)
    assert not np.allclose(first, bootstrap_means(values, alone(40), seed=6))


def test_intervals_hold_the_true_mean_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(4)
    held = 0
    for trial in range(200):
        values = random.normal(size=(60, 1))
        low, high = bootstrap_means(values, alone(60), seed=trial, resamples=400)
        held += bool(low[0] <= 0 <= high[0])
    assert 0.89 <= held / 200 <= 0.99
