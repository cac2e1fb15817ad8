"""The frame of every Data Docs page: one style, no script, nothing loaded from anywhere.

Pages show what deliveries brought, so nothing in them is trusted: every text goes through
`text`, and a Content-Security-Policy allows the page's own style sheet and no more.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Sequence

# Control characters, marks that turn the reading direction, and halves of surrogate pairs.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

# Colours are never the only sign: each state is also a word with a mark of its own.
STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1d2329; --soft: #59636e; --paper: #fff; --panel: #f6f8fa; --line: #d5dbe1;
  --link: #0b57d0; --good: #14683a; --good-paper: #e3f4e8; --bad: #a8201a; --bad-paper: #fdebe9;
  --warn: #7a4d00; --warn-paper: #fdf2d6; --info: #1b4f8a; --info-paper: #e6f0fb;
}
@media (prefers-color-scheme: dark) { :root {
  --ink: #e4e8ec; --soft: #9aa5b1; --paper: #14181c; --panel: #1c2127; --line: #333b44;
  --link: #8ab4f8; --good: #7ddc9f; --good-paper: #17301f; --bad: #ff9c94; --bad-paper: #3b1917;
  --warn: #f2c665; --warn-paper: #362a0e; --info: #93c2f7; --info-paper: #16293f;
} }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--paper);
  font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1.5rem 4rem; }
nav { color: var(--soft); font-size: .9rem; }
a { color: var(--link); text-underline-offset: .15em; }
h1 { margin: .4rem 0 .8rem; font-size: 1.8rem; line-height: 1.2; letter-spacing: -.01em; }
h2 { margin: 2.2rem 0 .6rem; font-size: 1.2rem; }
h3, h4, h5, h6 { margin: 0; font-size: 1.02rem; }
p { margin: .4rem 0; max-width: 60rem; }
.soft { color: var(--soft); }
code { font: .88em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono",
  monospace; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .45rem .7rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; overflow-wrap: break-word; }
th { color: var(--soft); font-size: .82rem; font-weight: 600; }
th, .whole { overflow-wrap: normal; white-space: nowrap; }
.subject code { overflow-wrap: anywhere; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.chip { display: inline-block; padding: .05rem .55rem; border: 1px solid; border-radius: 1rem;
  font-size: .85rem; font-weight: 600; white-space: nowrap; }
.good { color: var(--good); background: var(--good-paper); }
.bad { color: var(--bad); background: var(--bad-paper); }
.warn { color: var(--warn); background: var(--warn-paper); }
.info { color: var(--info); background: var(--info-paper); }
.none { color: var(--soft); }
.banner { margin: 1rem 0; padding: .9rem 1.1rem; border: 1px solid; border-left-width: .5rem;
  border-radius: .4rem; font-size: 1.15rem; font-weight: 600; }
.banner p { margin: .2rem 0 0; font-size: .95rem; font-weight: 400; color: var(--ink); }
.tiles { display: flex; flex-wrap: wrap; gap: .7rem; margin: 1rem 0; padding: 0;
  list-style: none; }
.tiles li { min-width: 8.5rem; padding: .6rem .9rem; border: 1px solid var(--line);
  border-radius: .4rem; background: var(--panel); color: var(--soft); font-size: .88rem; }
.tiles b { display: block; color: var(--ink); font-size: 1.5rem; line-height: 1.2;
  font-variant-numeric: tabular-nums; }
.card { margin: 1rem 0; padding: .9rem 1.1rem; border: 1px solid var(--line);
  border-radius: .4rem; background: var(--panel); }
.card.refused { border: 2px solid var(--bad); }
.card table { margin-top: .5rem; }
.gx section { margin: 1rem 0; padding: .8rem 1.1rem; border: 1px solid var(--line);
  border-radius: .4rem; }
.gx td, .gx th { padding: .3rem .6rem; }
.gx ul { margin: .2rem 0; padding-left: 1.1rem; }
"""
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; base-uri 'none'; form-action 'none'"
)


def text(value: str) -> str:
    """The text as HTML shows it: escaped, without control characters."""
    return html.escape(_UNPRINTABLE.sub("\ufffd", value))


def document(title: str, body: str) -> bytes:
    """A whole page; ``title`` is plain text, ``body`` is HTML whose texts are escaped."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="referrer" content="no-referrer">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>\n"
    ).encode()


_CHIPS = {
    "passed": ("good", "✓ passed"),
    "held": ("good", "✓ held"),
    "failed": ("bad", "✕ failed"),
    "refused": ("bad", "✕ REFUSED"),
    "no verdict": ("bad", "✕ NO VERDICT"),
    "unreadable": ("bad", "✕ UNREADABLE"),
    "critical": ("bad", "✕ critical"),
    "warning": ("warn", "! warning"),
    "info": ("info", "i info"),
}


def chip(word: str) -> str:
    """A state or a severity as a coloured word with its mark."""
    colour, label = _CHIPS[word]
    return f'<span class="chip {colour}">{label}</span>'


def count_cell(count: int, severity: str) -> str:
    """A right-aligned table cell: a count, coloured as its severity unless it is 0."""
    colour = "none" if count == 0 else _CHIPS[severity][0]
    return f'<td class="number"><span class="{colour}">{count}</span></td>'


def code(name: str) -> str:
    """A name in code's letters, which may break after an underscore."""
    return f"<code>{text(name).replace('_', '_<wbr>')}</code>"


def table(headings: Sequence[str], rows: Sequence[str], *, numbers: Sequence[str] = ()) -> str:
    """A table; headings are plain text, those of ``numbers`` to the right, rows are HTML."""
    head = "".join(
        f"<th{' class=number' if heading in numbers else ''}>{text(heading)}</th>"
        for heading in headings
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
