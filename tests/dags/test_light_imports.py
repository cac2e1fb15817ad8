"""The DAG processor imports every DAG file again and again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = (
    "tensorflow", "keras", "faiss", "great_expectations", "mlflow", "sklearn", "pandas",
    "ai_edge_litert", "matplotlib", "openlineage",
)  # fmt: skip

IMPORT_ALL = """
import importlib.util, json, sys, time
from pathlib import Path
import airflow.sdk
from airflow.sdk import DAG, Asset, CronTriggerTimetable, BaseOperator
begun = time.perf_counter()
for path in sorted(Path("dags").glob("*.py")):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
seconds = time.perf_counter() - begun
print(json.dumps([seconds, sorted({name.split(".")[0] for name in sys.modules})]))
"""


def test_dag_files_load_nothing_heavy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL],
        cwd=ROOT,
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "plugins")},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    seconds, loaded = json.loads(done.stdout.splitlines()[-1])
    assert [name for name in HEAVY if name in loaded] == []
    # Half a second on two idle cores, beside Airflow itself; a heavy library takes 5 to 25.
    assert seconds < 5
