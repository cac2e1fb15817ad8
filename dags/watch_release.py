"""A release's first time with shoppers: worse than the one before it, it is taken back.

Runs when a release went live, for `RECSYS_WATCH_SECONDS`. It waits in one task, which does next
to nothing; `RECSYS_AIRFLOW_PARALLELISM` must leave room for another.

If you are paged:

- The message begins with "taken back": the release before is live again. It says which share of
  the requests was worse: errors, unknown products, empty, underfilled or slow answers. Ask that
  release yourself, read the service's log. The nights keep what is live until one beats it, or
  `recsys rollback --lift`.
- Anything else was tried three times. The watch decides by the request log and the deployment
  history alone, so that clearing the task goes on where it stopped (`recsys watch` does too).
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset

from recsys import names
from recsys.settings import load_settings
from recsys_airflow.defaults import TAGS, task_defaults
from recsys_airflow.kubernetes import deploy_operator

settings = load_settings()

with DAG(
    dag_id=names.DAG_WATCH_RELEASE,
    description="Watch a release that went live, keep it or roll back.",
    doc_md=__doc__,
    schedule=[Asset(names.ASSET_LIVE_RELEASE)],
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(
        execution_timeout=timedelta(seconds=settings.watch_seconds) + timedelta(minutes=30)
    ),
    tags=TAGS,
):
    watch = deploy_operator(settings)(
        task_id="watch_release",
        stage="watch_release",
        doc_md="A sequential test on the request log, without labels; the way back is a rollback.",
    )
