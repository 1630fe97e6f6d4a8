"""A readable table of what a boot's database requests cost."""

from __future__ import annotations

import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from romekit.recorder import COMMIT, PING, ROLLBACK, STATEMENT, Recording, Request

_HEADER = f"{'per boot':>8} {'median':>9} {'trips':>5} {'rows':>6} {'in all':>9}  request"
_LEGEND = """\
per boot: how often; median: time of one; trips: round trips to the store and rows: rows fetched from there, mean of
one; in all: time per boot. Requests with the same text are counted together, whichever database they went to."""
_PLAIN_WIDTH = 160
"""Columns where the output is not a terminal."""

# Applied one after the other, they leave of a statement its verb, tables and condition.
_END_OF_JOIN = r"(?=\)| (?:LEFT|INNER|JOIN|WHERE|ORDER|GROUP|LIMIT)|$)"
_ABBREVIATIONS = (
    (re.compile(r"\s+"), " "),
    (re.compile(r"SELECT .*? FROM "), "SELECT .. FROM "),
    (re.compile(r"(INSERT INTO \S+) .*"), r"\1"),
    (re.compile(r" SET .*? WHERE "), " SET .. WHERE "),
    (re.compile(rf" (?:LEFT OUTER |INNER )?JOIN (\w+)(?: AS \w+)? ON .*?{_END_OF_JOIN}"), r" + \1"),
    (re.compile(r"\b[a-z]\w*\.(?=\w)"), ""),
    (re.compile(r" LIMIT \?(?: OFFSET \?)?"), " LIMIT"),
    (re.compile(r" (?:AS|ORDER BY) \w+(?: ASC)?"), ""),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """All executions of one request together. `seconds` is their sum; `round_trips` and `rows` are means."""

    text: str
    count: int
    seconds: float
    median_s: float
    round_trips: float | None
    rows: float | None


def costs(requests: Iterable[Request]) -> list[Cost]:
    """One Cost per distinct request, the most expensive first. The same text in two databases is one request."""
    groups: defaultdict[str, list[Request]] = defaultdict(list)
    for request in requests:
        groups[request.text].append(request)
    found = [_cost(text, group) for text, group in groups.items()]
    return sorted(found, key=lambda cost: cost.seconds, reverse=True)


def _cost(text: str, group: Sequence[Request]) -> Cost:
    seconds = [request.seconds for request in group]
    return Cost(
        text,
        len(group),
        sum(seconds),
        median(seconds),
        _mean([request.round_trips for request in group]),
        _mean([request.rows for request in group]),
    )


def _mean(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def outline(statement: str) -> str:
    """A statement's verb, tables and condition, on one line."""
    for pattern, replacement in _ABBREVIATIONS:
        statement = pattern.sub(replacement, statement)
    return statement.strip()


def table(recording: Recording, most: int | None = None) -> str:
    """The totals, then a table of what the requests cost, the most expensive first, as wide as the terminal.

    Args:
        most: how many requests are shown; None for all.
    """
    width = shutil.get_terminal_size((_PLAIN_WIDTH, 0)).columns
    boots = len(recording.boots_s)
    found = costs(recording.requests)
    lines = [_HEADER]
    for cost in found[:most]:
        line = (
            f"{_number(cost.count / boots):>8} {_ms(cost.median_s):>9} {_number(cost.round_trips):>5} "
            f"{_number(cost.rows):>6} {_ms(cost.seconds / boots):>9}  {outline(cost.text)}"
        )
        lines.append(line[:width].rstrip())
    if most is not None and most < len(found):
        left = sum(cost.seconds for cost in found[most:]) / boots
        lines.append(f"{len(found) - most} more requests, {_ms(left)} per boot in all; ARGS=--all-requests shows them")
    return "\n".join([_totals(recording), "", *lines, _LEGEND])


def _totals(recording: Recording) -> str:
    boots = len(recording.boots_s)
    kinds = Counter(request.kind for request in recording.requests)
    counts = ", ".join(f"{_number(kinds[kind] / boots)} {kind}s" for kind in (STATEMENT, COMMIT, ROLLBACK, PING))
    texts = {request.text for request in recording.requests if request.kind == STATEMENT}
    trips = [request.round_trips for request in recording.requests if request.round_trips is not None]
    seconds = sum(request.seconds for request in recording.requests) / boots
    known_trips = f", {_number(sum(trips) / boots)} round trips to the store" if trips else ""
    took = f"{median(recording.boots_s):.2f} s (median)"
    return (
        f"A boot took {took}, {_ms(seconds)} of them in the database{known_trips}.\n"
        f"Per boot: {counts}; {len(texts)} distinct statements."
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"


def _number(value: float | None) -> str:
    """The number with at most one digit after the point; a dash for None."""
    return "-" if value is None else f"{value:.1f}".removesuffix(".0")
