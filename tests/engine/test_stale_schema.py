"""Transactions that begin on a schema which somebody else has changed since."""

from __future__ import annotations

from engine.conftest import Connect


def test_insert_goes_into_the_table_that_was_made_anew(connect: Connect) -> None:
    """Its id came from the sequence of the table that is gone: the replay must give it again, and keep it unique."""
    writer, admin = connect(), connect()
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
