"""OpenLineage events: none unless asked for; then every task's, with the commits as datasets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from flow.nights import run_dags
from recsys import names
from recsys.provenance import open_store
from recsys.settings import Settings, load_settings

TASKS = ("snapshot_catalog", "measure_catalog", "validate_catalog")


class LineageServer(ThreadingHTTPServer):
    """Keeps every event that is posted to it, as Marquez would."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.events: list[dict[str, Any]] = []
        self.paths: set[str] = set()


class Receiver(BaseHTTPRequestHandler):
    server: LineageServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.events.append(json.loads(body))
        self.server.paths.add(self.path)
        self.send_response(201)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[LineageServer]:
    with LineageServer() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


def shop(state_dir: Path, url: str) -> Settings:
    return load_settings(state_dir=state_dir, drawn_products=240, openlineage_url=url)


def run_validation(settings: Settings) -> dict[str, Any]:
    """The DAG `validate_catalog`: its tasks with state and receipt."""
    tasks = run_dags(settings, names.DAG_VALIDATE)[names.DAG_VALIDATE]
    assert {name: task["state"] for name, task in tasks.items()} == dict.fromkeys(TASKS, "success")
    return tasks


def of_task(events: list[dict[str, Any]], task: str, kind: str) -> dict[str, Any]:
    job = f"{names.DAG_VALIDATE}.{task}"
    (event,) = [e for e in events if e["job"]["name"] == job and e["eventType"] == kind]
    return event


def refs(datasets: list[dict[str, Any]]) -> set[str]:
    assert {dataset["namespace"] for dataset in datasets} <= {"recsys"}
    return {
        names.commit_ref(dataset["name"], dataset["facets"]["version"]["datasetVersion"])
        for dataset in datasets
    }


@pytest.fixture(scope="module")
def lineage(server: LineageServer, state_dir: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The events of one run, and its tasks."""
    tasks = run_validation(shop(state_dir, f"http://127.0.0.1:{server.server_port}"))
    events = list(server.events)
    server.events.clear()
    return events, tasks


def test_every_task_is_told_of_when_it_starts_and_when_it_ends(
    lineage: Any, server: LineageServer
) -> None:
    events, _ = lineage
    assert server.paths == {"/api/v1/lineage"}
    assert {event["job"]["namespace"] for event in events} == {"recsys"}
    for task in TASKS:
        start, complete = (of_task(events, task, kind) for kind in ("START", "COMPLETE"))
        assert start["run"]["runId"] == complete["run"]["runId"]


def test_a_tasks_datasets_are_the_commits_it_read_and_made(lineage: Any, state_dir: Path) -> None:
    events, tasks = lineage
    store = open_store(shop(state_dir, ""))
    for task in TASKS:
        complete = of_task(events, task, "COMPLETE")
        made = tasks[task]["receipt"]["ref"]
        assert refs(complete["outputs"]) == {made}
        assert refs(complete["inputs"]) == set(store.inspect(made).inputs)
    measured = of_task(events, "measure_catalog", "COMPLETE")
    assert tasks["snapshot_catalog"]["receipt"]["ref"] in refs(measured["inputs"])


def test_nobody_is_told_when_it_is_off(
    lineage: Any, server: LineageServer, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nor does what the caller's shell says turn it on.
    monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{server.server_port}")
    run_validation(shop(state_dir, ""))
    assert server.events == []


def test_a_server_that_is_down_fails_no_task(lineage: Any, state_dir: Path) -> None:
    run_validation(shop(state_dir, "http://127.0.0.1:1"))
