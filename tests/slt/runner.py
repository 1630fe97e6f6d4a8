"""Runs the records of one file and tells what became of each."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import apsw

from rome.errors import Error, NotSupportedError
from rome.planner.parse.statement import split_script
from tests.slt.databases import STOCK, Database, Value, fresh
from tests.slt.records import Hashed, Kind, Record, parse

_REFUSED = re.compile(r"\s*(CREATE\s+TRIGGER)\s+(\w+)", re.IGNORECASE)
"""The statements that Rome may refuse; docs/limitations.md says why. Nothing else is excused."""

_DROP = re.compile(r"\s*(DROP\s+TRIGGER)\s+(\w+)", re.IGNORECASE)

_SHOWN_VALUES = 8


class Failure(NamedTuple):
    line: int
    sql: str
    found: str


@dataclass(slots=True)
class Outcome:
    """What became of a file's records.

    Attributes:
        passed: how many gave what the file says.
        skipped: how many are for other databases.
        refused: statement -> how often Rome refused it, or could not drop what it had refused to create.
        failures: all others.
    """

    passed: int = 0
    skipped: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    @property
    def records(self) -> int:
        return self.passed + self.skipped + self.refused.total() + len(self.failures)


def run_file(path: Path, url: str) -> Outcome:
    """Run a file on a fresh database.

    Raises:
        slt.records.RecordError: it is not of the format.
    """
    outcome = Outcome()
    run = _Run()
    with fresh(url) as database:
        for record in parse(path):
            if not record.is_for("sqlite"):
                outcome.skipped += record.kind is not Kind.HALT
            elif record.kind is Kind.HALT:
                break
            else:
                run.run(record, database, outcome)
    return outcome


def differs_on_stock_sqlite(path: Path, outcome: Outcome) -> list[Failure]:
    """Those failures which stock SQLite has, too, with the same result; the file is older than this SQLite."""
    stock = set(run_file(path, STOCK).failures) if outcome.failures else set()
    return [failure for failure in outcome.failures if failure in stock]


class _Run:
    """What is known while a file runs."""

    def __init__(self) -> None:
        self._results: dict[str, list[str]] = {}  # by label
        self._never_created: set[str] = set()

    def run(self, record: Record, database: Database, outcome: Outcome) -> None:
        rows: list[tuple[Value, ...]] = []
        error: Exception | None = None
        refused: str | None = None
        for sql in split_script(record.sql):
            try:
                rows = list(database.execute(sql))
            except (Error, apsw.Error) as raised:
                error = raised
                refused = self._refused(sql, raised)
                break
        if refused is not None:
            outcome.refused[refused] += 1
            return
        found = self._difference(record, rows, error)
        if found is None:
            outcome.passed += 1
        else:
            outcome.failures.append(Failure(record.line, record.sql, found))

    def _refused(self, sql: str, error: Exception) -> str | None:
        """What to call a statement that Rome refuses, or that drops what such a one would have created."""
        created, dropped = _REFUSED.match(sql), _DROP.match(sql)
        if created is not None and isinstance(error, NotSupportedError):
            self._never_created.add(created[2].upper())
            return created[1].upper()
        if dropped is not None and dropped[2].upper() in self._never_created:
            return dropped[1].upper()
        return None

    def _difference(self, record: Record, rows: list[tuple[Value, ...]], error: Exception | None) -> str | None:
        """What is not as the file says; None when all is."""
        if isinstance(error, NotSupportedError):  # also where an error is due, since it would be for another reason
            return f"{type(error).__name__}: {error}"
        if record.fails:
            return None if error is not None else "no error"
        if error is not None:
            return f"error: {error}"
        if record.kind is Kind.STATEMENT:
            return None
        if any(len(row) != len(record.types) for row in rows):
            return f"{len(rows[0])} columns"
        values = _sorted(record, rows)
        if record.label is not None and self._results.setdefault(record.label, values) != values:
            return f"another result than before under label {record.label}: {_shown(values)}"
        expected = record.result
        same = _hashed(values) == expected if isinstance(expected, Hashed) else values == expected
        return None if same else _shown(values)


def _sorted(record: Record, rows: list[tuple[Value, ...]]) -> list[str]:
    texts = [[_text(value, kind) for value, kind in zip(row, record.types, strict=True)] for row in rows]
    if record.order == "rowsort":
        texts.sort()
    values = [text for row in texts for text in row]
    return sorted(values) if record.order == "valuesort" else values


def _text(value: Value, kind: str) -> str:
    """A value as the files have it; I and R are conversions by SQLite's sqlite3_column_int64() and _double()."""
    if value is None:
        return "NULL"
    if kind == "I":
        return str(int(_number(value)))
    if kind == "R":
        return f"{_number(value):.3f}"
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return "".join(c if " " <= c <= "~" else "@" for c in text) or "(empty)"


def _number(value: int | float | str | bytes) -> int | float:
    """A text or blob is the number that it begins with, or 0."""
    if isinstance(value, int | float):
        return value
    number = next(apsw.Connection(":memory:").execute("SELECT CAST(? AS NUMERIC)", (value,)))[0]
    assert isinstance(number, int | float)
    return number


def _hashed(values: list[str]) -> Hashed:
    digest = hashlib.md5("".join(f"{value}\n" for value in values).encode(), usedforsecurity=False)
    return Hashed(len(values), digest.hexdigest())


def _shown(values: list[str]) -> str:
    shown = ", ".join(values[:_SHOWN_VALUES]) + (", .." if len(values) > _SHOWN_VALUES else "")
    return f"{len(values)} values: {shown}"
