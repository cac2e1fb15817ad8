"""Runs on MLflow: opened before the work, closed with how it ended."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psutil

from recsys import names
from recsys.artifacts.digests import canonical_json
from recsys.errors import OutsideFailed
from recsys.registry.mlflow_client import Tracking, errors_of_ours, metrics_of
from recsys.registry.port import SYSTEM_FIGURES, TAG_FAILURE, RecordedRun

_TAG_PARENT = "mlflow.parentRunId"
_TAG_HOST = "process.host"
_TAG_PROCESS = "process.id"
_TAG_BORN = "process.created"
_LONGEST_FAILURE = 2000
_RUNS_A_CALL = 1000


class MlflowRun:
    """`OpenRun` on MLflow."""

    def __init__(self, tracking: Tracking, run_id: str) -> None:
        self._tracking = tracking
        self._run_id = run_id
        self._unsent: list[Any] = []

    @property
    def id(self) -> str:
        """See the port."""
        return self._run_id

    def log_epoch(self, epoch: int, figures: Mapping[str, float]) -> None:
        """See the port."""
        self._unsent += metrics_of(figures, epoch)
        try:
            self.send()
        except OutsideFailed:
            return  # `send` at the end says it when it lasts

    def tag(self, tags: Mapping[str, str]) -> None:
        """See the port."""
        with errors_of_ours(self._tracking.uri):
            self._tracking.tag_run(self._run_id, tags)

    def send(self) -> None:
        """Send what is not sent yet."""
        with errors_of_ours(self._tracking.uri):
            self._tracking.log_metrics(self._run_id, self._unsent)
        self._unsent = []


@contextmanager
def open_run(
    tracking: Tracking,
    *,
    name: str,
    parameters: Mapping[str, object],
    tags: Mapping[str, str],
    dataset: tuple[str, str],
    parent: str,
    again: str,
    sample_seconds: float,
) -> Iterator[MlflowRun]:
    """A run that ends with the block; see the port."""
    from recsys.registry.mlflow_machine import machine_figures

    parents = {_TAG_PARENT: parent} if parent else {}
    tags = {**tags, **parents, **_this_process(), "dataset": dataset[1]}
    with errors_of_ours(tracking.uri):
        run = MlflowRun(tracking, _begun(tracking, name, tags, again))
    try:
        with errors_of_ours(tracking.uri):
            tracking.log_parameters(run.id, parameters)
            tracking.client.log_inputs(run.id, [_dataset_input(*dataset)])
        with machine_figures(run.id, tracking.uri, sample_seconds):
            yield run
        run.send()
    except BaseException as error:
        _end_badly(tracking, run.id, error)
        raise
    with errors_of_ours(tracking.uri):
        tracking.client.set_terminated(run.id, "FINISHED")


def _begun(tracking: Tracking, name: str, tags: dict[str, str], again: str) -> str:
    if not again:
        created = tracking.client.create_run(tracking.experiment_id, run_name=name, tags=tags)
        return str(created.info.run_id)
    tracking.tag_run(again, tags)
    tracking.client.update_run(again, status="RUNNING")
    return again


def end_abandoned(tracking: Tracking) -> None:
    """Mark the runs whose process on this machine is gone as FAILED."""
    found = tracking.client.search_runs(
        [tracking.experiment_id],
        f"attributes.status = 'RUNNING' and tags.`{_TAG_HOST}` = '{platform.node()}'",
        max_results=_RUNS_A_CALL,
    )
    for run in found:
        if not _is_alive(run.data.tags):
            gone = f"process {run.data.tags[_TAG_PROCESS]} was killed or its machine went down"
            tracking.tag_run(run.info.run_id, {TAG_FAILURE: gone})
            tracking.client.set_terminated(run.info.run_id, "FAILED")


def read_run(tracking: Tracking, run_id: str) -> RecordedRun:
    """See the port."""
    found = tracking.client.get_run(run_id)
    figures = found.data.metrics.items()
    return RecordedRun(
        run_id=run_id,
        name=str(found.info.run_name),
        status=str(found.info.status),
        parent=found.data.tags.get(_TAG_PARENT, ""),
        parameters=dict(found.data.params),
        figures={name: value for name, value in figures if not name.startswith(SYSTEM_FIGURES)},
        tags={
            name: text for name, text in found.data.tags.items() if not name.startswith("mlflow.")
        },
    )


def _end_badly(tracking: Tracking, run_id: str, error: BaseException) -> None:
    """Close a run as FAILED or KILLED; the error that is under way matters more than ours."""
    status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
    try:
        with errors_of_ours(tracking.uri):
            text = f"{type(error).__name__}: {error}"[:_LONGEST_FAILURE]
            tracking.tag_run(run_id, {TAG_FAILURE: text})
            tracking.client.set_terminated(run_id, status)
    except OutsideFailed as unsaid:
        error.add_note(f"MLflow was not told that run {run_id} ended: {unsaid}")


def _this_process() -> dict[str, str]:
    """Who runs this; a process number alone is used again."""
    process = psutil.Process()
    return {
        _TAG_HOST: platform.node(),
        _TAG_PROCESS: str(process.pid),
        _TAG_BORN: str(process.create_time()),
    }


def _is_alive(tags: Mapping[str, str]) -> bool:
    try:
        born = psutil.Process(int(tags[_TAG_PROCESS])).create_time()
    except psutil.NoSuchProcess:
        return False
    return abs(born - float(tags[_TAG_BORN])) < 1  # seconds: the clock may be set meanwhile


def _dataset_input(name: str, ref: str) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    repo, commit = names.parse_ref(ref)
    source = canonical_json({"repo": repo, "commit": commit}).decode()
    return DatasetInput(
        Dataset(name=name, digest=commit, source_type="recsys", source=source),
        [InputTag("mlflow.data.context", "training")],
    )
