"""A night that was killed resumes where it stopped."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow.nights import NIGHT, command_environment, free_ports
from recsys import names, services
from recsys.artifacts.live import read_live
from recsys.provenance import open_store
from recsys.settings import Settings, load_settings
from recsys.stages import NIGHT_STAGES
from recsys.stages.record import commit_record

_KILLED_AFTER = "train_model"


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    (port,) = free_ports(1)
    settings = load_settings(
        state_dir=tmp_path / "state",
        drawn_products=240,
        embedding_dim=32,
        epochs=12,
        batch_size=16,
        shadow_questions=16,
        seldon_port=port,
    )
    yield settings
    services.stop_all(settings)


def test_a_run_killed_between_two_stages_resumes(settings: Settings) -> None:
    command = [sys.executable, "-m", "recsys", "nightly", "--date", NIGHT]
    environment = {**os.environ, **command_environment(settings), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as night:
        assert night.stdout is not None
        for line in night.stdout:
            if _KILLED_AFTER in line:
                night.send_signal(signal.SIGKILL)
                break
    assert night.returncode == -signal.SIGKILL
    assert read_live(settings.releases_dir) is None

    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    said = {
        stage: next(line for line in again.stdout.splitlines() if stage in line)
        for stage in NIGHT_STAGES
    }
    resumed_at = NIGHT_STAGES.index(_KILLED_AFTER) + 1
    assert ["(unchanged)" in said[stage] for stage in NIGHT_STAGES] == [
        position < resumed_at for position in range(len(NIGHT_STAGES))
    ]
    assert read_live(settings.releases_dir) is not None

    commits = open_store(settings).commits(names.CATALOG)
    assert {str(commit_record(commit.message)["run"]) for commit in commits} == {
        "{'orchestrator': 'command line'}"
    }
