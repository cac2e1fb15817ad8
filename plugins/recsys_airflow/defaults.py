"""The task defaults that every DAG of the house starts from."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

OWNER = "recommendations"
TAGS = ("recsys",)

# How long after its time a scheduled run may still be made. The timetable has no start
# date: with one in the past, un-pausing a DAG would at once make the run of last night.
# Not zero: a DAG file parsed between the cron second and the scheduler's next look would
# move the first night to tomorrow.
GRACE = timedelta(minutes=2)


def task_defaults(execution_timeout: timedelta) -> dict[str, Any]:
    """Owner, two retries a minute and more apart, and how long one try may run."""
    return {
        "owner": OWNER,
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=10),
        "execution_timeout": execution_timeout,
    }
