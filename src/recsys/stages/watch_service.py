"""Read the service's request log into a report and gate it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd

from recsys import monitoring, names
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.report import ServiceReport
from recsys.serving.sample import forget_old
from recsys.stages.find_release import find_live_release
from recsys.stages.judge import judge
from recsys.stages.night import Night
from recsys.stages.task import Task, suite_digest

_WINDOW = timedelta(hours=1)


def run(night: Night) -> Receipt:
    """Commit the figures of the last hour, or refuse them: then somebody must look.

    What is too old in the sample of requests goes on this occasion.
    """
    forget_old(night.settings.serving_dir, night.settings.sample_days)
    live = find_live_release(night)
    until = datetime.now(UTC)
    since = until - _WINDOW
    figures = monitoring.service_figures(
        night.settings.serving_dir / "requests", since=since, until=until
    )
    parameters = {"until": until.isoformat(), **suite_digest(night, names.SUITE_SERVICE)}
    task = Task(night, "watch_service", [live.ref], parameters, rooms=("monitoring", "gates"))
    verdict = judge(night, names.SUITE_SERVICE, pd.DataFrame([figures]), subject=live.ref)
    return task.publish(
        ServiceReport(live.ref, since.isoformat(), until.isoformat(), figures, verdict)
    )
