"""Pieces of HTML: the document, headings, tables, folded parts, and horizontal bars with their spread."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_STYLE = """
:root { color-scheme: light dark; --ink: #1d1f23; --paper: #fff; --quiet: #5d6470; --line: #d9dce1; --track: #f1f2f4;
  --good: #17692f; --bad: #a8201a }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e6ea; --paper: #16181c; --quiet: #a2a9b5; --line: #343942; --track: #22262c;
    --good: #6ecb87; --bad: #ff8a80 } }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem;
  color: var(--ink); background: var(--paper) }
h1 { font-size: 1.5rem }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem } h3 { font-size: 1rem; margin: 1.25rem 0 .25rem }
p, li { max-width: 44rem } .lead { font-size: 1.15rem } .quiet { color: var(--quiet); font-size: .875rem }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums }
td, th { border-bottom: 1px solid var(--line); padding: .25rem .75rem .25rem 0;
  text-align: left; vertical-align: top }
.missed td:last-child { color: var(--bad) } .reached td:last-child { color: var(--good) }
.bars { display: grid; grid-template-columns: minmax(7rem, 12rem) max-content 1fr; gap: .2rem .6rem;
  align-items: center; font-size: .875rem; font-variant-numeric: tabular-nums; margin: .25rem 0 1rem }
.track { position: relative; height: 1rem; background: var(--track) }
.track b { position: absolute; inset: 0 auto 0 0 }
.track i { position: absolute; top: calc(50% - 1px); height: 2px; min-width: 2px; background: var(--ink) }
.track i::before, .track i::after { content: ""; position: absolute; top: -3px; width: 1px; height: 8px;
  background: var(--ink) }
.track i::before { left: 0 } .track i::after { right: 0 }
.track i.beyond::after { width: 0; height: 0; background: none;
  border: solid transparent; border-left-color: var(--ink); border-width: 4px 0 4px 6px }
.rome { font-weight: 600 } .value { text-align: right }
svg { max-width: 44rem; width: 100%; height: auto; color: var(--ink) } details { margin: 1rem 0 }
summary { cursor: pointer } dt { font-weight: 600 } dd { margin: 0 0 .5rem; overflow-wrap: anywhere }
@media (max-width: 30rem) { .bars { grid-template-columns: 1fr max-content }
  .track { grid-column: 1 / -1 } }
"""


def document(title: str, parts: Iterable[str]) -> str:
    """A whole page."""
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
    )
    body = "\n".join([f"<h1>{html.escape(title)}</h1>", *parts])
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def heading(text: str, level: int = 2) -> str:
    """A heading."""
    return f"<h{level}>{html.escape(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f'<p class="{kind}">{html.escape(text)}</p>' if kind else f"<p>{html.escape(text)}</p>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], classes: Sequence[str] | None = None) -> str:
    """A table that scrolls by itself where it is wider than the screen. `classes`: one for each row."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "\n".join(
        f'<tr class="{classes[number] if classes else ""}">'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        + "</tr>"
        for number, row in enumerate(rows)
    )
    return f'<div class="wide"><table><tr>{head}</tr>\n{body}</table></div>'


def folded(summary: str, *parts: str) -> str:
    """Parts that a click shows."""
    return f"<details><summary>{html.escape(summary)}</summary>\n{''.join(parts)}</details>"


def terms(pairs: Iterable[tuple[str, str]]) -> str:
    """Names with what they mean or are."""
    inner = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in pairs)
    return f"<dl>{inner}</dl>"


@dataclass(frozen=True, slots=True)
class Bar:
    """A horizontal bar up to `value`, with a line from `least` to `greatest`, the spread of the runs.

    Attributes:
        shown: the value with its unit, as text.
        strong: whether the name stands out.
    """

    name: str
    value: float
    least: float
    greatest: float
    shown: str
    colour: str
    strong: bool


def bars(found: Sequence[Bar]) -> str:
    """Bars below each other, on one scale that begins at zero; a spread that leaves it ends in an arrow."""
    end = 1.25 * max(bar.value for bar in found) or 1.0
    cells = []
    for bar in found:
        least, greatest = (min(100.0, 100 * value / end) for value in (bar.least, bar.greatest))
        beyond = ' class="beyond"' if bar.greatest > end else ""
        cells.append(
            f'<span class="name{" rome" if bar.strong else ""}">{html.escape(bar.name)}</span>'
            f'<span class="value">{html.escape(bar.shown)}</span>'
            f'<span class="track"><b style="width:{100 * bar.value / end:.2f}%;background:{bar.colour}"></b>'
            f'<i{beyond} style="left:{least:.2f}%;width:{greatest - least:.2f}%"></i></span>'
        )
    return f'<div class="bars">{"".join(cells)}</div>'
