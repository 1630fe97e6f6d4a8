"""A statement stands, or nothing of it is left, also when it fails after SQLite has run it; as in stock SQLite.

The working set keeps no index that is not unique: what its expressions raise comes up when the entries are computed.
"""

from __future__ import annotations

import pytest

from engine.stored_entries import check_entries
from rome.dbapi import Connection
from rome.errors import OperationalError


def test_failing_index_expression_leaves_no_orphan(connection: Connection) -> None:
    for sql in (
        "CREATE TABLE p (id INTEGER PRIMARY KEY, j)",
        "CREATE INDEX i ON p (json_extract(j, '$.a'))",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, pid INT REFERENCES p ON UPDATE CASCADE, x INT)",
        "INSERT INTO p VALUES (1, '{}')",
        "INSERT INTO c VALUES (1, 1, 0)",
    ):
        connection.execute(sql)
    connection.commit()
    connection.execute("UPDATE c SET x = 1")
    with pytest.raises(OperationalError, match="malformed JSON"):
        connection.execute("UPDATE p SET id = 2, j = 'bad'")
    connection.commit()
    assert connection.execute("SELECT id FROM p").fetchall() == [(1,)]
    assert connection.execute("SELECT pid, x FROM c").fetchall() == [(1, 1)]
    connection.execute("INSERT INTO p VALUES (7, '{}')")
    connection.commit()
    connection.execute("SELECT 1 FROM p")
    check_entries(connection)
