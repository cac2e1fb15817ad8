"""Data Docs: one page a verdict, by Great Expectations' own renderer, readable offline.

GX's page loads style and scripts from five hosts and does not show severities. Both are
mended here: nothing is loaded, and our summary stands above GX's own sections.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

from recsys.gates.expectations import Outcome, SuiteRun
from recsys.gates.suite_file import SuiteFile

# Everything that would load something from elsewhere, run, or advertise.
_LOADED = re.compile(
    r"<script\b.*?</script>|<link\b[^>]*>|<img\b[^>]*>|<footer\b.*?</footer>", re.DOTALL
)
_STYLE = """<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 1rem 2rem; color: #222; background: #fff; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
th, td { border: 1px solid #ccc; padding: .3rem .6rem; text-align: left; vertical-align: top; }
.verdict-passed { color: #186a3b; } .verdict-refused { color: #a93226; }
</style>"""


@dataclass(frozen=True)
class Page:
    """What a page is about."""

    suite: SuiteFile
    subject: str
    night: str
    run: SuiteRun


def render(page: Page) -> bytes:
    """The page as one HTML file that loads nothing from elsewhere."""
    from great_expectations.core.expectation_validation_result import (
        expectationSuiteValidationResultSchema,
    )
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    result = expectationSuiteValidationResultSchema.load(page.run.raw)
    document = ValidationResultsPageRenderer().render(result)
    view: Any = DefaultJinjaPageView()  # untyped
    text = _LOADED.sub("", str(view.render(document)))
    text = text.replace("</head>", f"{_STYLE}</head>", 1)
    return text.replace("<body>", f"<body>{_summary(page)}", 1).encode()


def _summary(page: Page) -> str:
    word = "passed" if page.run.passed else "refused"
    rows = "".join(_row(outcome) for outcome in page.run.outcomes)
    return (
        f'<h1>Gate {_text(page.suite.name)}: <span class="verdict-{word}">{word}</span></h1>'
        f"<p>{_text(page.suite.description)}</p>"
        f"<p>Night {_text(page.night)}, subject {_text(page.subject)},"
        f" owner {_text(page.suite.owner)}, suite SHA-256 {page.suite.digest[:12]}…</p>"
        "<table><tr><th>Expectation</th><th>Column</th><th>Allowed</th><th>Severity</th>"
        f"<th>Result</th><th>Reason</th></tr>{rows}</table>"
        "<h2>As Great Expectations shows it</h2>"
    )


def _row(outcome: Outcome) -> str:
    entry, failure = outcome.entry, outcome.failure
    cells = (
        entry.type,
        ", ".join(entry.columns),
        entry.allowed,
        entry.severity if failure is None else failure.severity,
        "held" if failure is None else failure.observed,
        entry.reason,
    )
    return f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in cells)}</tr>"


def _text(value: str) -> str:
    return html.escape(value)
