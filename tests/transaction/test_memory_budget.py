"""Statements that need more rows than memory may be taken for: a clear error, and a connection that goes on."""

from __future__ import annotations

import pickle

import pytest

from rome.dbapi import Connection
from rome.errors import WorkingSetFullError
from rome.transaction.memory_budget import RECORD_FACTOR, ROW_BYTES
from tests.support.databases import Connect

ROWS = 1_000
NOTE = "x" * 100
ROOM_FOR_ALL = ROWS * (ROW_BYTES + RECORD_FACTOR * (len(NOTE) + 20))


@pytest.fixture
def filled(connect: Connect) -> None:
    connection = connect()
    connection.executescript("""
        CREATE TABLE t (id INTEGER PRIMARY KEY, kind INT, note TEXT, twice INT);
        CREATE INDEX t_kind ON t (kind);
        CREATE TABLE child (id INTEGER PRIMARY KEY, parent INT REFERENCES t);
    """)
    rows = [(number, number % 4, NOTE, 2 * number) for number in range(1, ROWS + 1)]
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    connection.commit()


@pytest.fixture
def narrow(filled: None, connect: Connect) -> Connection:
    """Has room for a third of the rows."""
    return connect(max_working_set=str(ROOM_FOR_ALL // 3))


def notes(connection: Connection, kind: int) -> int:
    return len(connection.execute("SELECT note FROM t WHERE kind = ?", (kind,)).fetchall())


def test_what_fits_is_read(filled: None, connect: Connect) -> None:
    connection = connect(max_working_set=str(ROOM_FOR_ALL))
    assert len(connection.execute("SELECT * FROM t").fetchall()) == ROWS


def test_what_does_not_fit_is_refused_by_name(narrow: Connection) -> None:
    with pytest.raises(WorkingSetFullError) as raised:
        narrow.execute("UPDATE t SET note = 'x' WHERE twice > 4")
    assert (raised.value.table, raised.value.rows, raised.value.sqlstate) == ("t", ROWS, "54000")
    assert "reads 1,000 rows of table t, more than max_working_set" in str(raised.value)
    assert "index that begins with twice" in str(raised.value)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (str(again), again.table, again.rows) == (str(raised.value), "t", ROWS)


def test_a_change_without_conditions_names_no_column(narrow: Connection) -> None:
    with pytest.raises(WorkingSetFullError, match="A narrower condition on an index would"):
        narrow.execute("UPDATE t SET kind = kind + 1")


def test_it_fails_before_all_is_read(narrow: Connection) -> None:
    with pytest.raises(WorkingSetFullError):
        narrow.execute("DELETE FROM t WHERE kind >= 0 AND twice = 4")
    assert narrow.rome_stats.rows <= ROWS


def test_the_transaction_goes_on(narrow: Connection) -> None:
    narrow.execute("INSERT INTO t VALUES (2000, 9, 'mine', 0)")
    narrow.execute("UPDATE t SET note = 'changed' WHERE id = 1")
    with pytest.raises(WorkingSetFullError):
        narrow.execute("UPDATE t SET note = 'none' WHERE twice >= 0")
    assert narrow.execute("SELECT note FROM t WHERE id IN (1, 2, 2000)").fetchall() == [
        ("changed",),
        (NOTE,),
        ("mine",),
    ]
    assert notes(narrow, 2) == ROWS // 4
    narrow.commit()
    assert narrow.execute("SELECT id FROM t WHERE id IN (1, 2000) AND note IN ('changed', 'mine')").fetchall() == [
        (1,),
        (2000,),
    ]


def test_rows_of_earlier_statements_make_room(narrow: Connection) -> None:
    narrow.execute("UPDATE t SET note = 'changed' WHERE id = 4")
    for _ in range(2):
        assert [notes(narrow, kind) for kind in range(4)] == [ROWS // 4] * 4
    assert narrow.execute("SELECT id FROM t WHERE kind = 0 AND note = 'changed'").fetchall() == [(4,)]


def test_rows_that_made_room_are_still_validated(narrow: Connection, connect: Connect) -> None:
    for kind in range(4):
        notes(narrow, kind)
    narrow.execute("INSERT INTO child VALUES (1, NULL)")
    other = connect()
    other.execute("UPDATE t SET note = 'other' WHERE id = 4")
    other.commit()
    with pytest.raises(Exception, match="changed"):
        narrow.commit()


def test_room_is_made_between_savepoints(narrow: Connection) -> None:
    assert notes(narrow, 0) == ROWS // 4
    narrow.execute("SAVEPOINT a")
    narrow.execute("DELETE FROM t WHERE id = 4")
    assert notes(narrow, 1) == ROWS // 4
    assert notes(narrow, 2) == ROWS // 4
    narrow.execute("ROLLBACK TO a")
    assert notes(narrow, 0) == ROWS // 4
    narrow.commit()


def test_a_guard_that_does_not_fit_undoes_the_statement(narrow: Connection, connect: Connect) -> None:
    other = connect()
    other.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
    other.execute("CREATE TABLE c (id INTEGER PRIMARY KEY, p INT REFERENCES p, note TEXT)")  # without an index on p
    other.execute("INSERT INTO p VALUES (1), (2)")
    other.executemany("INSERT INTO c VALUES (?, 1, ?)", [(number, NOTE) for number in range(ROWS)])
    other.commit()
    with pytest.raises(WorkingSetFullError, match="table c"):
        narrow.execute("DELETE FROM p WHERE id = 2")
    assert narrow.execute("SELECT id FROM p WHERE id IN (1, 2)").fetchall() == [(1,), (2,)]
    narrow.execute("INSERT INTO p VALUES (3)")
    narrow.commit()


def test_rows_by_key_are_counted(narrow: Connection) -> None:
    keys = list(range(1, ROWS + 1))
    with pytest.raises(WorkingSetFullError, match="too many rows of t by their keys"):
        narrow.execute(f"DELETE FROM t WHERE id IN ({', '.join('?' * ROWS)})", keys)
    rows = narrow.execute(f"SELECT * FROM t WHERE id IN ({', '.join('?' * ROWS)})", keys).fetchall()
    assert [row[0] for row in rows] == keys


@pytest.mark.parametrize(
    "change", ["CREATE INDEX child_kind ON child (kind)", "ALTER TABLE child ADD UNIQUE (kind, id)"]
)
def test_rows_that_a_new_index_is_made_of_stay(narrow: Connection, connect: Connect, change: str) -> None:
    narrow.execute("DROP TABLE child")
    narrow.execute("CREATE TABLE child (id INTEGER PRIMARY KEY, kind INT)")
    narrow.executemany("INSERT INTO child VALUES (?, ?)", [(number, number % 4) for number in range(40)])
    narrow.commit()
    narrow.execute(change)
    with pytest.raises(WorkingSetFullError):
        narrow.execute("SELECT a.note FROM t AS a, t AS b WHERE a.twice > 4")
    counted = "SELECT count(*) FROM child WHERE kind = 3"
    assert narrow.execute(counted).fetchall() == [(10,)]
    narrow.commit()
    assert connect().execute(counted).fetchall() == [(10,)]
