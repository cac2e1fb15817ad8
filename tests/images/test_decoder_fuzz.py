"""A short run of the fuzz benchmark: the same damage every time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "decoder_fuzz.py"


def fuzz(tmp_path: Path, *options: str, warnings: str = "error") -> tuple[int, dict[str, Any]]:
    command = [sys.executable, str(PROGRAM), "--keep", str(tmp_path / "keep"), *options]
    environment = {"PYTHONWARNINGS": warnings, "PATH": ""}
    done = subprocess.run(command, capture_output=True, check=False, timeout=120, env=environment)
    return done.returncode, json.loads(done.stdout)


def test_damaged_pictures_are_decoded_or_rejected_in_bounded_time_and_memory(
    tmp_path: Path,
) -> None:
    status, figures = fuzz(tmp_path, "--cases", "1500", "--seconds", "5", "--memory-mib", "128")
    assert status == 0, figures
    assert figures["findings"] == 0
    outcomes = figures["outcomes"]
    assert sum(outcomes.values()) == figures["cases"] == 1_500
    for kind in ("JPEG", "PNG", "WebP"):  # damage of both kinds: survived and refused
        assert outcomes[f"{kind} decoded"] > 10
        assert outcomes[f"{kind} rejected"] > 100
    assert not (tmp_path / "keep").exists()


def test_a_finding_is_counted_kept_and_turns_the_status(tmp_path: Path) -> None:
    status, figures = fuzz(tmp_path, "--cases", "2", "--memory-mib", "-1")
    assert status == 1
    assert figures["outcomes"]["FINDING: ! more than -1 MiB"] == figures["findings"] == 2
    assert len(list((tmp_path / "keep").iterdir())) == 2
