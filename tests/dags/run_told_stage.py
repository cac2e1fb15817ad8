"""Run the DAG `watch_service` by `dag.test()` with a stage that says what it was told.

In a process of its own, because Airflow reads its configuration when it is imported.
"""

import json
import sys
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.log import redact

import recsys.stages
from recsys import names
from recsys.artifacts.receipt import Receipt
from recsys.settings import Settings


def main(report: Path) -> None:
    told: dict[str, Any] = {}

    def run_stage(name: str, settings: Settings, **kwargs: object) -> Receipt:
        token = settings.pachd_token.get_secret_value()
        # What a task's supervisor makes of a line that holds it.
        logged = redact(f"the token is {token}")
        told.update(address=settings.pachd_address, token_length=len(token), logged=logged)
        return Receipt("service_report", f"service_reports@{'a' * 32}", "b" * 64, fresh=True)

    recsys.stages.run_stage = run_stage
    bag = DagBag(Path(__file__).parents[2] / "dags")
    (task,) = bag.dags[names.DAG_WATCH].test().get_task_instances()
    told["state"] = str(task.state)
    report.write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
