"""Watch a release in its first time with shoppers; take it back when it is worse than before."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from recsys import release
from recsys.artifacts.deployment import DeployedRelease
from recsys.artifacts.live import read_live
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.trial import Outcome, WatchedRelease
from recsys.errors import BadInput, ReleaseTakenBack
from recsys.monitoring.degradation import Change, Degradation
from recsys.stages.find_release import find_live_release, find_release
from recsys.stages.night import Night
from recsys.stages.roll_back import roll_back
from recsys.stages.task import Task

_LOG = logging.getLogger(__name__)
WATCH: Final = "the watch"
_ENOUGH_REQUESTS: Final = 50


@dataclass(frozen=True)
class _Promotion:
    """A release, when it went live, and what was live before."""

    release: str
    previous: str | None
    since: datetime


def run(night: Night) -> Receipt:
    """Commit that the release was kept, or roll back to the one before and raise.

    It ends when ``watch_seconds`` since the deployment are over, at once where nothing was live
    before, and as soon as another release is live. Everything that it decides by is in the
    history and in the request log, so one that was cut short goes on where it stopped, and one
    that is run again says what was found.

    Raises
    ------
    ReleaseTakenBack
        The release was worse than the one before, which is live again.
    """
    promotion = _promotion(night)
    found = find_release(night, promotion.release)
    settings = night.settings
    until = promotion.since + timedelta(seconds=settings.watch_seconds)
    task = Task(
        night,
        "watch_release",
        [found.ref],
        {"since": promotion.since.isoformat(), "until": until.isoformat()},
        rooms=("monitoring",),
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    outcome, changes = _watched(night, promotion, until)
    watched = WatchedRelease(
        found.ref,
        promotion.release,
        promotion.previous,
        promotion.since.isoformat(),
        outcome,
        {change.sign: (change.before.share, change.after.share) for change in changes},
    )
    _LOG.info(watched.said)
    return task.publish(watched)


def _promotion(night: Night) -> _Promotion:
    """What the night deployed, or else what is live."""
    if "deploy_release" in night.receipts:
        wanted = night.result_of("deploy_release", DeployedRelease).artifact.release_id
    else:
        wanted = find_live_release(night).artifact.id
    made_live = [
        event
        for event in release.history(night.settings.releases_dir)
        if event.release == wanted and event.event in ("deployed", "rolled_back", "purged")
    ]
    if not made_live:  # before there was a history
        return _Promotion(wanted, None, datetime.now(UTC))
    event = made_live[-1]
    # Whoever put back an earlier release had a reason; there is no way back from there.
    previous = event.previous if event.event == "deployed" else None
    return _Promotion(wanted, previous, datetime.fromisoformat(event.when))


def _watched(night: Night, promotion: _Promotion, until: datetime) -> tuple[Outcome, list[Change]]:
    if promotion.previous is None:
        return "nothing before", []
    settings = night.settings
    degradation = Degradation(
        settings.serving_dir / "requests",
        promotion.release,
        promotion.previous,
        promotion.since,
        timedelta(seconds=settings.watch_baseline_seconds),
        settings.watch_false_alarm,
    )
    while True:
        over = datetime.now(UTC) >= until
        if read_live(settings.releases_dir) != promotion.release:
            return "superseded", []
        changes = degradation.look(until)
        if any(change.worse for change in changes) and not _take_back(night, promotion, changes):
            return "superseded", []
        if over:
            break
        time.sleep(settings.watch_every_seconds)
    enough = min(degradation.requests) >= _ENOUGH_REQUESTS
    return "kept" if enough else "too few requests", changes


def _take_back(night: Night, promotion: _Promotion, changes: list[Change]) -> bool:
    """Roll back and raise; False when another release went live meanwhile.

    Raises
    ------
    ReleaseTakenBack
        It is done.
    """
    why = "; ".join(change.said for change in changes if change.worse)
    previous = str(promotion.previous)
    try:
        roll_back(night, previous, WATCH, why, instead_of=promotion.release)
    except BadInput:
        if read_live(night.settings.releases_dir) != promotion.release:
            return False
        raise
    raise ReleaseTakenBack(
        f"release {promotion.release} was taken back by the watch, {previous} is live again. {why}."
        " The nights keep it until one beats it, or `recsys rollback --lift`"
    )
