"""Data Docs: one page a verdict, by Great Expectations' own renderer, readable offline.

GX's page loads style and scripts from five hosts, links to pages that are not there, puts
delivered values into its HTML as they are, and does not show severities. So only its
sections are taken, rid of all but plain markup, and our summary stands above them.
"""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, get_args

from recsys.artifacts.verdict import Severity
from recsys.gates.expectations import Outcome, SuiteRun
from recsys.gates.html_frame import chip, code, document, table, text
from recsys.gates.suite_file import SuiteFile

# What stands for these characters of a value while GX renders: some of its templates escape
# values and some do not, and "$" is syntax to it. From Unicode's private use area.
_STAND_INS = {ord(character): 0xE000 + place for place, character in enumerate("<>&\"'$")}
_STOOD_FOR = {0xE000 + place: text(character) for place, character in enumerate("<>&\"'$")}
_PLAIN_TAGS = frozenset(
    {"h1", "h2", "h3", "h4", "h5", "h6", "p", "div", "span", "strong", "em", "b", "code", "pre"}
    | {"ul", "ol", "li", "br", "hr", "table", "thead", "tbody", "tr", "th", "td"}
)
# GX shows a result by an icon of a font that its page would load.
_ICONS = {"fa-check-circle": "✓ held", "fa-times": "✕ failed", "fa-exclamation-triangle": "! error"}
_SEVERITIES = get_args(Severity)


@dataclass(frozen=True)
class Page:
    """What a page is about."""

    suite: SuiteFile
    subject: str
    night: str
    run: SuiteRun

    @property
    def state(self) -> str:
        """One of passed, refused, and no verdict: something could not be evaluated."""
        if self.run.refused:
            return "refused"
        return "passed" if self.run.passed else "no verdict"


def render(page: Page) -> bytes:
    """The page as one HTML file that loads nothing from elsewhere."""
    return document(
        f"Gate {page.suite.name}, night {page.night}: {page.state}",
        f"{_summary(page)}\n<h2>Great Expectations: Expectation Validation Result</h2>\n"
        f'<div class="gx">{_sections(page.run)}</div>',
    )


def _summary(page: Page) -> str:
    outcomes = sorted(page.run.outcomes, key=_worst_first)
    held = sum(outcome.failure is None for outcome in outcomes)
    colour = "good" if page.state == "passed" else "bad"
    headings = ["Result", "Severity", "Found", "Why it is asked", "Expectation", "Column"]
    return (
        '<nav><a href="../index.html">All nights</a> /'
        f' <a href="index.html">Night {text(page.night)}</a></nav>'
        f"<h1>Gate {text(page.suite.name)}</h1><p>{text(page.suite.description)}</p>"
        f'<div class="banner {colour}">{chip(page.state)}'
        f" {held} of {len(outcomes)} expectations held</div>"
        f'<p class="soft">Judged {code(page.subject)}, owner'
        f" {text(page.suite.owner)}, suite SHA-256 <code>{page.suite.digest[:12]}…</code></p>"
        + table(headings, [_row(outcome) for outcome in outcomes])
    )


def _worst_first(outcome: Outcome) -> int:
    failure = outcome.failure
    return len(_SEVERITIES) if failure is None else _SEVERITIES.index(failure.severity)


def _row(outcome: Outcome) -> str:
    entry, failure = outcome.entry, outcome.failure
    severity = entry.severity if failure is None else failure.severity
    found = f"allowed: {entry.allowed}" if entry.allowed else "held"
    return (
        f'<tr><td class="whole">{chip("held" if failure is None else "failed")}</td>'
        f'<td class="whole">{text(severity) if failure is None else chip(severity)}</td>'
        f"<td>{text(found if failure is None else failure.observed)}</td>"
        f"<td>{text(entry.reason)}</td><td>{code(entry.type)}</td>"
        f"<td>{code(', '.join(entry.columns))}</td></tr>"
    )


def _sections(run: SuiteRun) -> str:
    """The sections of GX's page as plain markup without any attribute."""
    from great_expectations.core.expectation_validation_result import (
        expectationSuiteValidationResultSchema,
    )
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaSectionView

    results = _stand_in(run.raw["results"])
    loaded = expectationSuiteValidationResultSchema.load({**run.raw, "results": results})
    rendered: Any = ValidationResultsPageRenderer().render(loaded)  # untyped, as the view is
    view: Any = DefaultJinjaSectionView()
    sections = rendered.to_json_dict()["sections"][1:]  # the first sums up, as we did above
    return "\n".join(
        f"<section>{_plain(view.render({'section': section, 'section_loop': {'index': number}}))}"
        "</section>"
        for number, section in enumerate(sections, 1)
    )


def _stand_in(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stand_in(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_stand_in(item) for item in value]
    return value.translate(_STAND_INS) if isinstance(value, str) else value


def _plain(markup: str) -> str:
    parser = _PlainMarkup()
    parser.feed(markup)
    parser.close()
    return "".join(parser.parts)


class _PlainMarkup(HTMLParser):
    """Keeps text and plain tags, drops attributes, other tags, scripts and style sheets."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._dropping = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self._dropping = tag
        elif tag in _PLAIN_TAGS:
            self.parts.append(f"<{tag}>")
        elif tag == "i":
            classes = (dict(attrs).get("class") or "").split()
            self.parts += [_ICONS[name] for name in classes if name in _ICONS]

    def handle_endtag(self, tag: str) -> None:
        if tag == self._dropping:
            self._dropping = ""
        elif tag in _PLAIN_TAGS and tag not in ("br", "hr"):
            self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._dropping:
            self.parts.append(text(data).translate(_STOOD_FOR))
