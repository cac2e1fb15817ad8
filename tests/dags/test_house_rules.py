"""What holds for every DAG, and how the DAGs are joined."""

from __future__ import annotations

import importlib.util
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.sdk import DAG, Asset, CronTriggerTimetable

from recsys import names
from recsys.stages import NIGHT_STAGES, STAGES
from recsys_airflow.defaults import OWNER
from recsys_airflow.operators import StageOperator

DAGS = Path(__file__).parents[2] / "dags"
DAG_FILES = sorted(DAGS.glob("*.py"))
ALL_DAGS = (*names.NIGHT_DAGS, names.DAG_WATCH_RELEASE, names.DAG_WATCH)


def load(path: Path) -> DAG:
    spec = importlib.util.spec_from_file_location(f"dag_file_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (dag,) = [value for value in vars(module).values() if isinstance(value, DAG)] or [
        next(v for v in vars(module).values() if isinstance(v, StageOperator)).dag
    ]
    return dag


@pytest.fixture(scope="module")
def dags() -> dict[str, DAG]:
    return {dag.dag_id: dag for dag in map(load, DAG_FILES)}


def stages(dag: DAG) -> list[StageOperator]:
    tasks = [task for task in dag.topological_sort() if isinstance(task, StageOperator)]
    assert len(tasks) == len(dag.tasks)
    return tasks


def test_each_dag_has_a_file_of_its_own_name(dags: dict[str, DAG]) -> None:
    assert {path.stem for path in DAG_FILES} == set(dags) == set(ALL_DAGS)


@pytest.mark.parametrize("dag_id", ALL_DAGS)
def test_a_dag_runs_once_at_a_time_and_never_catches_up(dags: dict[str, DAG], dag_id: str) -> None:
    dag = dags[dag_id]
    assert dag.catchup is False
    assert dag.max_active_runs == 1
    assert dag.tags


@pytest.mark.parametrize("dag_id", ALL_DAGS)
def test_a_dag_tells_the_person_who_is_paged_what_to_do(dags: dict[str, DAG], dag_id: str) -> None:
    dag = dags[dag_id]
    assert dag.description
    assert dag.doc_md is not None
    assert "If you are paged" in dag.doc_md
    for task in dag.tasks:
        assert task.doc_md
        if len(dag.tasks) > 1:
            assert task.task_id in dag.doc_md or task.task_id == "split_catalog"


@pytest.mark.parametrize("dag_id", ALL_DAGS)
def test_a_task_has_an_owner_retries_and_a_time_limit(dags: dict[str, DAG], dag_id: str) -> None:
    for task in stages(dags[dag_id]):
        assert task.owner == OWNER
        assert task.retries == 2
        assert task.retry_delay <= timedelta(minutes=5)
        assert task.execution_timeout is not None
        assert timedelta() < task.execution_timeout <= timedelta(hours=6)
        assert task.stage in STAGES
        assert task.task_id == task.stage


def test_a_dag_file_is_a_table_of_contents() -> None:
    for path in DAG_FILES:
        text = path.read_text()
        assert len(text.splitlines()) <= 90, path
        assert "def " not in text, path
        assert "import_module" not in text, path


def test_the_night_runs_every_stage_once_in_order(dags: dict[str, DAG]) -> None:
    ran = [task.stage for dag_id in names.NIGHT_DAGS for task in stages(dags[dag_id])]
    assert ran == list(NIGHT_STAGES)


def test_arrows_follow_the_receipts(dags: dict[str, DAG]) -> None:
    for dag in dags.values():
        for task in stages(dag):
            assert task.upstream_task_ids == set(task.receipts)


def test_assets_join_the_dags(dags: dict[str, DAG]) -> None:
    assert wakes(dags[names.DAG_RETRAIN]) == {
        names.ASSET_VALIDATED_CATALOG,
        names.ASSET_DRIFT_ALARM,
    }
    assert wakes(dags[names.DAG_REBUILD]) == {names.ASSET_CHAMPION_MODEL}
    assert wakes(dags[names.DAG_REDEPLOY]) == {names.ASSET_PRODUCT_INDEX}
    assert wakes(dags[names.DAG_WATCH_RELEASE]) == {names.ASSET_LIVE_RELEASE}
    assert {dag_id: emits(dag) for dag_id, dag in dags.items()} == {
        names.DAG_VALIDATE: {names.ASSET_VALIDATED_CATALOG},
        names.DAG_RETRAIN: {names.ASSET_CHAMPION_MODEL},
        names.DAG_REBUILD: {names.ASSET_PRODUCT_INDEX},
        names.DAG_REDEPLOY: {names.ASSET_LIVE_RELEASE},
        names.DAG_WATCH_RELEASE: set(),
        names.DAG_WATCH: set(),
    }


def test_retraining_needs_only_one_of_its_assets(dags: dict[str, DAG]) -> None:
    condition = dags[names.DAG_RETRAIN].timetable.asset_condition
    assert type(condition).__name__ == "AssetAny"


def test_only_a_dags_last_task_wakes_the_next(dags: dict[str, DAG]) -> None:
    for dag in dags.values():
        for task in stages(dag):
            assert not (task.outlets and task.downstream_task_ids)


def test_the_schedule_comes_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_NIGHT_CRON", "15 4 * * 1-5")
    monkeypatch.setenv("RECSYS_TIMEZONE", "Europe/Berlin")
    timetable = load(DAGS / f"{names.DAG_VALIDATE}.py").timetable
    assert isinstance(timetable, CronTriggerTimetable)
    assert timetable.expression == "15 4 * * 1-5"
    assert str(timetable.timezone) == "Europe/Berlin"


def test_unpausing_makes_no_run_of_a_night_gone_by(dags: dict[str, DAG]) -> None:
    for dag_id in (names.DAG_VALIDATE, names.DAG_WATCH):
        dag = dags[dag_id]
        assert dag.start_date is None
        assert isinstance(dag.timetable, CronTriggerTimetable)
        assert dag.timetable.run_immediately == timedelta(minutes=2)


def wakes(dag: DAG) -> set[str]:
    condition = dag.timetable.asset_condition
    return {asset.name for asset in condition.objects}


def emits(dag: DAG) -> set[str]:
    outlets = [outlet for task in dag.tasks for outlet in task.outlets]
    return {outlet.name for outlet in outlets if isinstance(outlet, Asset)}
