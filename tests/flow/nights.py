"""What the whole-night tests share: a platform, its nights, its DAGs."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from recsys import names, services
from recsys.artifacts.live import read_live
from recsys.cli.similar import ask
from recsys.release import Event, history
from recsys.services.environment import inherited_environment, settings_environment
from recsys.settings import PROJECT_ROOT, Settings, load_settings
from recsys.stages import NIGHT_STAGES, run_stage

NIGHT = "2026-01-01"
# The suites that tell how good a model and its labels are, and what shoppers get of it.
JUDGING = (
    names.SUITE_MODEL,
    names.SUITE_MODEL_SLICES,
    names.SUITE_MODEL_PROBES,
    names.SUITE_LABELS,
    names.SUITE_SHADOW,
)
DAGS = (*names.NIGHT_DAGS, names.DAG_WATCH_RELEASE, names.DAG_WATCH)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@dataclass(frozen=True)
class Platform:
    """The state folder of one shop whose first night is over, and its running service."""

    settings: Settings
    dags: dict[str, dict[str, Any]]

    @property
    def live(self) -> str | None:
        return read_live(self.settings.releases_dir)

    def with_settings(self, **changes: object) -> Settings:
        return load_settings(**{**self.settings.model_dump(), **changes})

    def answer(self, product_id: str, k: int = 5) -> dict[str, Any]:
        return ask(self.settings, product_id, k, {})["jsonData"]

    def answer_tags(self, product_id: str = "10010") -> dict[str, str]:
        return ask(self.settings, product_id, 5, {})["meta"]["tags"]

    def deployments(self) -> list[Event]:
        """What went into service; what was refused did not."""
        events = history(self.settings.releases_dir)
        return [event for event in events if event.event != "refused"]

    def post(self, message: object) -> httpx.Response:
        return httpx.post(self.settings.predictions_url, json=message, timeout=30)


@contextmanager
def served(settings: Settings) -> Iterator[None]:
    """A real Seldon process while the block lasts, and whatever else was started in it."""
    try:
        services.start_serving(settings)
        yield
    finally:
        services.stop_all(settings)


def only_telling(folder: Path, *suites: str) -> Path:
    """A folder of the suites, in which these tell and refuse nothing."""
    copied = Path(shutil.copytree(PROJECT_ROOT / "expectations", folder / "expectations"))
    for name in suites:
        path = copied / f"{name}.json"
        suite = json.loads(path.read_bytes())
        for expectation in suite["expectations"]:
            expectation["severity"] = "warning"
        path.write_text(json.dumps(suite))
    return copied


def run_night(settings: Settings, until: str = NIGHT_STAGES[-1]) -> dict[str, Any]:
    """The stages in order, in this process; returns the receipts."""
    receipts: dict[str, Any] = {}
    for stage in NIGHT_STAGES:
        receipts[stage] = run_stage(stage, settings, night=NIGHT, receipts=receipts)
        if stage == until:
            break
    return receipts


def run_dags(settings: Settings, *dags: str) -> dict[str, dict[str, Any]]:
    environment = {**inherited_environment(), **services.airflow_environment(settings)}
    airflow = Path(sys.executable).with_name("airflow")
    subprocess.run([airflow, "db", "migrate"], env=environment, check=True, capture_output=True)
    report = settings.state_dir / "dags.json"
    script = Path(__file__).with_name("run_dags.py")
    done = subprocess.run(
        [sys.executable, script, report, *dags],
        env=environment,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    found: dict[str, dict[str, Any]] = json.loads(report.read_text())
    return found


def command_environment(settings: Settings) -> dict[str, str]:
    return settings_environment(settings)
