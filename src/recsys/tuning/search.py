"""A search that proposes values, stops what does not promise much, and remembers.

Everything that was tried stands in one SQLite file under the study's name, so a search that
was stopped, killed or out of time goes on where it was.
"""

from __future__ import annotations

import fcntl
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.errors import BadInput

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

# Random before the sampler learns, unjudged before the pruner does: some hours on two cores
# are a few tens of trials.
_RANDOM_TRIALS = 6
_UNPRUNED_TRIALS = 4
_UNPRUNED_EPOCHS = 1


@dataclass(frozen=True)
class Real:
    """A number from ``low`` to ``high``, tried evenly on a logarithmic scale."""

    low: float
    high: float


@dataclass(frozen=True)
class Whole:
    """A whole number from ``low`` to ``high`` in steps."""

    low: int
    high: int
    step: int = 1


Values = Mapping[str, Any]
# report(epoch, value): higher is better; raises `TrialStopped` when the trial shall end.
Report = Callable[[int, float], None]
# attempt(number, values, report) → value of the whole trial.
Attempt = Callable[[int, Values, Report], float]
OnTrial = Callable[["Tried"], None]


class TrialStopped(Exception):
    """A trial ends early; the message says why."""


@dataclass(frozen=True)
class Tried:
    """One trial; ``value`` is its last one, NaN when it has none. ``finished``: not stopped."""

    number: int
    values: Values
    value: float
    finished: bool


class Search:
    """A named study in a file; one process at a time."""

    def __init__(
        self,
        storage: Path,
        name: str,
        space: Mapping[str, Real | Whole],
        *,
        seed: int,
        first: Values,
    ) -> None:
        """Open the study, or make it; ``first``, a value for each of the space, is tried first.

        The space is widened to hold ``first``. The sampler's seed follows from ``seed`` and
        what was tried before.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage.parent.mkdir(parents=True, exist_ok=True)
        self._lock = storage.with_suffix(".lock")
        self._space = {key: _distribution(range_, first[key]) for key, range_ in space.items()}
        self._study = optuna.create_study(
            storage=f"sqlite:///{storage}",
            study_name=name,
            load_if_exists=True,
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=_UNPRUNED_TRIALS, n_warmup_steps=_UNPRUNED_EPOCHS
            ),
        )
        tried = len(self._study.trials)
        self._study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=_RANDOM_TRIALS, seed=seed + tried
        )
        if not tried:
            self._study.enqueue_trial({key: first[key] for key in space})

    @property
    def notes(self) -> Mapping[str, str]:
        """What was noted with the study."""
        return {key: str(text) for key, text in self._study.user_attrs.items()}

    def note(self, key: str, text: str) -> None:
        """Keep a text with the study."""
        self._study.set_user_attr(key, text)

    @property
    def trials(self) -> list[Tried]:
        """What was tried and came to a value, in order."""
        tried = [_tried(trial) for trial in self._study.trials]
        return [trial for trial in tried if not math.isnan(trial.value)]

    @property
    def best(self) -> Tried | None:
        """The finished trial with the highest value, or None."""
        finished = [trial for trial in self.trials if trial.finished]
        return max(finished, key=lambda trial: trial.value, default=None)

    def run(
        self,
        attempt: Attempt,
        *,
        seconds: float,
        most: int | None = None,
        on_trial: OnTrial = lambda tried: None,
    ) -> bool:
        """Try one set of values after another until the time is over, or ``most`` were tried.

        A trial under way when the time ends is stopped after its epoch. ``on_trial`` is
        called with each that ended. Returns False when a person interrupted (Ctrl-C); what
        was tried until then is kept.

        Raises
        ------
        BadInput
            Another process is at it.
        """
        until = time.monotonic() + seconds
        tried = 0
        with self._alone():
            while time.monotonic() < until and (most is None or tried < most):
                try:
                    on_trial(self._try_out(attempt, until))
                except KeyboardInterrupt:
                    return False
                tried += 1
        return True

    def _try_out(self, attempt: Attempt, until: float) -> Tried:
        from optuna.trial import TrialState

        trial = self._study.ask(self._space)

        def report(epoch: int, value: float) -> None:
            if not math.isfinite(value):
                raise TrialStopped(f"the value of epoch {epoch} is {value}")
            trial.report(value, epoch)
            if trial.should_prune():
                raise TrialStopped(f"after epoch {epoch} worse than the median of the others")
            if time.monotonic() >= until:
                raise TrialStopped(f"the time was over after epoch {epoch}")

        try:
            value = attempt(trial.number, trial.params, report)
        except TrialStopped:
            return _tried(self._study.tell(trial, state=TrialState.PRUNED))
        except BaseException:
            self._study.tell(trial, state=TrialState.FAIL)
            raise
        return _tried(self._study.tell(trial, value))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock; trials that a killed process left open are closed."""
        from optuna.trial import TrialState

        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadInput(
                    f"another search is running on this machine ({self._lock} is held);"
                    " let it end, or stop it with Ctrl-C"
                ) from None
            for trial in self._study.trials:
                if trial.state == TrialState.RUNNING:
                    self._study.tell(trial.number, state=TrialState.FAIL)
            yield
        finally:
            os.close(handle)


def _distribution(range_: Real | Whole, held: float) -> BaseDistribution:
    """The range, widened to hold a value; steps become as small as it takes to reach it."""
    from optuna.distributions import FloatDistribution, IntDistribution

    if isinstance(range_, Real):
        if held <= 0:
            raise BadInput(f"a search on a logarithmic scale cannot start from {held}")
        return FloatDistribution(min(range_.low, held), max(range_.high, held), log=True)
    value = int(held)
    step = math.gcd(range_.step, value - range_.low)
    return IntDistribution(min(range_.low, value), max(range_.high, value), step=step)


def _tried(trial: FrozenTrial) -> Tried:
    from optuna.trial import TrialState

    last = trial.intermediate_values.get(trial.last_step) if trial.last_step is not None else None
    value = trial.value if trial.value is not None else last
    return Tried(
        trial.number,
        dict(trial.params),
        float("nan") if value is None else float(value),
        trial.state == TrialState.COMPLETE,
    )
