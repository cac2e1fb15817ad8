"""The gate: a suite, a table, and either a verdict that passed or an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from recsys.artifacts.base import require
from recsys.artifacts.digests import canonical_json, sha256_bytes
from recsys.artifacts.files import write_atomically
from recsys.artifacts.verdict import Failure, Verdict
from recsys.errors import ArtifactInvalid, GateRefused
from recsys.gates import data_docs, night_page
from recsys.gates.data_docs import Page
from recsys.gates.expectations import run_suite
from recsys.gates.suite_file import read_suite

_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_FAILURES_TOLD = 10


def check(
    suite: str,
    table: pd.DataFrame,
    *,
    subject: str,
    expectations_dir: Path,
    docs_dir: Path,
    night: str,
    replacements: Mapping[str, float] | None = None,
) -> Verdict:
    """The verdict of ``expectations_dir/<suite>.json`` on the table, if it passed.

    Data Docs, an HTML page and the whole result as JSON, go to ``docs_dir/<night>/``
    either way; another result never overwrites them.

    Parameters
    ----------
    suite
        Name of the suite.
    table
        What is judged; a missing column refuses, whatever the severity.
    subject
        Digest or reference of what the table is about.
    night
        Folder of the Data Docs, such as 2026-01-31.
    replacements
        Values for the suite's ``{"$setting": name}``, each used and none left over.

    Raises
    ------
    GateRefused
        A critical expectation did not hold. The message lists every one (the first ten)
        with what was observed, allowed and why, and where the Data Docs page is.
    ArtifactInvalid
        The suite is broken, or an expectation could not be evaluated and nothing else
        refuses: no verdict.
    """
    given = dict(replacements or {})
    require_judgeable(suite, table, night)
    asked = read_suite(expectations_dir, suite, given)
    return conclude(Page(asked, subject, night, run_suite(asked, table)), docs_dir, given)


def require_judgeable(suite: str, table: pd.DataFrame, night: str) -> None:
    """Refuse a table with a doubled column, and a night that cannot name a folder."""
    require(_FOLDER_NAME.fullmatch(night) is not None, f"{night!r} cannot name a folder")
    require(table.columns.is_unique, f"gate {suite}: a column name stands twice in the table")


def conclude(page: Page, docs_dir: Path, replacements: Mapping[str, float]) -> Verdict:
    """Keep the Data Docs of a run, and give its verdict if it passed.

    Raises
    ------
    GateRefused, ArtifactInvalid
        As `check`.
    """
    docs = _write_docs(page, docs_dir, replacements)
    night_page.update_pages(docs_dir, page.night)
    verdict = Verdict(
        suite=page.suite.name,
        suite_digest=page.suite.digest,
        subject=page.subject,
        evaluated=len(page.run.outcomes),
        failures=page.run.failures,
        docs=docs,
    )
    _require_evaluated(page, docs_dir / docs)
    if not verdict.passed:
        raise GateRefused(_refusal(verdict, docs_dir / docs), verdict.to_data())
    return verdict


def _write_docs(page: Page, docs_dir: Path, replacements: Mapping[str, float]) -> str:
    """Write page and JSON; returns the page's path relative to the Data Docs folder."""
    content = canonical_json(
        {
            "suite": page.suite.name,
            "suite_digest": page.suite.digest,
            "subject": page.subject,
            "night": page.night,
            "settings": dict(replacements),
            "passed": page.run.passed,
            "failures": [asdict(failure) for failure in page.run.failures],
            "results": page.run.raw["results"],
            "statistics": page.run.raw["statistics"],
        }
    )
    # Named after the subject and what was found about it.
    docs = f"{page.night}/{page.suite.name}-{sha256_bytes(content)[:12]}.html"
    write_atomically((docs_dir / docs).with_suffix(".json"), content)
    write_atomically(docs_dir / docs, data_docs.render(page))
    return docs


def _require_evaluated(page: Page, docs: Path) -> None:
    """Raise for what could not be evaluated, unless the table is to be refused anyway."""
    if page.run.refused:
        return
    for number, outcome in enumerate(page.run.outcomes, 1):
        if outcome.broken:
            raise ArtifactInvalid(
                f"suite {page.suite.name}, expectation {number} ({outcome.entry.type}) on"
                f" {', '.join(outcome.entry.columns) or 'the table'} could not be evaluated:"
                f" {outcome.raised}; Data Docs: {docs}"
            )


def _refusal(verdict: Verdict, docs: Path) -> str:
    critical = [failure for failure in verdict.failures if failure.severity == "critical"]
    lines = [_line(failure) for failure in critical[:_FAILURES_TOLD]]
    if len(critical) > _FAILURES_TOLD:
        lines.append(f"  … and {len(critical) - _FAILURES_TOLD} more")
    return "\n".join(
        [
            f"the gate {verdict.suite} refused {verdict.subject}:"
            f" {len(critical)} of {verdict.evaluated} expectations failed critically",
            *lines,
            f"Data Docs: {docs}",
        ]
    )


def _line(failure: Failure) -> str:
    column = f" on {failure.column}" if failure.column else ""
    return f"  {failure.expectation}{column}: {failure.observed}. {failure.reason}"
