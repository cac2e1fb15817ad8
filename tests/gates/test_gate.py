from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from gates.gate_builders import NIGHT, Bench, between, suite
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.verdict import Verdict
from recsys.errors import ArtifactInvalid, GateRefused

GOOD = pd.DataFrame({"score": [0.0, 0.5, 1.0]})
BAD = pd.DataFrame({"score": [0.0, 0.5, 1.5]})


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_table_that_holds_gives_a_passing_verdict(bench: Bench) -> None:
    bench.write(suite(between()))
    verdict = bench.check(GOOD)
    assert verdict.passed
    assert (verdict.suite, verdict.evaluated, verdict.failures) == ("toy", 1, ())
    assert verdict.suite_digest == sha256_file(bench.root / "expectations" / "toy.json")
    assert verdict.subject == "catalog@" + "0" * 32


def test_a_critical_failure_is_raised_with_observed_allowed_reason_and_page(bench: Bench) -> None:
    bench.write(suite(between()))
    with pytest.raises(GateRefused) as refusal:
        bench.check(BAD)
    message = str(refusal.value)
    assert "the gate toy refused catalog@" in message
    assert "expect_column_values_to_be_between on score" in message
    assert "1 of 3 values, such as 1.5" in message
    assert "allowed: min_value 0, max_value 1" in message
    assert "Scores are shares." in message
    verdict = Verdict.from_data(json.loads(json.dumps(refusal.value.verdict)))
    assert not verdict.passed
    assert str(bench.docs_dir / verdict.docs) in message


def test_a_warning_is_kept_and_told_but_lets_pass(bench: Bench) -> None:
    bench.write(
        suite(between(), between(severity="warning", kwargs={"column": "score", "max_value": 0.4}))
    )
    (failure,) = bench.check(GOOD).failures
    assert failure.severity == "warning"
    assert failure.observed == "2 of 3 values, such as 0.5, 1; allowed: max_value 0.4"


def test_a_figure_of_the_whole_column_is_told(bench: Bench) -> None:
    bench.write(
        suite(
            between(
                type="expect_column_mean_to_be_between", kwargs={"column": "score", "min_value": 2}
            )
        )
    )
    with pytest.raises(GateRefused, match=r"on score: 0\.5; allowed: min_value 2"):
        bench.check(GOOD)


def test_every_critical_failure_is_listed_up_to_ten(bench: Bench) -> None:
    bench.write(suite(*[between(reason=f"Reason {number}.") for number in range(12)]))
    with pytest.raises(GateRefused) as refusal:
        bench.check(BAD)
    assert "12 of 12 expectations failed critically" in str(refusal.value)
    assert "Reason 9." in str(refusal.value)
    assert "Reason 10." not in str(refusal.value)
    assert "… and 2 more" in str(refusal.value)


def test_a_missing_column_refuses_even_where_only_info_is_asked(bench: Bench) -> None:
    bench.write(suite(between(), between("gone", severity="info")))
    with pytest.raises(GateRefused, match="the table has no column gone"):
        bench.check(GOOD)


@pytest.mark.parametrize("empty", [[None, None], [float("nan")] * 2, []])
def test_a_column_without_values_does_not_pass_a_check_of_its_values(
    bench: Bench, empty: list[float | None]
) -> None:
    bench.write(suite(between()))
    with pytest.raises(GateRefused, match="no value to judge"):
        bench.check(pd.DataFrame({"score": pd.Series(empty, dtype="float64")}))


def test_an_expectation_that_cannot_be_evaluated_is_an_error_not_a_verdict(bench: Bench) -> None:
    bench.write(suite(between(severity="info")))
    with pytest.raises(ArtifactInvalid, match=r"expectation 1 .* could not be evaluated"):
        bench.check(pd.DataFrame({"score": ["half", "one"]}))


def test_a_refusal_outweighs_what_could_not_be_evaluated(bench: Bench) -> None:
    bench.write(suite(between("label", severity="info"), between()))
    with pytest.raises(GateRefused) as refusal:
        bench.check(BAD.assign(label="text"))
    assert "1.5" in str(refusal.value)
    told = {item["severity"]: item["observed"] for item in refusal.value.verdict["failures"]}
    assert "could not be evaluated" in told["info"]


def test_the_mean_of_nothing_is_not_a_verdict(bench: Bench) -> None:
    bench.write(
        suite(
            between(
                type="expect_column_mean_to_be_between", kwargs={"column": "score", "min_value": 0}
            )
        )
    )
    with pytest.raises((ArtifactInvalid, GateRefused)):
        bench.check(pd.DataFrame({"score": pd.Series([None], dtype="float64")}))


def test_a_setting_takes_its_value_from_the_caller(bench: Bench) -> None:
    bench.write(suite(between(kwargs={"column": "score", "max_value": {"$setting": "budget"}})))
    assert bench.check(GOOD, replacements={"budget": 1.0}).passed
    with pytest.raises(GateRefused, match=r"allowed: max_value 0\.4"):
        bench.check(GOOD, replacements={"budget": 0.4})


def test_data_docs_are_kept_as_page_and_json_whether_it_passed_or_not(bench: Bench) -> None:
    bench.write(suite(between(reason="<b>why</b> & what")))
    passed = bench.check(GOOD)
    with pytest.raises(GateRefused):
        bench.check(BAD)
    files = sorted(path.suffix for path in (bench.docs_dir / NIGHT).glob("*-*"))
    assert files == [".html", ".html", ".json", ".json"]
    page = (bench.docs_dir / passed.docs).read_text()
    assert "Expectation Validation Result" in page, "GX's own rendering is part of it"
    assert "&lt;b&gt;why&lt;/b&gt; &amp; what" in page
    assert "critical" in page
    data = json.loads((bench.docs_dir / passed.docs).with_suffix(".json").read_bytes())
    assert data["subject"] == "catalog@" + "0" * 32
    assert data["results"][0]["success"] is True
    assert data["statistics"]["evaluated_expectations"] == 1


def test_a_page_loads_nothing_and_runs_nothing(bench: Bench) -> None:
    bench.write(suite(between()))
    page = (bench.docs_dir / bench.check(GOOD).docs).read_text()
    for word in ("<script", "<link", "<img", "src="):
        assert word not in page


def test_the_same_judgement_is_written_to_the_same_page(bench: Bench) -> None:
    bench.write(suite(between()))
    assert bench.check(GOOD).docs == bench.check(GOOD).docs
    assert bench.check(GOOD).docs != bench.check(pd.DataFrame({"score": [0.5]})).docs


def test_figures_that_json_cannot_hold_are_kept_as_words(bench: Bench) -> None:
    bench.write(
        suite(
            between(
                type="expect_column_max_to_be_between", kwargs={"column": "score", "max_value": 1}
            )
        )
    )
    with pytest.raises(GateRefused, match="on score: inf"):
        bench.check(pd.DataFrame({"score": [0.5, float("inf")]}))


def test_the_table_is_left_as_it_was_and_nothing_else_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    bench.write(suite(between()))
    elsewhere = bench.root / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", str(elsewhere))
    table = GOOD.copy()
    bench.check(table)
    pd.testing.assert_frame_equal(table, GOOD)
    assert list(elsewhere.iterdir()) == [], "no gx/ folder"
    assert capfd.readouterr() == ("", ""), "no progress bars"


def test_a_gate_calls_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: object) -> None:
        raise AssertionError("the gate opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    bench.write(suite(between()))
    assert bench.check(GOOD).passed


@pytest.mark.parametrize("night", ["", "..", "a/b", "/"])
def test_a_night_that_is_no_folder_name_is_refused(
    bench: Bench, night: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write(suite(between()))
    monkeypatch.setattr("gates.gate_builders.NIGHT", night)
    with pytest.raises(ArtifactInvalid, match="cannot name a folder"):
        bench.check(GOOD)


def test_a_doubled_column_is_refused(bench: Bench) -> None:
    bench.write(suite(between()))
    with pytest.raises(ArtifactInvalid, match="stands twice"):
        bench.check(pd.DataFrame([[0.5, 7.0]], columns=["score", "score"]))
