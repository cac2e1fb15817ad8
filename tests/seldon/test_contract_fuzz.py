"""A short run of the fuzz benchmark: the same requests every time."""

from __future__ import annotations

import json
import subprocess
import sys

from recsys.settings import PROJECT_ROOT

PROGRAM = PROJECT_ROOT / "benchmarks" / "contract_fuzz.py"


def test_whatever_a_request_holds_the_answer_is_one_of_the_contract(tmp_path):
    command = [sys.executable, str(PROGRAM), "--cases", "300", "--keep", str(tmp_path / "keep")]
    done = subprocess.run(command, capture_output=True, check=False, timeout=180)
    figures = json.loads(done.stdout)
    assert done.returncode == 0, figures
    assert (figures["findings"], figures["workers_that_died"]) == (0, 0)
    outcomes = figures["outcomes"]
    assert sum(outcomes.values()) == figures["cases"] == 300
    assert outcomes["valid 200"] > 30
    assert outcomes["changed 400"] > 50
    assert not (tmp_path / "keep").exists()
