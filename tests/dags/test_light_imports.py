"""The DAG processor imports every DAG file again and again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = (
    "tensorflow", "keras", "faiss", "great_expectations", "mlflow", "sklearn", "pandas",
    "ai_edge_litert", "matplotlib", "openlineage", "kubernetes",
)  # fmt: skip

IMPORT_ALL = """
import importlib.util, json, sys, time
from pathlib import Path
import airflow.sdk
from airflow.sdk import DAG, Asset, CronTriggerTimetable, BaseOperator
begun = time.process_time()
for path in sorted(Path("dags").glob("*.py")):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
seconds = time.process_time() - begun
print(json.dumps([seconds, sorted({name.split(".")[0] for name in sys.modules})]))
"""


ON_A_CLUSTER = {
    "RECSYS_DEPLOY_TARGET": "kubernetes",
    "RECSYS_KUBERNETES_IMAGE": "recsys-seldon@sha256:" + "a" * 64,
    "RECSYS_KUBERNETES_CLAIM": "state",
    "RECSYS_KUBERNETES_CONNECTION": "shop_cluster",
}


@pytest.mark.parametrize("more", [{}, ON_A_CLUSTER], ids=["here", "on a cluster"])
def test_dag_files_load_nothing_heavy(tmp_path: Path, more: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL],
        cwd=ROOT,
        env={
            **os.environ,
            **more,
            "AIRFLOW_HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT / "plugins"),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    seconds, loaded = json.loads(done.stdout.splitlines()[-1])
    assert [name for name in HEAVY if name in loaded] == []
    # Of processor time, beside Airflow itself; a heavy library takes 5 to 25.
    assert seconds < 5
