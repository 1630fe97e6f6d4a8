"""The rows of a result in the forms that `rome query` and the shell print."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence

from rome.cli.table import printable, table
from rome.codec.values import SqlValue

Rows = Sequence[Sequence[SqlValue]]


def as_table(names: Sequence[str], rows: Rows) -> str:
    """Aligned columns, for people: NULL is shown as NULL, a blob as x'..', line breaks as \\n."""
    count = f"({len(rows)} row{'' if len(rows) == 1 else 's'})"
    return f"{table(names, [[cell(value) for value in row] for row in rows])}\n{count}"


def as_records(names: Sequence[str], rows: Rows) -> str:
    """One line per value, for rows that are wider than the screen."""
    width = max(map(len, names), default=0)
    return "\n".join(
        line
        for number, row in enumerate(rows, 1)
        for line in [
            f"-- row {number} --",
            *(f"{name:>{width}}: {cell(value)}" for name, value in zip(names, row, strict=True)),
        ]
    )


def as_csv(names: Sequence[str], rows: Rows) -> str:
    """RFC 4180 with a line of names. NULL and the empty text both are empty; a blob is x'..'."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([_hex(value) if isinstance(value, bytes) else value for value in row] for row in rows)
    return text.getvalue().removesuffix("\r\n")


def as_json(names: Sequence[str], rows: Rows) -> str:
    """An array of objects. A blob is {"$base64": ".."}, an infinite number {"$float": "inf"}: JSON has neither."""
    return to_json([dict(zip(unique(names), map(_plain, row), strict=True)) for row in rows])


def to_json(value: object) -> str:
    """Indented JSON, as every command prints it."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


def unique(names: Sequence[str]) -> list[str]:
    """The names, each but the first of several equal ones with its number, so that no column hides another."""
    seen: dict[str, int] = {}
    made = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(name if seen[name] == 1 else f"{name}:{seen[name]}")
    return made


def cell(value: SqlValue) -> str:
    """A value on one line."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return _hex(value)
    text = str(value)
    return printable(text)


def _hex(value: bytes) -> str:
    return f"x'{value.hex()}'"


def _plain(value: SqlValue) -> object:
    if isinstance(value, bytes):
        return {"$base64": base64.b64encode(value).decode()}
    if isinstance(value, float) and math.isinf(value):
        return {"$float": str(value)}
    return value


FORMS: Mapping[str, Callable[[Sequence[str], Rows], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "records": as_records,
}
