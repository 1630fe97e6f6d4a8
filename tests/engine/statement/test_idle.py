"""The working set of a closed connection is another's: what SQLite has prepared is left of it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import apsw
import pytest

from rome.dbapi import Connection
from rome.errors import Error
from rome.workingset import idle
from rome.workingset.workingset import WorkingSet
from tests.support.databases import Connect

SCHEMA = """
    CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
    CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INT REFERENCES parent (id), v TEXT);
    CREATE TABLE pair (a TEXT, b INT, size INT AS (length(a)), PRIMARY KEY (a, b)) WITHOUT ROWID;
    INSERT INTO parent VALUES (1, 'one'), (2, 'two');
    INSERT INTO child VALUES (1, 1, 'x'), (2, 1, 'y'), (3, 2, 'z');
    INSERT INTO pair (a, b) VALUES ('a', 1), ('b', 2);
"""
COUNTERS = "SELECT last_insert_rowid(), changes(), total_changes()"
QUESTIONS = [
    COUNTERS,
    "SELECT p.name, count(c.id), group_concat(c.v) FROM parent p LEFT JOIN child c ON c.parent_id = p.id GROUP BY 1",
    "SELECT a, b, size, a LIKE 'A' FROM pair ORDER BY upper(a)",
    "SELECT * FROM child JOIN parent ON parent.id = parent_id WHERE v >= 'x' ORDER BY child.id DESC",
]
CHANGES = [
    "INSERT INTO child VALUES (70, 2, 'new')",
    "INSERT INTO child VALUES (71, 9, 'no parent')",
    "UPDATE parent SET name = 'one' WHERE id = 2",
    "UPDATE pair SET b = b + 1",
    "DELETE FROM child WHERE parent_id = 2",
    COUNTERS,
]


def working_set_of(connection: Connection) -> WorkingSet:
    return connection._session._context.workspace.working_set  # type: ignore[union-attr]


@pytest.fixture(autouse=True)
def _empty() -> None:
    idle.discard()


@pytest.fixture
def first(connect: Connect) -> Connection:
    """A connection that finds the schema there: the one that made it keeps its own working set."""
    connect().executescript(SCHEMA)
    return connect()


def answers(connection: Connection) -> list[object]:
    """What statements answer that read, change and are refused, in a transaction that is not committed."""
    found: list[object] = []
    for sql in [*QUESTIONS, *CHANGES, *QUESTIONS]:
        try:
            found.append(connection.execute(sql).fetchall())
        except Error as error:
            found.append(str(error))
    return found


def define(connection: Connection) -> None:
    connection.create_function("upper", 1, lambda value: "mine")


def define_and_take_away(connection: Connection) -> None:
    connection.create_function("upper", 1, lambda value: "mine")
    connection.execute("SELECT upper(name) FROM parent").fetchall()
    connection.create_function("upper", 1, None)


def use_temporary(connection: Connection) -> None:
    connection.execute("CREATE TEMP TABLE parent (id, name)")
    connection.execute("INSERT INTO temp.parent VALUES (7, 'temporary')")
    connection.commit()


def use_temporary_and_drop(connection: Connection) -> None:
    use_temporary(connection)
    connection.execute("DROP TABLE temp.parent")
    connection.commit()


def set_pragma(connection: Connection) -> None:
    connection.execute("PRAGMA case_sensitive_like = 1")


def be_interrupted(connection: Connection) -> None:
    def stop(_: object) -> int:
        raise KeyboardInterrupt

    connection.create_function("stop", 1, stop)
    with suppress(KeyboardInterrupt):
        connection.execute("UPDATE child SET v = stop(v)")


def hydrate_much(connection: Connection) -> None:
    connection.executemany("INSERT INTO child (v) VALUES (?)", [("v" * 5000,)] * 1000)
    connection.execute("SELECT count(*), max(v || 'x') FROM child").fetchall()
    connection.rollback()


def read(connection: Connection) -> None:
    answers(connection)


def leave_open(connection: Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("SAVEPOINT s")
    connection.execute("INSERT INTO child (parent_id, v) VALUES (2, 'uncommitted')")
    connection.execute("DELETE FROM pair")
    connection.execute("INSERT OR ROLLBACK INTO parent VALUES (3, 'three')")


def leave_changed_schema(connection: Connection) -> None:
    connection.execute("CREATE TABLE uncommitted (a)")
    connection.execute("ALTER TABLE parent ADD COLUMN uncommitted")


def leave_unread(connection: Connection) -> None:
    connection.execute("SELECT * FROM child c, parent p WHERE c.id > p.id").fetchone()


def watch(connection: Connection) -> None:
    connection.set_progress_handler(lambda: 1, 1)
    with suppress(Error):
        connection.execute(QUESTIONS[1]).fetchall()


def defer(connection: Connection) -> None:
    connection.execute("PRAGMA defer_foreign_keys = 1")
    connection.execute("INSERT INTO child (parent_id) VALUES (99)")


USES: list[tuple[Callable[[Connection], None], bool]] = [
    (read, True),
    (leave_open, True),
    (leave_unread, True),
    (watch, True),
    (defer, True),
    (leave_changed_schema, True),
    (define, False),
    (define_and_take_away, False),
    (use_temporary, False),
    (use_temporary_and_drop, False),
    (set_pragma, False),
    (be_interrupted, False),
    (hydrate_much, False),
]


@pytest.mark.parametrize(("use", "is_kept"), USES, ids=[use.__name__ for use, _ in USES])
def test_nothing_of_the_connection_before_is_left(
    first: Connection, connect: Connect, use: Callable[[Connection], None], is_kept: bool
) -> None:
    expected = answers(connect())
    working_set = working_set_of(first)
    first.execute("SELECT 1 FROM parent").fetchall()
    use(first)
    first.close()
    first.close()
    after, another = connect(), connect()
    for connection in (after, another):
        connection.execute("SELECT 1 FROM parent").fetchall()
        connection.rollback()
    assert (working_set_of(after) is working_set) is is_kept
    assert working_set_of(another) is not working_set
    assert answers(after) == answers(another) == expected


def test_what_is_prepared_stays(first: Connection, connect: Connect) -> None:
    read(first)
    sqlite = working_set_of(first).connection
    first.close()
    before = sqlite.cache_stats()["misses"]
    read(connect())
    assert sqlite.cache_stats()["misses"] == before


def test_interrupting_a_closed_connection_does_not_hit_the_next(first: Connection, connect: Connect) -> None:
    workspace = first._session._context.workspace  # type: ignore[union-attr]
    first.close()
    after = connect()
    after.execute("SELECT 1 FROM parent").fetchall()
    assert working_set_of(after) is workspace.working_set
    workspace.interruption.asked = True
    assert not working_set_of(after).interruption.asked


def test_so_many_are_kept(connect: Connect) -> None:
    connect().executescript(SCHEMA)
    connections = [connect() for _ in range(idle.MOST + 3)]
    opened = [working_set_of(connection).connection for connection in connections]
    for connection in connections:
        connection.close()
    assert [each in apsw.connections() for each in opened] == [False] * 3 + [True] * idle.MOST
    idle.discard()
    assert not any(each in apsw.connections() for each in opened)
