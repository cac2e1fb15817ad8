"""A suite that Great Expectations would half read, or read and ignore, is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gates.gate_builders import PROJECT_SUITES, Bench, between, suite
from recsys import names
from recsys.errors import ArtifactInvalid
from recsys.gates.suite_file import read_suite

TABLE = pd.DataFrame({"score": [0.5]})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (suite(), "holds no expectations"),
        (suite(expectations={}), "holds no expectations"),
        (suite(between(type="expect_column_values_to_be_betwen")), "does not accept it"),
        (suite(between(kwargs={"column": "score", "min_valu": 0})), "min_valu"),
        (suite(between(kwargs={"column": "score"})), "cannot both be None"),
        (suite(between(kwargs={"min_value": 0})), "field required"),
        (suite(between(severity="fatal")), "severity 'fatal'; allowed: critical, warning, info"),
        (suite(between(severity=None)), "severity None"),
        (suite(between(reason=" ")), "reason is not a text"),
        (suite(between(note="?")), "keys missing or unknown: note"),
        (
            suite({"type": "expect_column_to_exist", "kwargs": {"column": "score"}}),
            "reason, severity",
        ),
        (suite("expect_column_to_exist"), "expected an object, found str"),
        (suite(between(kwargs=[])), "kwargs is not an object"),
        (suite(between(kwargs={"column": "score", "result_format": "BASIC"})), "may not hold"),
        (
            suite(between(kwargs={"column": "score", "max_value": {"$PARAMETER": "x"}})),
            r"\$PARAMETER",
        ),
        (suite(between(kwargs={"column": "score", "max_value": {"$setting": "x"}})), "not given"),
        (suite(between(), name="other"), "names itself 'other'"),
        (suite(between(), owner=""), "owner is not a text"),
        (suite(between(), extra=1), "unknown: extra"),
        (b"{", "not the JSON of a suite"),
        (b"[]", "expected an object, found list"),
        (b'{"name": "toy", "name": "toy"}', "stands twice"),
        (b'{"name": NaN}', "NaN is not a bound"),
        (b"\xff\xfe", "not the JSON of a suite"),
        (b" " * 1_000_001, "larger than"),
    ],
)
def test_a_broken_suite_is_refused(
    tmp_path: Path, content: dict[str, Any] | bytes, says: str
) -> None:
    bench = Bench(tmp_path)
    bench.write(content)
    with pytest.raises(ArtifactInvalid, match=says):
        bench.check(TABLE)
    assert not bench.docs_dir.exists()


def test_a_setting_that_the_suite_does_not_use_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write(suite(between()))
    with pytest.raises(ArtifactInvalid, match=r"uses no \$setting budget"):
        bench.check(TABLE, replacements={"budget": 0.1})


def test_a_missing_suite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=r"toy\.json: cannot be read"):
        Bench(tmp_path).check(TABLE)


def test_a_suite_name_cannot_lead_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match="is no suite name"):
        read_suite(tmp_path, "../toy", {})


def test_settings_are_put_in_at_any_depth(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write(suite(between(kwargs={"column": "score", "value_set": [{"$setting": "a"}, 2]})))
    read = read_suite(tmp_path / "expectations", "toy", {"a": 1.0})
    assert read.entries[0].kwargs == {"column": "score", "value_set": [1.0, 2]}


# Suites that judge rows one by one, and the settings that a suite takes.
ROWWISE = {"product_rows"}
SETTINGS = {
    names.SUITE_DELIVERY: {"quarantine_budget": 0.02, "type_quarantine_budget": 0.1},
    names.SUITE_SHADOW: {"shadow_slowdown": 2.5},
}


def test_every_suite_that_a_stage_names_is_there() -> None:
    named = {getattr(names, name) for name in dir(names) if name.startswith("SUITE_")}
    assert named <= {path.stem for path in PROJECT_SUITES.glob("*.json")}


@pytest.mark.parametrize("path", sorted(PROJECT_SUITES.glob("*.json")), ids=lambda path: path.stem)
def test_every_suite_of_the_project_can_be_read(path: Path) -> None:
    given = {
        name: value
        for name, value in SETTINGS.get(path.stem, {}).items()
        if f'"{name}"' in path.read_text()
    }
    suite_file = read_suite(PROJECT_SUITES, path.stem, given, rowwise=path.stem in ROWWISE)
    assert suite_file.name == path.stem
