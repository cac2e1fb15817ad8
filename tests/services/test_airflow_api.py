"""The client against a wire of our own: what Airflow 3.3.2 was seen to answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from recsys import names
from recsys.artifacts.receipt import Receipt
from recsys.errors import ServiceUnavailable
from recsys.services import AirflowClient, airflow_api
from recsys.services.airflow_api import TaskRun
from recsys.settings import load_settings

RECEIPT = Receipt("snapshot", f"catalog@{'1' * 32}", "2" * 64, fresh=True)
LOG = [
    {"event": "STAGE evaluate_model"},
    {
        "event": "Task failed with exception",
        "error_detail": [
            {"exc_type": "AirflowFailException", "exc_value": "recall 0.2 < 0.5"},
            {"exc_type": "GateRefused", "exc_value": "recall 0.2 < 0.5"},
        ],
    },
]


class Wire:
    """A night of one task a DAG; each DAG's run is seen running once, then ended."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.asked: dict[str, int] = {}
        self.unpaused: list[str] = []
        self.triggered = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked[path] = self.asked.get(path, 0) + 1
        if path == "/auth/token":
            return httpx.Response(201, json={"access_token": "t"})
        assert request.headers["Authorization"] == "Bearer t"
        return self.answer(request, path.removeprefix("/api/v2").strip("/").split("/"))

    def answer(self, request: httpx.Request, parts: list[str]) -> httpx.Response:
        match (request.method, *parts):
            case ("GET", "dags", dag):
                # Not parsed yet when first asked.
                first = self.asked[request.url.path] == 1
                return httpx.Response(404 if first else 200, json={"dag_id": dag})
            case ("GET", "importErrors"):
                return httpx.Response(200, json={"import_errors": []})
            case ("PATCH", "dags", dag):
                self.unpaused.append(dag)
                return httpx.Response(200, json={})
            case ("POST", "dags", _, "dagRuns"):
                self.triggered += 1
                return httpx.Response(200, json={"dag_run_id": f"{names.DAG_VALIDATE}+00:00"})
            case ("GET", "assets", "events"):
                return self.events(request)
            case ("GET", "dags", dag, "dagRuns", _):
                return httpx.Response(200, json={"state": self.state(dag, request.url.path)})
            case ("GET", "dags", dag, "dagRuns", run, "taskInstances"):
                return httpx.Response(200, json={"task_instances": [self.task(dag, run)]})
            case ("GET", *_, "xcomEntries", "return_value"):
                return httpx.Response(200, json={"value": RECEIPT.to_data()})
            case ("GET", *_, "logs", _):
                return httpx.Response(200, json={"content": LOG})
        raise AssertionError(f"{request.method} {request.url}")

    def events(self, request: httpx.Request) -> httpx.Response:
        dag = request.url.params["source_dag_id"]
        assert request.url.params["source_run_id"] == f"{dag}+00:00"
        if self.asked[request.url.path] == 1:
            return httpx.Response(500, text="Internal Server Error")
        woken = names.NIGHT_DAGS[names.NIGHT_DAGS.index(dag) + 1]
        made = [{"dag_id": "other", "run_id": "x"}, {"dag_id": woken, "run_id": f"{woken}+00:00"}]
        return httpx.Response(200, json={"asset_events": [{"created_dagruns": made}]})

    def state(self, dag: str, path: str) -> str:
        if self.asked[path] == 1:
            return "running"
        return "failed" if dag == self.failing else "success"

    def task(self, dag: str, run: str) -> dict[str, Any]:
        ended = self.state(dag, f"/api/v2/dags/{dag}/dagRuns/{run}")
        return {
            "task_id": f"task_of_{dag}",
            "state": ended,
            "try_number": 1,
            "start_date": "2026-03-01T00:00:00Z",
            "end_date": "2026-03-01T00:00:02.500000Z" if ended != "running" else None,
            "duration": 0.5,
        }


Connect = Callable[[Callable[[httpx.Request], httpx.Response]], AirflowClient]


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Connect:
    monkeypatch.setattr(airflow_api, "_POLL_SECONDS", 0.001)

    def connect(wire: Callable[[httpx.Request], httpx.Response]) -> AirflowClient:
        real = httpx.Client

        def client(**kwargs: Any) -> httpx.Client:
            return real(**kwargs, transport=httpx.MockTransport(wire))

        monkeypatch.setattr(httpx, "Client", client)
        return AirflowClient(load_settings(state_dir=tmp_path, start_timeout_seconds=5))

    return connect


def test_a_night_is_followed_from_dag_to_dag(connect: Connect) -> None:
    wire, seen = Wire(), list[TaskRun]()
    with connect(wire) as airflow:
        night = airflow.follow_night(seen.append)
    assert night.succeeded
    assert night.failed is None
    assert [task.dag for task in night.tasks] == list(names.NIGHT_DAGS)
    assert [task.seconds for task in night.tasks] == [2.5] * 4
    assert [task.state for task in seen] == ["running", "success"] * 4
    assert night.receipts[f"task_of_{names.DAG_REDEPLOY}"] == RECEIPT
    assert wire.unpaused == list(names.NIGHT_DAGS)
    assert wire.triggered == 1


def test_a_failed_task_ends_the_night_with_its_own_words(connect: Connect) -> None:
    with connect(Wire(failing=names.DAG_RETRAIN)) as airflow:
        night = airflow.follow_night()
    assert not night.succeeded
    assert night.failed is not None
    assert night.failed.task == f"task_of_{names.DAG_RETRAIN}"
    assert (night.error_type, night.reason) == ("GateRefused", "recall 0.2 < 0.5")
    assert "STAGE evaluate_model" in night.log_tail


def test_a_night_that_does_not_end_in_time_is_told(connect: Connect) -> None:
    with (
        connect(Wire()) as airflow,
        pytest.raises(ServiceUnavailable, match="validate_catalog is running"),
    ):
        airflow.follow_night(timeout_seconds=-1)


def test_a_dag_file_that_does_not_import_is_shown(connect: Connect) -> None:
    def wire(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": "t"})
        if request.url.path.endswith("importErrors"):
            error = {"filename": "retrain_model.py", "stack_trace": "NameError: Asset"}
            return httpx.Response(200, json={"import_errors": [error]})
        return httpx.Response(404, json={})

    with connect(wire) as airflow, pytest.raises(ServiceUnavailable, match="NameError: Asset"):
        airflow.unpause([names.DAG_RETRAIN])


def test_another_airflow_on_the_port_is_told(connect: Connect) -> None:
    with (
        connect(lambda _: httpx.Response(401, json={})) as airflow,
        pytest.raises(ServiceUnavailable, match="another Airflow on port 8080"),
    ):
        airflow.start_night()


def test_a_token_that_ran_out_is_drawn_again(connect: Connect) -> None:
    tokens: list[str] = []

    def wire(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            tokens.append(str(len(tokens)))
            return httpx.Response(201, json={"access_token": tokens[-1]})
        fresh = request.headers["Authorization"] == "Bearer 1"
        return httpx.Response(200 if fresh else 401, json={"state": "success"})

    with connect(wire) as airflow:
        assert airflow.run_state(names.DAG_VALIDATE, "r") == "success"


def test_a_trigger_is_never_sent_twice(connect: Connect) -> None:
    sent: list[dict[str, Any]] = []

    def wire(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": "t"})
        if request.method == "POST":
            sent.append(json.loads(request.content))
            raise httpx.ReadTimeout("slow")
        return httpx.Response(200, json={})

    with connect(wire) as airflow, pytest.raises(ServiceUnavailable, match="does not answer"):
        airflow.start_night()
    assert sent == [{"logical_date": None}]
