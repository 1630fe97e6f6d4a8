"""`rome explain`: show what a statement reads, as a tree."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence

from rome.cli.existing import connected
from rome.cli.shown import as_json
from rome.codec.values import SqlValue

ReportRow = Mapping[str, object]
"""A row of EXPLAIN ROME: {column name: value}."""

_NUMBER = re.compile(r"[+-]?[0-9]+")
_REAL = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?")
_BRANCHES = ("├─ ", "└─ ", "│  ")
_PLAIN_BRANCHES = ("|- ", "`- ", "|  ")


def run_explain(parsed: argparse.Namespace) -> None:
    """Print the plan of the statement. With --analyze the statement runs, and what it changes is undone."""
    with connected(parsed.url) as connection:
        analyze = "ANALYZE " if parsed.analyze else ""
        cursor = connection.execute(
            f"EXPLAIN ROME {analyze}{parsed.statement}", [value_of(t) for t in parsed.parameters]
        )
        names = [column[0] for column in cursor.description or ()]
        rows = cursor.fetchall()
    if parsed.json:
        print(as_json(names, rows))
    else:
        print_tree(names, rows)


def print_tree(names: Sequence[str], rows: Sequence[Sequence[SqlValue]]) -> None:
    """Print the result of EXPLAIN ROME as a tree, in characters that the terminal has."""
    print(tree([dict(zip(names, row, strict=True)) for row in rows], _branches(sys.stdout.encoding)))


def value_of(text: str) -> SqlValue:
    """The value of a parameter on the command line: a number or NULL as SQL writes it; anything else is text.

    Single quotes around a text are removed, so that '5' is text and 5 is a number.
    """
    if text.upper() == "NULL":
        return None
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if _NUMBER.fullmatch(text):
        return int(text)
    return float(text) if _REAL.fullmatch(text) else text


def tree(rows: Sequence[ReportRow], branches: tuple[str, str, str] = _BRANCHES) -> str:
    """One line per row: the waves, each with its accesses below it, then the totals."""
    branch, last_branch, trunk = branches
    lines = []
    for at, row in enumerate(rows[:-1]):
        if not row["table"]:
            lines.append(f"{branch}{_head(row)}")
        else:
            ends = not rows[at + 1]["table"]
            lines.append(f"{trunk}{last_branch if ends else branch}{_access(row)}")
    return "\n".join([*lines, f"{last_branch}{_head(rows[-1])}"])


def _head(row: ReportRow) -> str:
    """The line of a wave, or of a row that belongs to no wave, such as the totals."""
    name = f"wave {row['wave']}" if row["wave"] else str(row["access"])
    expected = _count(row["expected_trips"], "trip")
    if row.get("trips") is None:
        figures = f"{expected} expected" if expected else ""
    else:
        counted = (
            [_count(row[f"{what}s"], what) for what in ("trip", "row", "byte")] if row["trips"] or expected else []
        )
        figures = ", ".join([*counted, f"{row['ms']} ms"]) + (f" ({expected} expected)" if expected else "")
    if row["wave"] and "trips" in row and row["trips"] is None:
        figures = "nothing was left to read"
    return ": ".join(filter(None, [name, "; ".join(filter(None, [figures, str(row["remark"])]))]))


def _access(row: ReportRow) -> str:
    """The line of one access: a table and how its rows are found."""
    most = "row count unknown" if row["most_rows"] is None else f"at most {_count(row['most_rows'], 'row')}"
    parts = [row["access"], row["bounds"], row["remark"], most]
    return f"{row['table']}: {', '.join(str(part) for part in parts if part)}"


def _count(number: object, what: str) -> str:
    return "" if number is None else f"{number} {what}{'' if number == 1 else 's'}"


def _branches(encoding: str | None) -> tuple[str, str, str]:
    try:
        "".join(_BRANCHES).encode(encoding or "ascii")
    except UnicodeEncodeError:
        return _PLAIN_BRANCHES
    return _BRANCHES
