"""Under AUTOCOMMIT the release of the outermost savepoint commits; where it cannot, the savepoint stays."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

import rome
from tests.support.databases import database, on

TABLES = [
    "PRAGMA foreign_keys = ON",
    "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
    "CREATE TABLE child (id INTEGER PRIMARY KEY, p REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
]
CHILD, RELEASE, PARENT = "INSERT INTO child VALUES (1, 5)", "RELEASE s", "INSERT INTO parent VALUES (5)"
SCRIPTS = {
    "mended": ["SAVEPOINT s", CHILD, RELEASE, PARENT, RELEASE],
    "undone": ["SAVEPOINT s", CHILD, RELEASE, "ROLLBACK TO s", RELEASE],
    "rolled back": ["SAVEPOINT s", CHILD, RELEASE, "ROLLBACK", RELEASE],
    "two": ["SAVEPOINT s", "SAVEPOINT t", CHILD, RELEASE, "ROLLBACK TO t", RELEASE],
    "an inner one of the same name": ["SAVEPOINT s", "SAVEPOINT S", CHILD, RELEASE, RELEASE, PARENT, RELEASE],
    "BEGIN": ["BEGIN", "SAVEPOINT s", CHILD, RELEASE, "COMMIT", PARENT, "COMMIT"],
    "no savepoint": [CHILD, "INSERT OR IGNORE INTO child VALUES (2, 6), (3, 7)", PARENT, CHILD],
    "temporary": [
        "CREATE TEMP TABLE a (id INTEGER PRIMARY KEY)",
        "CREATE TEMP TABLE b (a REFERENCES a DEFERRABLE INITIALLY DEFERRED)",
        *("SAVEPOINT s", "INSERT INTO b VALUES (3)", RELEASE, "INSERT INTO a VALUES (3)", RELEASE),
    ],
}


@pytest.fixture(params=on("memory", "lmdb", "redis", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_as_sqlite(url: str, script: list[str]) -> None:
    connections = sqlite3.connect(":memory:", isolation_level=None), rome.connect(url, isolation_level=None)
    with closing(connections[0]) as stock, closing(connections[1]) as ours:
        assert _play(ours, script) == _play(stock, script)


def _play(connection: Any, script: list[str]) -> list[tuple[object, ...]]:
    """What was seen after each statement."""
    seen: list[tuple[object, ...]] = []
    for sql in [*TABLES, *script]:
        error = ""
        with suppress(connection.Error):
            error = sql
            connection.execute(sql)
            error = ""
        counts = connection.execute("SELECT changes(), total_changes()").fetchone()
        rows = connection.execute("SELECT * FROM child").fetchall() if "child" in str(seen) else []
        seen.append((sql, error, rows, counts, connection.total_changes, connection.in_transaction))
    return seen
