"""Airflow over its REST API: start a night and follow it from DAG to DAG."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from recsys import names
from recsys.artifacts.receipt import Receipt
from recsys.errors import ServiceUnavailable
from recsys.services.environment import airflow_login
from recsys.services.health import HOST
from recsys.settings import Settings

_POLL_SECONDS = 1.0
_REQUEST_SECONDS = 30.0
_GET_ATTEMPTS = 4
_LOG_LINES = 25
_DONE = frozenset({"success", "failed", "upstream_failed", "skipped", "removed"})


@dataclass(frozen=True)
class TaskRun:
    """One task of one DAG run, as Airflow sees it now; ``seconds`` is its last try's time.

    ``state`` is Airflow's word (``running``, ``success``, ``up_for_retry``, ``failed`` …);
    ``receipt`` is there once a stage succeeded.
    """

    dag: str
    run: str
    task: str
    state: str
    attempt: int
    seconds: float
    receipt: Receipt | None = None


@dataclass(frozen=True)
class TaskLog:
    """The end of a task's log, and the error that ended it, if any, by class name and message."""

    error_type: str = ""
    reason: str = ""
    tail: str = ""


@dataclass(frozen=True)
class NightRun:
    """A night that ended: its tasks in the order they ended, and what stopped it if anything.

    ``error_type`` is the class of the failed task's own error (``GateRefused`` …), ``reason``
    its message, ``log_tail`` the end of the task's log.
    """

    succeeded: bool
    tasks: tuple[TaskRun, ...]
    seconds: float
    failed: TaskRun | None = None
    error_type: str = ""
    reason: str = ""
    log_tail: str = ""

    @property
    def receipts(self) -> dict[str, Receipt]:
        """Receipts by stage."""
        return {task.task: task.receipt for task in self.tasks if task.receipt is not None}


OnTask = Callable[[TaskRun], None]


def _ignore(task: TaskRun) -> None:
    """Show nothing."""


class AirflowClient:
    """A signed-in client of the local Airflow; use it in a ``with`` block."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._token = ""
        self._http = httpx.Client(
            base_url=f"http://{HOST}:{settings.airflow_port}",
            timeout=_REQUEST_SECONDS,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def unpause(self, dags: Sequence[str]) -> None:
        """Wait until Airflow has parsed these DAGs, then let them run.

        Raises
        ------
        ServiceUnavailable
            A DAG file does not import (with its error), or is not parsed in time.
        """
        for dag in dags:
            self._await_dag(dag)
            self._call("PATCH", f"/dags/{dag}", json={"is_paused": False})

    def start_night(self) -> str:
        """Trigger the night's first DAG by hand; returns the id of its run.

        The other DAGs of the night are un-paused first: a paused one misses its asset.
        """
        self.unpause(names.NIGHT_DAGS)
        return self.trigger(names.DAG_VALIDATE)

    def trigger(self, dag: str) -> str:
        """Start a run of a DAG by hand; returns its id."""
        run = self._call("POST", f"/dags/{dag}/dagRuns", json={"logical_date": None})
        return str(run["dag_run_id"])

    def follow_night(
        self,
        on_task: OnTask = _ignore,
        *,
        run: str | None = None,
        timeout_seconds: float = 12 * 3600,
    ) -> NightRun:
        """Follow a night to its end: the last DAG's run, or the first run that fails.

        ``run`` is a run of the first DAG; by default one is started. ``on_task`` is called
        whenever a task's state changes.

        Raises
        ------
        ServiceUnavailable
            Airflow does not answer, or the night has not ended in time.
        """
        begun = time.monotonic()
        night = _Follower(self, on_task, deadline=begun + timeout_seconds)
        run = run or self.start_night()
        for dag, woken in zip(names.NIGHT_DAGS, (*names.NIGHT_DAGS[1:], None), strict=True):
            if not night.follow_run(dag, run):
                failed = night.failed(dag, run)
                log = self.log(failed) if failed else TaskLog()
                seconds = time.monotonic() - begun
                return NightRun(
                    False, night.ended, seconds, failed, log.error_type, log.reason, log.tail
                )
            if woken is not None:
                run = night.await_woken(dag, run, woken)
        return NightRun(True, night.ended, time.monotonic() - begun)

    def run_state(self, dag: str, run: str) -> str:
        """The state of a DAG run, in Airflow's words."""
        return str(self._call("GET", _run_path(dag, run))["state"])

    def tasks(self, dag: str, run: str) -> list[TaskRun]:
        """The tasks of a DAG run."""
        found = self._call("GET", f"{_run_path(dag, run)}/taskInstances")
        return [_task_run(dag, run, item) for item in found["task_instances"]]

    def receipt(self, task: TaskRun) -> Receipt:
        """What a stage returned."""
        found = self._call("GET", f"{_path(task)}/xcomEntries/return_value?deserialize=true")
        return Receipt.from_data(found["value"])

    def log(self, task: TaskRun) -> TaskLog:
        """The end of the log of a task's last try."""
        found = self._call("GET", f"{_path(task)}/logs/{max(task.attempt, 1)}?full_content=true")
        entries = [entry for entry in found.get("content") or [] if isinstance(entry, dict)]
        errors = [entry["error_detail"] for entry in entries if entry.get("error_detail")]
        error = _own_error(errors[-1]) if errors else {}
        return TaskLog(
            error_type=str(error.get("exc_type", "")),
            reason=str(error.get("exc_value", "")),
            tail="\n".join([_log_line(entry) for entry in entries][-_LOG_LINES:]),
        )

    def woken_by(self, dag: str, run: str, woken: str) -> str | None:
        """The run of the DAG ``woken`` that an asset event of this run made, or None yet."""
        # Airflow 3.3.2 answers 500 while a run that an event made is queued: its own answer
        # form wants the time at which that run started.
        events = self._call(
            "GET",
            "/assets/events",
            params={"source_dag_id": dag, "source_run_id": run},
            none_for=(500,),
        ) or {"asset_events": []}
        for event in events["asset_events"]:
            for made in event["created_dagruns"]:
                if made["dag_id"] == woken:
                    return str(made["run_id"])
        return None

    def _await_dag(self, dag: str) -> None:
        deadline = time.monotonic() + self._settings.start_timeout_seconds
        while self._call("GET", f"/dags/{dag}", none_for=(404,)) is None:
            for error in self._call("GET", "/importErrors")["import_errors"]:
                raise ServiceUnavailable(
                    f"Airflow cannot import {error['filename']}:\n{error['stack_trace']}"
                )
            if time.monotonic() > deadline:
                raise ServiceUnavailable(
                    f"Airflow has not parsed the DAG {dag} in time; see the log of"
                    f" airflow-dag-processor under {self._settings.logs_dir}"
                )
            time.sleep(_POLL_SECONDS)

    def _call(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
        none_for: Sequence[int] = (),
    ) -> Any:
        """One request; a status among ``none_for`` gives None, any other error raises."""
        response = self._send(method, f"/api/v2{path}", json, params)
        if response.status_code == 401:
            self._token = ""
            response = self._send(method, f"/api/v2{path}", json, params)
        if response.status_code in none_for:
            return None
        if response.is_error:
            raise ServiceUnavailable(
                f"Airflow answered {response.status_code} to {method} {path}: {response.text[:500]}"
            )
        return response.json()

    def _send(
        self, method: str, path: str, json: object, params: Mapping[str, str] | None
    ) -> httpx.Response:
        self._token = self._token or self._log_in()
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        # Only reading may be repeated: a second trigger would be a second night.
        attempts = _GET_ATTEMPTS if method == "GET" else 1
        for attempt in range(1, attempts + 1):
            try:
                response = self._http.request(
                    method, path, json=json, params=params, headers=headers
                )
                # 503 and its like pass; a 500 is for the caller.
                if response.status_code <= 500 or attempt == attempts:
                    return response
            except httpx.TransportError as error:
                if attempt == attempts:
                    raise ServiceUnavailable(
                        f"Airflow does not answer on port {self._settings.airflow_port}"
                        f" ({error}); see `recsys status`"
                    ) from error
            time.sleep(attempt * _POLL_SECONDS)
        raise AssertionError("the last attempt returns or raises")

    def _log_in(self) -> str:
        user, password = airflow_login(self._settings)
        try:
            response = self._http.post("/auth/token", json={"username": user, "password": password})
        except httpx.TransportError as error:
            raise ServiceUnavailable(
                f"Airflow does not answer on port {self._settings.airflow_port} ({error});"
                " start it with `recsys up`"
            ) from error
        if response.status_code != 201:
            raise ServiceUnavailable(
                f"Airflow refused the log-in of {user} ({response.status_code}); is another"
                f" Airflow on port {self._settings.airflow_port}?"
            )
        return str(response.json()["access_token"])


class _Follower:
    """Reports each change of a task's state once, and collects the tasks that ended."""

    def __init__(self, client: AirflowClient, on_task: OnTask, deadline: float) -> None:
        self._client = client
        self._on_task = on_task
        self._deadline = deadline
        self._seen: dict[tuple[str, str], tuple[str, int]] = {}
        self._ended: dict[tuple[str, str], TaskRun] = {}

    @property
    def ended(self) -> tuple[TaskRun, ...]:
        return tuple(self._ended.values())

    def follow_run(self, dag: str, run: str) -> bool:
        """Wait for one DAG run; whether it succeeded."""
        while True:
            # The run's state before its tasks': a run that ended has no news afterwards.
            state = self._client.run_state(dag, run)
            for task in self._client.tasks(dag, run):
                self._notice(task)
            if state in ("success", "failed"):
                return state == "success"
            self._wait(f"{dag} is {state}")

    def await_woken(self, dag: str, run: str, woken: str) -> str:
        """Wait for the run that this one's asset makes."""
        while (found := self._client.woken_by(dag, run, woken)) is None:
            self._wait(f"{dag} ended, and {woken} was not woken")
        return found

    def failed(self, dag: str, run: str) -> TaskRun | None:
        """The first task of a run that failed itself."""
        for task in self.ended:
            if (task.dag, task.run, task.state) == (dag, run, "failed"):
                return task
        return None

    def _notice(self, task: TaskRun) -> None:
        key, news = (task.dag, task.task), (task.state, task.attempt)
        if not task.state or self._seen.get(key) == news:
            return
        self._seen[key] = news
        if task.state == "success":
            task = TaskRun(**{**vars(task), "receipt": self._client.receipt(task)})
        if task.state in _DONE:
            self._ended[key] = task
        self._on_task(task)

    def _wait(self, what: str) -> None:
        if time.monotonic() > self._deadline:
            raise ServiceUnavailable(f"the night has not ended in time: {what}")
        time.sleep(_POLL_SECONDS)


def _task_run(dag: str, run: str, item: Mapping[str, Any]) -> TaskRun:
    return TaskRun(
        dag=dag,
        run=run,
        task=item["task_id"],
        state=item["state"] or "",
        attempt=item["try_number"],
        seconds=_seconds(item),
    )


def _seconds(item: Mapping[str, Any]) -> float:
    if item["start_date"] and item["end_date"]:
        start, end = (datetime.fromisoformat(item[name]) for name in ("start_date", "end_date"))
        return (end - start).total_seconds()
    return float(item["duration"] or 0)


def _run_path(dag: str, run: str) -> str:
    # Run ids hold times, and so colons and plus signs.
    return f"/dags/{dag}/dagRuns/{quote(run, safe='')}"


def _path(task: TaskRun) -> str:
    return f"{_run_path(task.dag, task.run)}/taskInstances/{task.task}"


def _own_error(chain: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The error that a stage raised: what Airflow was told to fail with has it as its cause."""
    wrapped = chain[0].get("exc_type") == "AirflowFailException" and len(chain) > 1
    return chain[1] if wrapped else chain[0]


def _log_line(entry: Mapping[str, Any]) -> str:
    causes = [
        f"{detail.get('exc_type')}: {detail.get('exc_value')}"
        for detail in entry.get("error_detail") or []
    ]
    return " | ".join([str(entry.get("event", "")), *causes])
