from __future__ import annotations

import subprocess
import sys


def test_importing_the_gates_does_not_import_great_expectations() -> None:
    program = (
        "import sys, recsys.gates; sys.exit(any(n == 'great_expectations' for n in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
