"""Every hour: what the service did, from its own request log.

It wakes nobody yet: the report is gated by the suite `service`, and a refusal fails the
task, which is the page.

If you are paged:

- A refusal names the figure: errors, latency, or answers that were empty. Ask the service
  yourself (`recsys similar`), then read its log.
- "no release is live yet": the first night has not come through; see `redeploy_service`.
- If only this fails and shoppers are served well, the log's folder is the place to look.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from recsys import names
from recsys.settings import load_settings
from recsys_airflow.defaults import GRACE, TAGS, task_defaults
from recsys_airflow.operators import StageOperator

settings = load_settings()

with DAG(
    dag_id=names.DAG_WATCH,
    description="Request log to a service report, gated.",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 * * * *", timezone=settings.timezone, run_immediately=GRACE),
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(execution_timeout=timedelta(minutes=15)),
    tags=TAGS,
):
    watch = StageOperator(
        task_id="watch_service",
        stage="watch_service",
        doc_md="The last hour's figures, committed with the release they belong to.",
    )
