"""A night that was killed resumes where it stopped."""

import os
import signal
import subprocess
import sys

from conftest import NIGHT, Platform, command_environment

from recsys.stages import NIGHT_STAGES

_KILLED_AFTER = "train_model"


def test_a_run_killed_between_two_stages_resumes(platform: Platform) -> None:
    # Another seed is another split and another model, so there is work to be killed in.
    settings = platform.with_settings(seed=21)
    command = [sys.executable, "-m", "recsys", "nightly", "--date", NIGHT]
    environment = {**os.environ, **command_environment(settings), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as night:
        assert night.stdout is not None
        done = []
        for line in night.stdout:
            done.append(line)
            if _KILLED_AFTER in line:
                night.send_signal(signal.SIGKILL)
                break
    assert night.returncode == -signal.SIGKILL
    live = platform.live

    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    lines = {
        stage: next(line for line in again.stdout.splitlines() if stage in line)
        for stage in NIGHT_STAGES
    }
    resumed_at = NIGHT_STAGES.index(_KILLED_AFTER) + 1
    for stage in NIGHT_STAGES[:resumed_at]:
        assert "(unchanged)" in lines[stage]
    for stage in NIGHT_STAGES[resumed_at:]:
        assert "(unchanged)" not in lines[stage]
    assert platform.live != live
