"""Tonight's delivery: store it, measure it, let it through or refuse it.

Runs every night (`RECSYS_NIGHT_CRON` in `RECSYS_TIMEZONE`). What comes out wakes
`retrain_model`.

If you are paged:

- `snapshot_catalog` fails: the delivery is missing, unsafe or in no layout we know; the
  message names the file. Have it delivered again, then clear the task.
- `measure_catalog` fails: rows or pictures could not be measured at all. A bad product
  never fails it; it goes into quarantine (`recsys quarantine list`).
- `validate_catalog` fails: the gate refused the delivery. The message lists what did not
  hold, the night's Data Docs show the rows, `recsys quarantine sheet` the pictures. The
  shop still gets yesterday's release. Do not raise the gate to make it green.
- Anything else was tried three times: look at the disk and the store first.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset, CronTriggerTimetable

from recsys import names
from recsys.settings import load_settings
from recsys_airflow.defaults import GRACE, TAGS, task_defaults
from recsys_airflow.operators import StageOperator

settings = load_settings()

with DAG(
    dag_id=names.DAG_VALIDATE,
    description="Snapshot the delivery, measure it, gate it.",
    doc_md=__doc__,
    schedule=CronTriggerTimetable(
        settings.night_cron, timezone=settings.timezone, run_immediately=GRACE
    ),
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(execution_timeout=timedelta(hours=2)),
    tags=TAGS,
):
    snapshot = StageOperator(
        task_id="snapshot_catalog",
        stage="snapshot_catalog",
        doc_md="The delivered bytes, committed as they came, before anybody judges them.",
    )
    measure = StageOperator(
        task_id="measure_catalog",
        stage="measure_catalog",
        receipts={"snapshot_catalog": snapshot.output},
        doc_md="Every row and new picture measured; bad products set aside with a reason.",
    )
    validate = StageOperator(
        task_id="validate_catalog",
        stage="validate_catalog",
        receipts={"measure_catalog": measure.output},
        outlets=[Asset(names.ASSET_VALIDATED_CATALOG)],
        doc_md="The suites `delivery`, `products` and `drift` judge the night.",
    )
