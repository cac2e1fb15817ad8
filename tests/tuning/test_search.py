"""A search finds better values, stops poor trials, and goes on where it stopped."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from recsys.errors import BadInput
from recsys.tuning import Real, Report, Search, TrialStopped, Tried, Whole
from recsys.tuning.search import Values

SPACE = {"rate": Real(1e-4, 1e-1), "width": Whole(32, 256, 32)}
FIRST = {"rate": 1e-4, "width": 64}


def opened(folder: Path, seed: int = 1, name: str = "study") -> Search:
    return Search(folder / "studies.db", name, SPACE, seed=seed, first=FIRST)


def quality(values: Values) -> float:
    """1 at a rate of 0.01, less the further from it; a little more for width."""
    return 1 - 0.3 * abs(math.log10(values["rate"]) + 2) + values["width"] / 10_000


def attempt(number: int, values: Values, report: Report) -> float:
    for epoch in (1, 2, 3):
        report(epoch, quality(values) * epoch / 3)
    return quality(values)


def test_the_settings_in_force_are_tried_first_and_something_better_is_found(
    tmp_path: Path,
) -> None:
    search = opened(tmp_path)
    assert search.best is None
    assert search.run(attempt, seconds=60, most=25) is True
    tried = search.trials
    assert tried[0] == Tried(0, FIRST, quality(FIRST), True)
    assert search.best is not None
    assert search.best.value > quality(FIRST) + 0.4
    assert abs(math.log10(search.best.values["rate"]) + 2) < 0.3
    assert all(trial.values["width"] % 32 == 0 for trial in tried)


def test_the_space_is_widened_to_hold_the_settings_in_force(tmp_path: Path) -> None:
    first = {"rate": 0.5, "width": 16}
    search = Search(tmp_path / "studies.db", "study", SPACE, seed=1, first=first)
    search.run(attempt, seconds=60, most=6)
    assert search.trials[0].values == first
    assert all(trial.values["width"] % 16 == 0 for trial in search.trials)


def test_a_rate_of_nought_is_no_place_to_start_from(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot start from 0"):
        Search(tmp_path / "studies.db", "study", SPACE, seed=1, first={"rate": 0, "width": 64})


def test_trials_worse_than_the_median_are_stopped_and_kept(tmp_path: Path) -> None:
    search = opened(tmp_path)
    search.run(attempt, seconds=60, most=20)
    stopped = [trial for trial in search.trials if not trial.finished]
    assert stopped
    assert search.best not in stopped
    assert len(search.trials) == 20


def test_the_same_seed_tries_the_same(tmp_path: Path) -> None:
    tried = []
    for name in ("a", "b"):
        search = opened(tmp_path / name)
        search.run(attempt, seconds=60, most=9)
        tried.append(search.trials)
    assert tried[0] == tried[1]


def test_a_search_goes_on_where_it_stopped_without_repeating_itself(tmp_path: Path) -> None:
    opened(tmp_path).run(attempt, seconds=60, most=3)
    again = opened(tmp_path)
    again.run(attempt, seconds=60, most=3)
    assert [trial.number for trial in again.trials] == list(range(6))
    assert len({trial.values["rate"] for trial in again.trials}) == 6


def test_no_time_means_no_trial_and_a_trial_ends_with_the_time(tmp_path: Path) -> None:
    search = opened(tmp_path)
    search.run(attempt, seconds=0)
    assert search.trials == []
    told: list[str] = []

    def endless(number: int, values: Values, report: Report) -> float:
        epoch = 0
        while True:
            epoch += 1
            try:
                report(epoch, 0.5)
            except TrialStopped as stopped:
                told.append(str(stopped))
                raise

    search.run(endless, seconds=0.05)
    assert "the time was over" in told[-1]


def test_an_interruption_keeps_what_was_tried(tmp_path: Path) -> None:
    def interrupted(number: int, values: Values, report: Report) -> float:
        if number == 2:
            raise KeyboardInterrupt
        return attempt(number, values, report)

    search = opened(tmp_path)
    assert search.run(interrupted, seconds=60) is False
    assert len(search.trials) == 2
    assert search.best is not None


def test_an_error_ends_the_search_and_is_no_trial(tmp_path: Path) -> None:
    def broken(number: int, values: Values, report: Report) -> float:
        raise BadInput("no labels")

    search = opened(tmp_path)
    with pytest.raises(BadInput, match="no labels"):
        search.run(broken, seconds=60)
    assert search.trials == []


def test_values_that_are_no_numbers_stop_the_trial_only(tmp_path: Path) -> None:
    def diverging(number: int, values: Values, report: Report) -> float:
        report(1, math.nan)
        return 0.0

    search = opened(tmp_path)
    assert search.run(diverging, seconds=60, most=2) is True
    assert search.best is None


def test_what_a_killed_search_left_open_is_closed_by_the_next(tmp_path: Path) -> None:
    program = f"""
import os, signal, sys
sys.path[:0] = {[str(Path(__file__).parents[1])]!r}
from tuning.test_search import *
def killed(number, values, report):
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return attempt(number, values, report)
opened(Path({str(tmp_path)!r})).run(killed, seconds=60)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    search = opened(tmp_path)
    search.run(attempt, seconds=60, most=1)
    assert [trial.number for trial in search.trials] == [0, 2]


def test_one_search_at_a_time(tmp_path: Path) -> None:
    def second(number: int, values: Values, report: Report) -> float:
        with pytest.raises(BadInput, match="another search is running"):
            opened(tmp_path).run(attempt, seconds=60)
        return 0.5

    assert opened(tmp_path).run(second, seconds=60, most=1)


def test_studies_and_their_notes_are_apart(tmp_path: Path) -> None:
    opened(tmp_path, name="one").note("run", "abc")
    opened(tmp_path, name="one").run(attempt, seconds=60, most=1)
    assert opened(tmp_path, name="one").notes == {"run": "abc"}
    assert opened(tmp_path, name="two").notes == {}
    assert opened(tmp_path, name="two").trials == []
