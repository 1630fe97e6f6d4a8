"""`rome tables` and `rome schema`: what a database holds."""

from __future__ import annotations

import argparse

from rome.catalog.reflected_table import quote
from rome.cli.existing import connected
from rome.cli.shown import to_json
from rome.cli.table import table
from rome.dbapi.connection import Connection
from rome.errors import OperationalError
from rome.store.spelling import did_you_mean

_OBJECTS = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL"


def run_tables(parsed: argparse.Namespace) -> None:
    """Print the tables and views; with --counts also how many rows each has, with --size also their bytes.

    Cost: a count is one round trip for a table. --size reads every row.
    """
    with connected(parsed.url) as connection:
        found = [describe(connection, parsed, kind, name) for name, kind in tables(connection)]
    if parsed.json:
        print(to_json(found))
    elif found:
        print(table(list(found[0]), [list(each.values()) for each in found]))


def tables(connection: Connection) -> list[tuple[str, str]]:
    """(name, "table" or "view"), by name."""
    cursor = connection.execute(
        "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite~_%' ESCAPE '~' "
        "ORDER BY name"
    )
    return [(str(name), str(kind)) for name, kind in cursor]


def describe(connection: Connection, parsed: argparse.Namespace, kind: str, name: str) -> dict[str, object]:
    """One line of `rome tables`: {head: value}."""
    line: dict[str, object] = {"name": name, "type": kind}
    if parsed.counts:
        line["rows"] = connection.execute(f"SELECT count(*) FROM {quote(name)}").fetchone()[0]
    if parsed.size:
        line["bytes"] = _size(connection, name) if kind == "table" else None
    return line


def _size(connection: Connection, name: str) -> int:
    return next(connection.session.stored(lambda stored: iter([stored.size(stored.tables[name.lower()])])))


def run_schema(parsed: argparse.Namespace) -> None:
    """Print the statements that made the tables, indexes, views and triggers; of one table if it is named.

    Raises:
        OperationalError: there is no such table or view.
    """
    with connected(parsed.url) as connection:
        objects = [tuple(map(str, row)) for row in connection.execute(_OBJECTS)]
        named = schema_of(connection, parsed.table) if parsed.table else objects
    if parsed.json:
        print(to_json([dict(zip(("type", "name", "table", "sql"), row, strict=True)) for row in named]))
    else:
        for *_, sql in named:
            print(f"{sql};")


def schema_of(connection: Connection, name: str) -> list[tuple[str, ...]]:
    """(type, name, table, SQL) of one table or view, and of its indexes and triggers.

    Raises:
        OperationalError: there is no such table or view.
    """
    found = [tuple(map(str, row)) for row in connection.execute(f"{_OBJECTS} AND lower(tbl_name) = lower(?)", (name,))]
    if not found:
        known = [each for each, _ in tables(connection)]
        raise OperationalError(f"there is no table or view {name}{did_you_mean(name, known)}")
    return found
