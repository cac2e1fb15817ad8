"""Pages over all gates: `<night>/index.html` for each night, `index.html` for all nights.

Everything is read from the gates' results (JSON) that lie in the folders, so the pages can
be lost, and made again by the next gate. A night's figures are kept beside its page: a
gate reads its own night's results, however many nights there are.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from recsys.artifacts.base import require
from recsys.artifacts.digests import canonical_json
from recsys.artifacts.files import write_atomically
from recsys.artifacts.verdict import Failure, Severity
from recsys.errors import ArtifactInvalid
from recsys.gates.html_frame import chip, code, count_cell, document, table, text

_NIGHT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_RESULT_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}-[0-9a-f]{12}\.json")
_MAX_RESULT_BYTES = 20_000_000
_FAILURES_SHOWN = 50
# Beside a night's page, so that the page over all nights need not read its results again.
_FIGURES = "night.json"
_FIGURES_SCHEMA = 1
_SEVERITIES: tuple[Severity, ...] = get_args(Severity)
_COUNTS = ("✕ critical", "! warning", "i info")


@dataclass(frozen=True)
class GateResult:
    """One gate's result, as its JSON says; ``file`` is the file's name without its suffix.

    ``judged`` is when it was last written, in seconds since 1970. ``unreadable`` says why
    the file could not be read, or is empty.
    """

    file: str
    judged: float
    has_page: bool
    suite: str
    subject: str = ""
    evaluated: int = 0
    passed: bool = False
    failures: tuple[Failure, ...] = ()
    unreadable: str = ""

    @property
    def state(self) -> str:
        """One of passed, refused, no verdict (it could not be evaluated) and unreadable."""
        if self.unreadable:
            return "unreadable"
        if self.passed:
            return "passed"
        return "refused" if self.count("critical") else "no verdict"

    def count(self, severity: Severity) -> int:
        """How many expectations of this severity did not hold."""
        return sum(failure.severity == severity for failure in self.failures)


@dataclass(frozen=True)
class NightFigures:
    """A night in one line. ``files`` are the results it was made of.

    ``stopped_by`` names the suites whose last verdict is not a pass; ``not_passed`` counts
    every result that is not, those that a later one of the same suite made good included.
    ``failures`` counts by severity what did not hold.
    """

    night: str
    files: tuple[str, ...]
    gates: int
    not_passed: int
    stopped_by: tuple[str, ...]
    failures: dict[str, int]


def update_pages(docs_dir: Path, night: str) -> None:
    """Write the night's page and the page over all nights anew, from the results there.

    Safe beside other gates that do the same: one at a time writes, and each sees every
    result that was written before its turn. A result that cannot be read is shown as such.
    Nights whose figures are missing or out of date are written anew as well.

    Raises
    ------
    ArtifactInvalid
        ``night`` cannot name a folder.
    OSError
        The pages cannot be written.
    """
    require(_NIGHT_NAME.fullmatch(night) is not None, f"{night!r} cannot name a folder")
    docs_dir.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(docs_dir / ".pages.lock"):
        figures = [
            (None if name == night else _kept(docs_dir / name, files))
            or _write_night(docs_dir / name, files)
            for name, files in _nights(docs_dir)
        ]
        write_atomically(docs_dir / "index.html", _all_nights_page(figures))


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    # The kernel gives the lock back when its holder dies.
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _nights(docs_dir: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Each night with the names of its results, newest night first."""
    with os.scandir(docs_dir) as entries:
        names = [
            entry.name
            for entry in entries
            if _NIGHT_NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        ]
    found = [(name, _results_in(docs_dir / name)) for name in sorted(names, reverse=True)]
    return [(name, files) for name, files in found if files]


def _results_in(folder: Path) -> tuple[str, ...]:
    with os.scandir(folder) as entries:
        return tuple(
            sorted(
                entry.name
                for entry in entries
                if _RESULT_NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
            )
        )


def _kept(folder: Path, files: tuple[str, ...]) -> NightFigures | None:
    """The figures kept beside a night's page, if they are of these very results."""
    try:
        data = _load(folder / _FIGURES)
        if data["schema"] != _FIGURES_SCHEMA or tuple(data["files"]) != files:
            return None
        return NightFigures(
            night=folder.name,
            files=files,
            gates=int(data["gates"]),
            not_passed=int(data["not_passed"]),
            stopped_by=tuple(map(str, data["stopped_by"])),
            failures={severity: int(data["failures"][severity]) for severity in _SEVERITIES},
        )
    except (ArtifactInvalid, KeyError, TypeError, ValueError):
        return None


def _write_night(folder: Path, files: tuple[str, ...]) -> NightFigures:
    results = sorted((_read(folder / name) for name in files), key=_in_order)
    figures = _figures(folder.name, files, results)
    write_atomically(folder / "index.html", _night_page(figures, results))
    write_atomically(
        folder / _FIGURES, canonical_json({"schema": _FIGURES_SCHEMA, **vars(figures)})
    )
    return figures


def _in_order(result: GateResult) -> tuple[float, str]:
    return result.judged, result.file


def _figures(night: str, files: tuple[str, ...], results: list[GateResult]) -> NightFigures:
    last = {result.suite: result for result in results}
    return NightFigures(
        night=night,
        files=files,
        gates=len(results),
        not_passed=sum(result.state != "passed" for result in results),
        stopped_by=tuple(_blame(result) for result in last.values() if result.state != "passed"),
        failures={
            severity: sum(result.count(severity) for result in results) for severity in _SEVERITIES
        },
    )


def _blame(result: GateResult) -> str:
    return result.suite if result.state == "refused" else f"{result.suite} ({result.state})"


# Reading


def _read(path: Path) -> GateResult:
    suite = path.stem.rpartition("-")[0]
    has_page = path.with_suffix(".html").is_file()
    judged = 0.0
    try:
        judged = path.stat().st_mtime
        data = _load(path)
        return GateResult(
            file=path.stem,
            judged=judged,
            has_page=has_page,
            suite=suite,
            subject=str(data["subject"]),
            evaluated=len(data["results"]),
            passed=data["passed"] is True,
            failures=_failures(data),
        )
    except (ArtifactInvalid, OSError) as error:
        reason = str(error)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{path.name}: not the result of a gate ({type(error).__name__}: {error})"
    return GateResult(path.stem, judged, has_page, suite, unreadable=reason[:300])


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_RESULT_BYTES + 1)
        require(
            len(content) <= _MAX_RESULT_BYTES, f"{path.name}: larger than {_MAX_RESULT_BYTES} bytes"
        )
        data = json.loads(content)
    except OSError as error:
        raise ArtifactInvalid(f"{path.name}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ArtifactInvalid(f"{path.name}: not JSON ({error})") from error
    require(isinstance(data, dict), f"{path.name}: expected an object")
    return dict(data)


def _failures(data: dict[str, Any]) -> tuple[Failure, ...]:
    if "failures" in data:
        return tuple(
            Failure(**{key: str(value) for key, value in item.items()})  # type: ignore[arg-type]
            for item in data["failures"]
        )
    return tuple(_failure(item) for item in data["results"] if not item["success"])


def _failure(item: dict[str, Any]) -> Failure:
    """From Great Expectations' own result, for files that do not hold the gate's failures."""
    asked, found = item["expectation_config"], item["result"]
    kwargs = asked["kwargs"]
    columns = [str(kwargs[key]) for key in ("column", "column_A", "column_B") if key in kwargs]
    if "unexpected_count" in found:
        samples = ", ".join(_short(value) for value in found["partial_unexpected_list"])
        observed = f"{found['unexpected_count']} of {found['element_count']} values: {samples}"
    else:
        observed = _short(found.get("observed_value", "could not be evaluated"))
    return Failure(
        expectation=str(asked["type"]),
        column=", ".join(columns),
        severity=asked["severity"],
        observed=observed,
        reason=str(asked["meta"].get("reason", "")),
    )


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:80]


# A night


def _night_page(figures: NightFigures, results: list[GateResult]) -> bytes:
    stopped = [result for result in results if result.state != "passed"]
    told = [result for result in results if result.state == "passed" and result.failures]
    last = {result.suite: result for result in results}
    parts = [
        '<nav><a href="../index.html">All nights</a></nav>',
        f"<h1>Night {text(figures.night)}</h1>",
        _banner(figures),
        _tiles(figures),
    ]
    if stopped:
        cards = "".join(_card(result, last[result.suite].passed) for result in stopped)
        parts.append(f"<h2>What did not pass</h2>{cards}")
    parts.append(f"<h2>Every gate, in order</h2>{_gates_table(results)}")
    if told:
        cards = "".join(_card(result, False) for result in told)
        parts.append(f"<h2>Passed, though something did not hold</h2>{cards}")
    return document(f"Night {figures.night}: {_word(figures)}", "\n".join(parts))


def _word(figures: NightFigures) -> str:
    if figures.stopped_by:
        return "refused"
    return "passed after a refusal" if figures.not_passed else "passed"


def _banner(figures: NightFigures) -> str:
    if figures.stopped_by:
        colour, says = "bad", f"✕ REFUSED by {', '.join(figures.stopped_by)}"
        more = "What did not pass its gate was not used."
    elif figures.not_passed:
        colour, says = "warn", "! Passed after a refusal"
        more = "A later verdict of each gate that refused let pass."
    else:
        colour, says = "good", "✓ Passed"
        more = "No gate of this night refused."
    return f'<div class="banner {colour}">{text(says)}<p>{text(more)}</p></div>'


def _tiles(figures: NightFigures) -> str:
    counts = figures.failures
    tiles = (
        (figures.gates, "verdicts"),
        (figures.not_passed, "did not pass"),
        (counts["critical"], "✕ critical failures"),
        (counts["warning"], "! warnings"),
        (counts["info"], "i infos"),
    )
    items = "".join(f"<li><b>{number}</b>{label}</li>" for number, label in tiles)
    return f'<ul class="tiles">{items}</ul>'


def _gates_table(results: list[GateResult]) -> str:
    headings = ["Time (UTC)", "Gate", "Verdict", *_COUNTS, "Held", "Judged"]
    rows = [_gate_row(result) for result in results]
    return table(headings, rows, numbers=[*_COUNTS, "Held"])


def _gate_row(result: GateResult) -> str:
    counts = "".join(count_cell(result.count(severity), severity) for severity in _SEVERITIES)
    held = result.evaluated - len(result.failures)
    return (
        f'<tr><td class="whole">{_time(result)}</td><td class="whole">{_link(result)}</td>'
        f'<td class="whole">{chip(result.state)}</td>{counts}'
        f'<td class="number">{held} of {result.evaluated}</td>'
        f'<td class="subject">{code(result.subject)}</td></tr>'
    )


def _time(result: GateResult) -> str:
    return datetime.fromtimestamp(result.judged, UTC).strftime("%H:%M:%S")


def _link(result: GateResult) -> str:
    # The page is written after the result: a gate that was killed in between has none.
    target = f"{result.file}.html" if result.has_page else f"{result.file}.json"
    return f'<a href="{text(target)}">{text(result.suite)}</a>'


def _card(result: GateResult, made_good: bool) -> str:
    colour = "" if result.state == "passed" else " refused"
    later = "A later verdict of this gate passed." if made_good else ""
    head = (
        f"<h3>{chip(result.state)} {_link(result)}</h3>"
        f'<p class="soft">{_time(result)} UTC {code(result.subject)} {later}</p>'
    )
    told = f"<p>{text(result.unreadable)}</p>" if result.unreadable else _failures_table(result)
    return f'<div class="card{colour}">{head}{told}</div>'


def _failures_table(result: GateResult) -> str:
    ordered = sorted(result.failures, key=lambda item: _SEVERITIES.index(item.severity))
    more = len(ordered) - _FAILURES_SHOWN
    rest = f"<p>… and {more} more on the gate's page.</p>" if more > 0 else ""
    if not ordered:
        return "<p>It could not be evaluated; the gate's page says why.</p>"
    rows = [_failure_row(failure) for failure in ordered[:_FAILURES_SHOWN]]
    return table(["Severity", "Observed", "Why it is asked", "Expectation", "Column"], rows) + rest


def _failure_row(failure: Failure) -> str:
    return (
        f'<tr><td class="whole">{chip(failure.severity)}</td><td>{text(failure.observed)}</td>'
        f"<td>{text(failure.reason)}</td><td>{code(failure.expectation)}</td>"
        f"<td>{code(failure.column)}</td></tr>"
    )


# All nights


def _all_nights_page(figures: list[NightFigures]) -> bytes:
    stopped = sum(bool(night.stopped_by) for night in figures)
    headings = ["Night", "State", "Verdicts", *_COUNTS, "Refused by"]
    rows = [_night_row(night) for night in figures]
    nights = "1 night" if len(figures) == 1 else f"{len(figures)} nights, the newest first"
    body = f'<h1>What every gate saw</h1><p class="soft">{nights}; {stopped} refused.</p>' + table(
        headings, rows, numbers=["Verdicts", *_COUNTS]
    )
    return document("Data Docs: all nights", body)


def _night_row(night: NightFigures) -> str:
    counts = "".join(count_cell(night.failures[severity], severity) for severity in _SEVERITIES)
    state = chip("refused" if night.stopped_by else "passed")
    if night.not_passed and not night.stopped_by:
        state += ' <span class="soft">after a refusal</span>'
    return (
        f'<tr><td class="whole"><a href="{text(night.night)}/index.html">{text(night.night)}</a>'
        f'</td><td class="whole">{state}</td><td class="number">{night.gates}</td>{counts}'
        f"<td>{text(', '.join(night.stopped_by))}</td></tr>"
    )
