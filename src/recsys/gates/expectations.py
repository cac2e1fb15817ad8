"""The one place that runs Great Expectations (GX 1.24.1).

GX logs and drops an expectation that it does not know, calls an empty suite a success,
catches what an expectation raises, and lets a column of nulls pass every check of its
values. So each expectation is built on its own, counted, and its result looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from recsys.artifacts.base import require
from recsys.artifacts.verdict import Failure, Severity
from recsys.errors import ArtifactInvalid
from recsys.gates.suite_file import Entry, SuiteFile

if TYPE_CHECKING:
    from great_expectations.datasource.fluent.interfaces import Batch
    from great_expectations.expectations.expectation import Expectation

_POSITION = "position"
_SAMPLES = 5
# What GX adds when every failing row is asked for: as long as the table at the worst.
_EVERY_ROW = ("unexpected_list", "unexpected_index_list", "unexpected_index_query")


@dataclass(frozen=True)
class Outcome:
    """What one expectation found.

    ``figures`` is GX's result, ``missing`` the columns it names that the table lacks,
    ``raised`` what its evaluation raised, or empty. ``failing`` has, where rows are judged
    one by one, the id and the judged values of every row that failed.
    """

    entry: Entry
    success: bool
    figures: dict[str, Any]
    missing: tuple[str, ...]
    raised: str
    failing: tuple[dict[str, Any], ...] = ()

    @property
    def broken(self) -> bool:
        """Whether it could not be evaluated although its columns are there."""
        return bool(self.raised) and not self.missing

    @property
    def judged_nothing(self) -> bool:
        """Whether it looked at values and there was none: every such check "passes"."""
        elements = self.figures.get("element_count")
        if elements is None or self.entry.type == "expect_column_values_to_be_null":
            return False
        return bool(elements == self.figures.get("missing_count", 0))

    @property
    def failure(self) -> Failure | None:
        """The failure in words, or None when it held. A missing column is always critical.

        Where rows are judged one by one, so is a column without values, while failing rows
        are a warning at most: they are set aside, and the others go on.
        """
        if self.success and not self.missing and not self.judged_nothing:
            return None
        return Failure(
            expectation=self.entry.type,
            column=", ".join(self.entry.columns),
            severity=self._severity(),
            observed=f"{self._observed()}; allowed: {self.entry.allowed or 'see the expectation'}",
            reason=self.entry.reason,
        )

    def _severity(self) -> Severity:
        if self.missing:
            return "critical"
        if not self.entry.code:
            return self.entry.severity
        if self.judged_nothing:
            return "critical"
        return "warning" if self.entry.severity == "critical" else self.entry.severity

    def _observed(self) -> str:
        if self.missing:
            return f"the table has no column {', '.join(self.missing)}"
        if self.raised:
            return f"could not be evaluated: {self.raised}"
        if self.judged_nothing:
            return "no value to judge: every row is null, or there is no row"
        if "unexpected_count" in self.figures:
            return self._unexpected()
        if "observed_value" in self.figures:
            return _short(self.figures["observed_value"])
        return "does not hold"

    def _unexpected(self) -> str:
        figures = self.figures
        samples = ", ".join(_short(value) for value in figures["partial_unexpected_list"])
        if figures["element_count"] == 1 and samples:
            return samples
        of_all = f"{figures['unexpected_count']} of {figures['element_count']} values"
        if self.entry.code and self.entry.severity == "critical":
            of_all = f"{of_all} set aside as {self.entry.code}"
        return f"{of_all}, such as {samples}" if samples else of_all


@dataclass(frozen=True)
class SuiteRun:
    """Outcomes in the order of the file, and GX's own result as JSON-ready data."""

    outcomes: tuple[Outcome, ...]
    raw: dict[str, Any]

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What did not hold, of any severity."""
        return tuple(item.failure for item in self.outcomes if item.failure is not None)

    @property
    def refused(self) -> bool:
        """Whether something critical was evaluated and failed."""
        evaluated = [outcome.failure for outcome in self.outcomes if not outcome.broken]
        return any(item is not None and item.severity == "critical" for item in evaluated)

    @property
    def passed(self) -> bool:
        """Whether everything was evaluated and nothing critical failed."""
        return not self.refused and not any(outcome.broken for outcome in self.outcomes)


def run_suite(suite: SuiteFile, table: pd.DataFrame, *, id_column: str = "") -> SuiteRun:
    """Run every expectation of the suite on the table.

    With an ``id_column`` every row that failed is told (`Outcome.failing`).

    Raises
    ------
    ArtifactInvalid
        GX does not know an expectation or its arguments, or did not run every one; or one
        judges the table although rows are asked for.
    """
    from great_expectations.core import ExpectationSuite

    loaded = ExpectationSuite(
        name=suite.name,
        expectations=[
            _load(suite, position, entry) for position, entry in enumerate(suite.entries)
        ],
    )
    _require_all(suite, len(loaded.expectations), "loaded")
    result = _batch(table).validate(loaded, result_format=_result_format(id_column))
    as_data: Any = result.to_json_dict  # untyped
    raw = _finite(as_data())
    results = raw["results"]
    _require_all(suite, len(results), "ran")
    by_position = {item["expectation_config"]["meta"].get(_POSITION): item for item in results}
    require(
        set(by_position) == set(range(len(suite.entries))),
        f"suite {suite.name}: results do not answer the expectations one for one",
    )
    outcomes = tuple(
        _outcome(entry, by_position[position], table)
        for position, entry in enumerate(suite.entries)
    )
    if id_column:
        _require_rows_judged(suite, outcomes)
    return SuiteRun(outcomes, raw)


def _result_format(id_column: str) -> dict[str, Any]:
    if not id_column:
        return {"result_format": "SUMMARY", "partial_unexpected_count": _SAMPLES}
    return {
        "result_format": "COMPLETE",
        "partial_unexpected_count": _SAMPLES,
        "unexpected_index_column_names": [id_column],
    }


def _require_rows_judged(suite: SuiteFile, outcomes: Sequence[Outcome]) -> None:
    for number, outcome in enumerate(outcomes, 1):
        figures = outcome.figures
        require(
            bool(outcome.raised or outcome.missing)
            or len(outcome.failing) == figures.get("unexpected_count", -1),
            f"suite {suite.name}, expectation {number} ({outcome.entry.type}): does not say which"
            " rows failed; only expectations of each value can judge rows one by one",
        )


def _require_all(suite: SuiteFile, count: int, what: str) -> None:
    require(
        count == len(suite.entries) > 0,
        f"suite {suite.name}: {count} of {len(suite.entries)} expectations {what}",
    )


def _load(suite: SuiteFile, position: int, entry: Entry) -> Expectation:
    from great_expectations.exceptions.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.metadata_types import FailureSeverity

    where = f"suite {suite.name}, expectation {position + 1} ({entry.type})"
    try:
        expectation = ExpectationConfiguration(
            type=entry.type,
            kwargs=entry.kwargs,
            meta={_POSITION: position, "reason": entry.reason},
            severity=FailureSeverity(entry.severity),
        ).to_domain_obj()
    except (GreatExpectationsError, ValueError, TypeError) as error:
        raise ArtifactInvalid(
            f"{where}: Great Expectations does not accept it ({_one_line(str(error))});"
            f" correct {suite.name}.json"
        ) from error
    require(expectation.severity.value == entry.severity, f"{where}: its severity was lost")
    return expectation


def _batch(table: pd.DataFrame) -> Batch:
    """The table as a batch of a context in memory: no gx/ folder, no statistics, no bars."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    context = gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            analytics_enabled=False,
            progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
        ),
    )
    asset = context.data_sources.add_pandas("tables").add_dataframe_asset("table")
    return asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": table})


def _outcome(entry: Entry, result: dict[str, Any], table: pd.DataFrame) -> Outcome:
    missing: tuple[str, ...] = ()
    if entry.type != "expect_column_to_exist":
        missing = tuple(column for column in entry.columns if column not in table.columns)
    raised = _raised(result["exception_info"])
    figures = result["result"]
    failing = tuple(figures.get("unexpected_index_list") or ())
    for key in _EVERY_ROW:
        figures.pop(key, None)
    return Outcome(entry, bool(result["success"]), figures, missing, raised, failing)


def _raised(info: dict[str, Any]) -> str:
    # One record, or one for each metric that could not be computed.
    records: Sequence[Any] = [info] if "raised_exception" in info else list(info.values())
    messages = [str(item["exception_message"]) for item in records if item["raised_exception"]]
    return _one_line(messages[0]) if messages else ""


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:300]}…"


def _short(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else _one_line(str(value))
    return text if len(text) <= 80 else f"{text[:80]}…"


def _finite(value: Any) -> Any:
    """JSON-ready data in which NaN and infinity are words, as JSON has no such numbers."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float):  # numpy's too, which GX's renderer stumbles over
        return float(value) if math.isfinite(value) else str(value)
    return value
