"""The sieve tells which rows fail and why, and is as strict about its suite as the gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gates.gate_builders import NIGHT, Bench, between, suite
from recsys import gates
from recsys.errors import ArtifactInvalid, GateRefused
from recsys.gates import Sifted

TABLE = pd.DataFrame(
    {"id": ["a", "b", "c", "d"], "score": [0.5, 7.0, 1.0, -2.0], "name": ["x", "Rs. 5", "y", "z"]}
)
PRICE = {
    "type": "expect_column_values_to_not_match_regex",
    "kwargs": {"column": "name", "regex": r"Rs\."},
    "severity": "warning",
    "reason": "No prices.",
    "code": "priced",
}


def judging(code: str = "odd_score", **changes: Any) -> dict[str, Any]:
    return {**between(**changes), "code": code}


def sift(bench: Bench, *expectations: Any, table: pd.DataFrame = TABLE) -> Sifted:
    bench.write(suite(*expectations))
    return gates.sift(
        "toy",
        table,
        id_column="id",
        subject="catalog@" + "0" * 32,
        expectations_dir=bench.root / "expectations",
        docs_dir=bench.docs_dir,
        night=NIGHT,
    )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_failing_rows_come_with_code_expectation_and_what_was_observed(bench: Bench) -> None:
    failures = sift(bench, judging()).failures
    assert failures.to_dict("records") == [
        {
            "id": row_id,
            "reason": "odd_score",
            "expectation": "expect_column_values_to_be_between",
            "column": "score",
            "severity": "critical",
            "observed": f"{value}; allowed: min_value 0, max_value 1",
        }
        for row_id, value in (("b", "7"), ("d", "-2"))
    ]


def test_critical_failures_set_aside_and_warnings_do_not(bench: Bench) -> None:
    sifted = sift(bench, judging(kwargs={"column": "score", "max_value": 1}), PRICE)
    assert sifted.set_aside == {"b"}
    assert sifted.failures["reason"].tolist() == ["odd_score", "priced"]
    assert sift(bench, PRICE).set_aside == set()


def test_rows_that_all_hold_give_an_empty_table_with_its_columns(bench: Bench) -> None:
    sifted = sift(bench, judging(), table=TABLE.iloc[[0, 2]])
    assert len(sifted.failures) == 0
    assert list(sifted.failures.columns) == list(gates.sift.__globals__["FAILURE_COLUMNS"])
    assert sifted.verdict.failures == ()


def test_the_verdict_passes_and_tells_what_is_set_aside(bench: Bench) -> None:
    verdict = sift(bench, judging(), PRICE).verdict
    assert verdict.passed
    assert verdict.evaluated == 2
    (set_aside, told) = verdict.failures
    assert (set_aside.severity, told.severity) == ("warning", "warning")
    assert set_aside.observed.startswith("2 of 4 values set aside as odd_score, such as 7, -2")


def test_every_failing_row_is_told_however_many(bench: Bench) -> None:
    table = pd.DataFrame({"id": [f"p{n}" for n in range(500)], "score": 9.0})
    sifted = sift(bench, judging(), table=table)
    assert len(sifted.failures) == 500
    kept = json.loads((bench.docs_dir / sifted.verdict.docs).with_suffix(".json").read_bytes())
    assert len(json.dumps(kept)) < 5_000, "the Data Docs show samples"
    assert kept["passed"]


def test_a_row_without_a_value_fails_as_it_cannot_be_judged(bench: Bench) -> None:
    table = TABLE.assign(score=[0.5, None, 1.0, 0.0])
    failures = sift(bench, judging(), table=table).failures
    assert failures["id"].tolist() == ["b"]
    assert failures["observed"][0].startswith("no value")


def test_a_column_that_is_missing_or_has_no_value_refuses(bench: Bench) -> None:
    with pytest.raises(GateRefused, match="has no column score"):
        sift(bench, judging(severity="info"), table=TABLE.drop(columns="score"))
    with pytest.raises(GateRefused, match="no value to judge"):
        sift(bench, judging(severity="info"), table=TABLE.assign(score=float("nan")))
    with pytest.raises(GateRefused, match="no value to judge"):
        sift(bench, judging(), table=TABLE.head(0))


@pytest.mark.parametrize(
    ("expectations", "says"),
    [
        ([], "holds no expectations"),
        ([between()], "missing or unknown: code"),
        ([judging(code="Not a code")], "is no reason code"),
        ([judging(type="expect_column_values_to_be_betwen")], "does not accept it"),
        ([judging(kwargs={"column": "score", "max_value": 1, "mostly": 0.9})], "may not hold"),
        (
            [
                judging(
                    type="expect_column_mean_to_be_between",
                    kwargs={"column": "score", "min_value": -9},
                )
            ],
            "does not say which rows",
        ),
        ([judging(kwargs={"column": "name", "max_value": 1})], "could not be evaluated"),
    ],
)
def test_a_broken_suite_is_an_error_and_no_verdict(
    bench: Bench, expectations: list[Any], says: str
) -> None:
    with pytest.raises(ArtifactInvalid, match=says):
        sift(bench, *expectations)


def test_rows_need_ids_of_their_own(bench: Bench) -> None:
    with pytest.raises(ArtifactInvalid, match="stands twice"):
        sift(bench, judging(), table=TABLE.assign(id="a"))
    with pytest.raises(ArtifactInvalid, match="no column id"):
        sift(bench, judging(), table=TABLE.drop(columns="id"))


def test_a_suite_for_rows_is_none_for_the_gate(bench: Bench) -> None:
    bench.write(suite(judging()))
    with pytest.raises(ArtifactInvalid, match="unknown: code"):
        bench.check(TABLE)
