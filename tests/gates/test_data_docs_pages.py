"""One gate's page: Great Expectations' sections, made safe, under our summary."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gates.gate_builders import NIGHT, Bench, between, suite
from recsys.errors import ArtifactInvalid, GateRefused

HOSTILE = "<script>alert(1)</script><meta http-equiv=refresh content='0;url=http://x.test/'>$$a & b"
SHOWN = (
    "&lt;script&gt;alert(1)&lt;/script&gt;&lt;meta http-equiv=refresh"
    " content=&#x27;0;url=http://x.test/&#x27;&gt;$$a &amp; b"
)


def in_set(**changes: Any) -> dict[str, Any]:
    kwargs = {"column": "type", "value_set": ["Shoe", "<i>"]}
    return between(type="expect_column_values_to_be_in_set", kwargs=kwargs, **changes)


def page_of(bench: Bench, table: pd.DataFrame, *expectations: dict[str, Any]) -> str:
    """The page of a judgement, whatever it was."""
    bench.write(suite(*expectations))
    with suppress(GateRefused, ArtifactInvalid):
        bench.check(table)
    (page,) = (bench.docs_dir / NIGHT).glob("toy-*.html")
    return page.read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_failed_stands_first_with_its_severity(bench: Bench) -> None:
    table = pd.DataFrame({"score": [0.5], "type": ["Hat"]})
    page = page_of(bench, table, between(), in_set(severity="warning"), between(severity="info"))
    assert "✓ passed" in page
    assert "2 of 3 expectations held" in page
    summary = page.partition("Great Expectations:")[0]
    assert summary.index("! warning") < summary.index("✓ held")


def test_great_expectations_own_sections_are_there_with_results_as_words(bench: Bench) -> None:
    page = page_of(bench, pd.DataFrame({"score": [0.5, 1.5]}), between())
    sections = " ".join(re.sub(r"<[^>]*>", " ", page.partition("Great Expectations:")[2]).split())
    assert "values must be greater than or equal to 0.0 and less than or equal to 1.0" in sections
    assert "✕ failed" in sections
    assert "1 unexpected values found. 50% of 2 total rows." in sections


def test_a_delivered_value_is_shown_as_it_is_and_never_as_markup(bench: Bench) -> None:
    page = page_of(bench, pd.DataFrame({"type": ["Shoe", HOSTILE, HOSTILE]}), in_set())
    summary, _, sections = page.partition("Great Expectations:")
    assert HOSTILE not in page
    assert "<script" not in page
    assert page.count("<meta") == 4, "those of our frame"
    assert "&lt;script&gt;alert(1)" in summary
    assert SHOWN in sections
    assert "&lt;i&gt;" in sections


def test_a_page_loads_runs_and_follows_nothing(bench: Bench) -> None:
    page = page_of(bench, pd.DataFrame({"score": [0.5, 1.5]}), between())
    assert "default-src 'none'; style-src 'sha256-" in page
    assert not re.search(r"<(script|img|link|iframe)|src=|url\(|style=|http:|https:|onclick", page)


def test_a_page_leads_back_to_its_night_and_to_all_nights(bench: Bench) -> None:
    page = page_of(bench, pd.DataFrame({"score": [0.5]}), between())
    assert re.findall(r'href="([^"]*)"', page) == ["../index.html", "index.html"]


def test_what_could_not_be_evaluated_is_no_pass(bench: Bench) -> None:
    page = page_of(bench, pd.DataFrame({"score": ["half"]}), between(severity="info"))
    assert "✕ NO VERDICT" in page
    assert "✓ passed" not in page
