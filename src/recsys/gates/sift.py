"""The sieve: a suite that judges a table's rows one by one, and tells which failed and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from recsys.artifacts.base import require
from recsys.artifacts.verdict import Verdict
from recsys.gates.data_docs import Page
from recsys.gates.expectations import Outcome, run_suite
from recsys.gates.gate import conclude, require_judgeable
from recsys.gates.suite_file import read_suite

FAILURE_COLUMNS = ("id", "reason", "expectation", "column", "severity", "observed")
# Expectations that look at nulls themselves; to all others a null is nothing to judge.
_OF_NULLS = ("expect_column_values_to_not_be_null", "expect_column_values_to_be_null")
_NO_VALUE = "no value"


@dataclass(frozen=True)
class Sifted:
    """What a suite found row by row.

    Attributes
    ----------
    failures
        One row for each row of the table and expectation that it fails, in the order of
        the suite, then of the table; all text: ``id``, ``reason`` (the expectation's code),
        ``expectation``, ``column``, ``severity`` and ``observed`` (with what is allowed).
    verdict
        Over the rows that stay: it passed. Those to be set aside are told as warnings.
    """

    failures: pd.DataFrame
    verdict: Verdict

    @property
    def set_aside(self) -> frozenset[str]:
        """Ids of the rows that fail something critical."""
        critical = self.failures["severity"] == "critical"
        return frozenset(self.failures.loc[critical, "id"])


def sift(
    suite: str,
    table: pd.DataFrame,
    *,
    id_column: str,
    subject: str,
    expectations_dir: Path,
    docs_dir: Path,
    night: str,
    replacements: Mapping[str, float] | None = None,
) -> Sifted:
    """Judge each row of the table by ``expectations_dir/<suite>.json``.

    A row that fails something critical is to be set aside, one that fails a warning only
    told. A row without a value cannot be judged, so it fails. Data Docs are kept as by
    `recsys.gates.check`, whose other parameters these are.

    Parameters
    ----------
    id_column
        Column of unique texts that names the rows.

    Raises
    ------
    GateRefused
        The table lacks a column that is judged, or no row has a value in it.
    ArtifactInvalid
        The suite is broken, has an entry without a code or one that judges the whole table,
        or an expectation could not be evaluated; or ids are missing or doubled.
    """
    given = dict(replacements or {})
    require_judgeable(suite, table, night)
    require(id_column in table.columns, f"sieve {suite}: the table has no column {id_column}")
    ids = table[id_column]
    require(
        bool(ids.notna().all()) and ids.is_unique,
        f"sieve {suite}: an {id_column} is missing or stands twice, so rows cannot be told apart",
    )
    asked = read_suite(expectations_dir, suite, given, rowwise=True)
    run = run_suite(asked, table, id_column=id_column)
    verdict = conclude(Page(asked, subject, night, run), docs_dir, given)
    found = [row for outcome in run.outcomes for row in _failures(outcome, table, id_column)]
    return Sifted(pd.DataFrame(found, columns=list(FAILURE_COLUMNS), dtype="str"), verdict)


def _failures(outcome: Outcome, table: pd.DataFrame, id_column: str) -> Iterator[tuple[str, ...]]:
    entry = outcome.entry
    observed = {row[id_column]: _observed(outcome, row) for row in outcome.failing}
    if entry.type not in _OF_NULLS:
        without = table[list(entry.columns)].isna().any(axis=1)
        observed |= dict.fromkeys(table.loc[without, id_column], _NO_VALUE)
    allowed = f"; allowed: {entry.allowed}" if entry.allowed else ""
    columns = ", ".join(entry.columns)
    for row_id in table.loc[table[id_column].isin(list(observed)), id_column]:
        told = f"{observed[row_id]}{allowed}"
        yield str(row_id), entry.code, entry.type, columns, entry.severity, told


def _observed(outcome: Outcome, row: Mapping[str, Any]) -> str:
    values = [row[column] for column in outcome.entry.columns if column in row]
    texts = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in values]
    return ", ".join(text if len(text) <= 80 else f"{text[:80]}…" for text in texts)
