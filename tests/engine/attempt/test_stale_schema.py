"""Transactions that begin on a schema that another client has changed since."""

from __future__ import annotations

import pytest

from rome.engine.statement import schema
from rome.errors import CheckViolation
from tests.support.databases import Connect


def test_insert_goes_into_the_table_that_another_process_made_anew(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its id came from the sequence of the table that is gone: the replay must give it again, and keep it unique."""
    monkeypatch.setattr(schema, "newest", lambda incarnation: None)  # as if nobody here had made it
    writer, admin = connect(ids="blocks"), connect()
    admin.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
    admin.commit()
    for n in range(3):
        writer.execute("INSERT INTO t (n) VALUES (?)", (n,))
        writer.commit()
    admin.execute("DROP TABLE t")
    admin.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
    admin.commit()

    given = writer.execute("INSERT INTO t (n) VALUES (3)").lastrowid
    writer.commit()

    assert writer.rome_stats.replays == 1
    admin.executemany("INSERT INTO t (n) VALUES (?)", [(n,) for n in range(4, 10)])
    admin.commit()
    rows = writer.execute("SELECT id, n FROM t").fetchall()
    assert (given, 3) in rows
    assert sorted(n for _, n in rows) == [*range(3, 10)]


def test_insert_is_checked_by_what_another_connection_of_the_process_has_added(connect: Connect) -> None:
    writer, admin = connect(), connect()
    admin.execute("CREATE TABLE t (n INT)")
    admin.commit()
    writer.execute("INSERT INTO t VALUES (1)")
    writer.commit()
    admin.execute("DROP TABLE t")
    admin.execute("CREATE TABLE t (n INT CHECK (n > 1))")
    admin.commit()

    with pytest.raises(CheckViolation):
        writer.execute("INSERT INTO t VALUES (1)")
    writer.execute("INSERT INTO t VALUES (2)")
    writer.commit()

    assert writer.rome_stats.conflicts == 0
    assert admin.execute("SELECT n FROM t").fetchall() == [(2,)]
