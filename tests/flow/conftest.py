"""One first night for the whole folder: through Airflow's DAGs, served by a real Seldon process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from flow.nights import DAGS, Platform, command_environment, free_ports, run_dags, served
from recsys.artifacts.products import ProductTable
from recsys.settings import load_settings


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    ports = free_ports(3)
    settings = load_settings(
        state_dir=tmp_path_factory.mktemp("state"),
        drawn_products=240,
        embedding_dim=32,
        epochs=12,
        batch_size=16,
        recall_queries=100,
        shadow_questions=16,
        airflow_port=ports[0],
        mlflow_port=ports[1],
        seldon_port=ports[2],
    )
    with served(settings):
        yield Platform(settings, run_dags(settings, *DAGS))


@pytest.fixture
def undisturbed(platform: Platform) -> Iterator[Platform]:
    """The release, its answers and the deployment history are the same afterwards."""
    live = platform.live
    table = ProductTable.load(platform.settings.releases_dir / str(live))
    asked = [bytes(item).decode() for item in table.ids[:5]]
    before = [platform.answer(product) for product in asked]
    events = platform.deployments()
    yield platform
    assert platform.live == live
    assert [platform.answer(product) for product in asked] == before
    assert platform.deployments() == events


@pytest.fixture
def recsys(platform: Platform) -> Any:
    """Run the `recsys` command with this platform's settings; returns the finished process."""

    def run(*arguments: str, **changes: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "recsys", *arguments],
            env={**os.environ, **command_environment(platform.with_settings(**changes))},
            cwd=platform.settings.state_dir,
            capture_output=True,
            text=True,
            check=False,
        )

    return run
