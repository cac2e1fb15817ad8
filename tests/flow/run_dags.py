"""Run the DAGs named on the command line by `dag.test()`, in a process of their own.

Airflow reads its configuration when it is imported, so the tests give it an environment
and a process. Prints one JSON object: DAG → task → its state and receipt.
"""

import json
import sys
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag


def main(dag_ids: list[str]) -> None:
    bag = DagBag(Path(__file__).parents[2] / "dags")
    if bag.import_errors:
        sys.exit(str(bag.import_errors))
    found = {}
    for dag_id in dag_ids:
        run = bag.dags[dag_id].test()
        found[dag_id] = {
            task.task_id: {
                "state": str(task.state),
                "receipt": task.xcom_pull(task_ids=task.task_id),
            }
            for task in run.get_task_instances()
        }
    Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[2:])
