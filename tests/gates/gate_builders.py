"""Suites and folders for tests of the gates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from recsys import gates
from recsys.artifacts.verdict import Verdict

PROJECT_SUITES = Path(__file__).resolve().parents[2] / "expectations"
NIGHT = "2026-01-31"


def between(column: str = "score", **changes: Any) -> dict[str, Any]:
    """An expectation that 0 <= column <= 1."""
    return {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": column, "min_value": 0, "max_value": 1},
        "severity": "critical",
        "reason": "Scores are shares.",
        **changes,
    }


def suite(*expectations: Any, **changes: Any) -> dict[str, Any]:
    """A suite named ``toy``."""
    return {
        "name": "toy",
        "owner": "tests",
        "description": "A toy.",
        "expectations": list(expectations),
        **changes,
    }


@dataclass(frozen=True)
class Bench:
    """A folder with one suite, and a folder for Data Docs."""

    root: Path

    @property
    def docs_dir(self) -> Path:
        return self.root / "docs"

    def write(self, content: dict[str, Any] | bytes) -> None:
        folder = self.root / "expectations"
        folder.mkdir(exist_ok=True)
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / "toy.json").write_bytes(data)

    def check(
        self, table: pd.DataFrame, *, replacements: Mapping[str, float] | None = None
    ) -> Verdict:
        return gates.check(
            "toy",
            table,
            subject="catalog@" + "0" * 32,
            expectations_dir=self.root / "expectations",
            docs_dir=self.docs_dir,
            night=NIGHT,
            replacements=replacements,
        )


def check_project_suite(
    root: Path,
    name: str,
    table: pd.DataFrame,
    *,
    replacements: Mapping[str, float] | None = None,
) -> Verdict:
    """Put a table before one of the project's own suites."""
    return gates.check(
        name,
        table,
        subject="models@" + "1" * 32,
        expectations_dir=PROJECT_SUITES,
        docs_dir=root / "docs",
        night=NIGHT,
        replacements=replacements,
    )
