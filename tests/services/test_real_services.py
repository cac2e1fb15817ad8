"""The real Airflow, MLflow and Seldon: started, on loopback only, and gone without a trace."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pytest

from recsys import names
from recsys.services import (
    AirflowClient,
    Service,
    ServiceStatus,
    airflow_login,
    local_services,
    start_serving,
    status,
)
from recsys.services.control import start_services, stop_services
from recsys.settings import Settings, load_settings
from services.stand_ins import marked

TOKEN = "hush-4711-bright-orange"
ALL_DAGS = (*names.NIGHT_DAGS, names.DAG_WATCH_RELEASE, names.DAG_WATCH)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(probe.getsockname()[1]) for probe in probes]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    airflow, mlflow, seldon = free_ports(3)
    return load_settings(
        state_dir=tmp_path_factory.mktemp("state"),
        airflow_port=airflow,
        mlflow_port=mlflow,
        seldon_port=seldon,
        airflow_parallelism=1,
        pachd_token=TOKEN,
    )


@pytest.fixture(scope="module")
def services(settings: Settings) -> Sequence[Service]:
    return local_services(settings)


@pytest.fixture(scope="module")
def started(settings: Settings, services: Sequence[Service]) -> Iterator[list[ServiceStatus]]:
    try:
        yield start_services(settings, services)
    finally:
        stop_services(settings, services)
        assert marked(settings) == []


@pytest.fixture
def airflow(settings: Settings, started: list[ServiceStatus]) -> Iterator[AirflowClient]:
    with AirflowClient(settings) as client:
        yield client


def test_every_service_gets_healthy(started: list[ServiceStatus]) -> None:
    assert [state.name for state in started] == [
        "airflow-api-server",
        "airflow-scheduler",
        "airflow-dag-processor",
        "mlflow",
        "seldon",
        "keeper",
    ]
    assert all(state.healthy for state in started)


def test_nothing_listens_beyond_loopback(settings: Settings, started: list[ServiceStatus]) -> None:
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for process in marked(settings)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {
        ("127.0.0.1", settings.airflow_port),
        ("127.0.0.1", settings.mlflow_port),
        ("127.0.0.1", settings.seldon_port),
    }


def test_all_dags_are_parsed_and_the_next_night_is_to_come(
    settings: Settings, airflow: AirflowClient
) -> None:
    airflow.unpause(ALL_DAGS)
    time.sleep(3)  # three looks of the scheduler
    for dag in ALL_DAGS:
        assert get(settings, f"dags/{dag}/dagRuns")["total_entries"] == 0, dag
    planned = get(settings, f"dags/{names.DAG_VALIDATE}")["next_dagrun_run_after"]
    assert datetime.fromisoformat(planned) > datetime.now(UTC)


def test_a_task_runs_and_bad_input_is_not_tried_again(airflow: AirflowClient) -> None:
    airflow.unpause([names.DAG_WATCH])
    run = airflow.trigger(names.DAG_WATCH)
    deadline = time.monotonic() + 120
    while airflow.run_state(names.DAG_WATCH, run) not in ("success", "failed"):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    (task,) = airflow.tasks(names.DAG_WATCH, run)
    assert (task.state, task.attempt) == ("failed", 1)
    log = airflow.log(task)
    assert log.error_type == "ReleaseUnknown"
    assert "no release is live yet" in log.reason


def test_the_web_ui_links_to_mlflow(settings: Settings, started: list[ServiceStatus]) -> None:
    plugins = {plugin["name"]: plugin for plugin in get(settings, "plugins")["plugins"]}
    (view,) = plugins["recsys"]["external_views"]
    assert view["href"].startswith(f"http://127.0.0.1:{settings.mlflow_port}/#/models/")
    assert get(settings, "plugins/importErrors")["total_entries"] == 0


def test_the_web_ui_knows_the_connection_type_of_pachyderm(
    settings: Settings, started: list[ServiceStatus]
) -> None:
    providers = {provider["package_name"] for provider in get(settings, "providers")["providers"]}
    assert "recsys-airflow" in providers


def test_the_token_stands_in_no_file_and_no_command(
    settings: Settings, started: list[ServiceStatus]
) -> None:
    assert TOKEN not in str([process.cmdline() for process in marked(settings)])
    files = [path for path in settings.state_dir.rglob("*") if path.is_file()]
    assert settings.run_dir / "mlflow.json" in files
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []


def test_a_second_start_finds_all_running(
    settings: Settings, services: Sequence[Service], started: list[ServiceStatus]
) -> None:
    begun = time.monotonic()
    again = start_services(settings, services)
    assert [state.pid for state in again] == [state.pid for state in started]
    assert time.monotonic() - begun < 10


def test_a_service_that_was_killed_comes_back_by_itself_and_is_told_of(
    settings: Settings, started: list[ServiceStatus]
) -> None:
    (seldon,) = [state for state in started if state.name == "seldon"]
    assert seldon.pid is not None
    psutil.Process(seldon.pid).kill()
    deadline = time.monotonic() + 30
    while (again := state_of(settings, "seldon")).pid in (None, seldon.pid) or not again.healthy:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert again.restarts == 1
    assert again.trouble == "it ended"


def test_without_the_keeper_a_killed_service_is_mended_by_the_next_start(
    settings: Settings, started: list[ServiceStatus]
) -> None:
    before = {name: state_of(settings, name) for name in ("keeper", "seldon")}
    for state in before.values():
        assert state.pid is not None
        psutil.Process(state.pid).kill()
    deadline = time.monotonic() + 10
    while any(state_of(settings, name).running for name in before):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for again in start_serving(settings):
        assert again.healthy
        assert again.pid != before[again.name].pid


def state_of(settings: Settings, name: str) -> ServiceStatus:
    (state,) = [state for state in status(settings) if state.name == name]
    return state


def get(settings: Settings, path: str) -> dict[str, object]:
    url = f"http://127.0.0.1:{settings.airflow_port}"
    user, password = airflow_login(settings)
    login = httpx.post(f"{url}/auth/token", json={"username": user, "password": password})
    headers = {"Authorization": f"Bearer {login.json()['access_token']}"}
    answer: dict[str, object] = httpx.get(f"{url}/api/v2/{path}", headers=headers).json()
    return answer


def test_the_state_folder_can_hold_any_name(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path / "night & day")
    assert {service.name for service in local_services(settings)} >= {"mlflow", "seldon"}
