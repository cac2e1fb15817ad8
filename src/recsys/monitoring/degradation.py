"""A release in its first time with shoppers beside the one before it, by the request log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import numpy as np

from recsys.monitoring.figures import LogReader
from recsys.monitoring.sequential import Counts, highest_honest_share, is_higher

Line = Mapping[str, Any]
_SLOW_ABOVE: Final = 95  # percentile of the time before
# Slower by less than this and by less than half is a busy machine.
_SLOWER_MS: Final = 10.0
_SLOWER_SHARE: Final = 0.5


@dataclass(frozen=True)
class _Sign:
    """Something that may be wrong with a request, and by how much its share may honestly rise."""

    name: str
    margin: float
    concerns: Callable[[Line], bool]
    shows: Callable[[Line], bool]

    def count(self, lines: Iterable[Line], so_far: Counts) -> Counts:
        """With these lines as well."""
        shown = [self.shows(line) for line in lines if self.concerns(line)]
        return Counts(so_far.hits + sum(shown), so_far.requests + len(shown))


def _answered(line: Line) -> bool:
    return bool(line["status_code"] == HTTPStatus.OK)


_SIGNS: Final = (
    _Sign("errors", 0.02, lambda _: True, lambda line: line["status_code"] >= 500),
    _Sign(
        "unknown products",
        0.05,
        lambda line: line["status_code"] in (HTTPStatus.OK, HTTPStatus.NOT_FOUND),
        lambda line: not _answered(line),
    ),
    _Sign("empty answers", 0.02, _answered, lambda line: 0 in line["results"]),
    _Sign("underfilled answers", 0.1, _answered, lambda line: line["underfilled"] > 0),
)
_TIMED: Final = ("id", "image")
_SLOW_MARGIN: Final = 0.15


@dataclass(frozen=True)
class Change:
    """One sign before and after a release went live; ``honest`` is the highest share allowed."""

    sign: str
    before: Counts
    after: Counts
    honest: float
    worse: bool

    @property
    def said(self) -> str:
        """In words, for whoever is paged."""
        return (
            f"{self.sign}: {self.after.hits} of {self.after.requests} requests"
            f" ({self.after.share:.1%}), before {self.before.hits} of {self.before.requests}"
            f" ({self.before.share:.1%}; honest is up to {self.honest:.1%})"
        )


class Degradation:
    """Compares what ``release`` answered since ``since`` with what ``previous`` answered before.

    Parameters
    ----------
    requests_dir
        Folder of the request log.
    since
        When the release went live; aware.
    baseline
        How long before that requests count.
    false_alarm
        Chance that any of the signs is called worse though none is; see
        `recsys.monitoring.sequential`.
    """

    def __init__(
        self,
        requests_dir: Path,
        release: str,
        previous: str,
        since: datetime,
        baseline: timedelta,
        false_alarm: float,
    ) -> None:
        self._log = LogReader(requests_dir)
        self._release = release
        self._since = since
        before = LogReader(requests_dir).new_lines(since - baseline, since)
        lines = [line for line in before if _is_of(line, previous)]
        self._signs = (*_SIGNS, *_slow_signs(lines))
        self._alpha = false_alarm / len(self._signs)
        self._before = [sign.count(lines, Counts()) for sign in self._signs]
        self._after = [Counts()] * len(self._signs)

    @property
    def requests(self) -> tuple[int, int]:
        """How many were seen, before and after."""
        return self._before[0].requests, self._after[0].requests

    def look(self, until: datetime) -> list[Change]:
        """Every sign, with what the log has got since the last look; none from ``until`` on."""
        lines = [
            line for line in self._log.new_lines(self._since, until) if _is_of(line, self._release)
        ]
        self._after = [
            sign.count(lines, so_far) for sign, so_far in zip(self._signs, self._after, strict=True)
        ]
        return [
            Change(
                sign.name,
                before,
                after,
                highest_honest_share(before, sign.margin, self._alpha / 2),
                is_higher(before, after, sign.margin, self._alpha),
            )
            for sign, before, after in zip(self._signs, self._before, self._after, strict=True)
        ]


def _is_of(line: Line, release: str) -> bool:
    """Whether a release answered, or something failed before one was reached."""
    failed_early = line["release"] is None and line["status_code"] >= 500
    return bool(line["release"] == release or failed_early)


def _slow_signs(before: Iterable[Line]) -> list[_Sign]:
    """By kind, requests that take longer than 19 in 20 did; none of a kind that nobody asked."""
    lines = list(before)
    return [
        _slow_sign(kind, took)
        for kind in _TIMED
        if (
            took := [
                line["milliseconds"] for line in lines if _answered(line) and line["kind"] == kind
            ]
        )
    ]


def _slow_sign(kind: str, took: list[float]) -> _Sign:
    usual = float(np.percentile(took, _SLOW_ABOVE, method="higher"))
    slow = usual + max(_SLOWER_MS, _SLOWER_SHARE * usual)
    return _Sign(
        f"slow {kind} queries (above {slow:.0f} ms)",
        _SLOW_MARGIN,
        lambda line: _answered(line) and line["kind"] == kind,
        lambda line: bool(line["milliseconds"] > slow),
    )
