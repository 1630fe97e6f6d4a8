"""What is recorded of the statements, transactions and conflicts of a process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

import rome
from rome.dbapi import Connection
from rome.errors import ConflictError, OperationalError
from rome.insights.collected import MOST_ENTRIES
from rome.insights.entries import RepeatEntry, StatementEntry, Times
from tests.insights.conftest import report
from tests.support.databases import Connect, database, on


@pytest.fixture(params=on("memory", "lmdb", "redis", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def connection(connect: Connect) -> Connection:
    connection = connect()
    connection.executescript("""
        CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
        CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER, state TEXT);
        CREATE INDEX child_parent ON child (parent);
        CREATE TABLE counter (name TEXT PRIMARY KEY, n INTEGER);
        INSERT INTO counter VALUES ('visits', 0), ('sales', 0);
    """)
    connection.executemany("INSERT INTO parent VALUES (?, ?)", [(n, f"p{n}") for n in range(20)])
    connection.executemany("INSERT INTO child VALUES (?, ?, ?)", [(n, n % 20, "new") for n in range(40)])
    connection.commit()
    rome.insights.reset()
    return connection


def statement(text: str) -> StatementEntry:
    (found,) = [entry for entry in report().statements.values() if entry.text == text]
    return found


def test_a_statement_is_counted_with_what_it_cost(connection: Connection) -> None:
    for keys in [(1,), (2, 3)]:
        marks = ", ".join("?" * len(keys))
        assert len(connection.execute(f"SELECT name FROM parent WHERE id IN ({marks})", keys).fetchall()) == len(keys)
        connection.rollback()
    found = statement("SELECT name FROM parent WHERE id IN (..)")
    assert (found.name, found.times.count, found.rows_returned, found.errors) == ("SELECT parent", 2, 3, 0)
    assert found.trips == 2
    assert 0 < found.times.max_s <= found.times.total_s
    assert found.database.endswith(report().databases[0].split("/")[-1])
    [(place, times)] = found.places.items()
    assert "test_recording.py:" in place
    assert place.endswith("in test_a_statement_is_counted_with_what_it_cost")
    assert times == 2


def test_parameters_are_not_kept_unless_asked_for(connection: Connection, connect: Connect) -> None:
    connection.execute("SELECT name FROM parent WHERE name = 'secret' AND id = ?", ("concealed",))
    shown = rome.insights.html()
    assert "secret" not in shown
    assert "concealed" not in shown
    rome.insights.record(parameters=True)
    connect().execute("SELECT name FROM parent WHERE name = ?", ("wanted",))
    assert "&#x27;wanted&#x27;" in rome.insights.html()


def test_executemany_is_one_call(connection: Connection) -> None:
    connection.executemany("INSERT INTO parent VALUES (?, ?)", [(100, "a"), (101, "b")])
    found = statement("INSERT INTO parent VALUES (..)")
    assert (found.times.count, found.executions, found.rows_changed) == (1, 2, 2)
    assert not report().repeats


def test_an_error_is_counted(connection: Connection) -> None:
    with pytest.raises(OperationalError):
        connection.execute("SELECT nothing FROM parent")
    assert statement("SELECT nothing FROM parent").errors == 1


def test_statements_that_control_transactions_are_not_listed(connection: Connection) -> None:
    connection.executescript("BEGIN; SAVEPOINT s; RELEASE s; ROLLBACK")
    connection.execute("PRAGMA foreign_keys")
    assert not report().statements


# ---------------------------------------------------------------- N+1
def load_children(connection: Connection, parents: int) -> None:
    for (number,) in connection.execute("SELECT id FROM parent ORDER BY id LIMIT ?", (parents,)).fetchall():
        connection.execute("SELECT state FROM child WHERE parent = ?", (number,)).fetchall()
    connection.rollback()


def only_repeat() -> RepeatEntry:
    (found,) = report().repeats
    return found


def test_one_load_for_each_row_is_noticed_with_what_led_to_it(connection: Connection) -> None:
    load_children(connection, 20)
    load_children(connection, 10)
    found = only_repeat()
    assert report().text_of(found.statement) == "SELECT state FROM child WHERE parent = ?"
    assert report().text_of(found.leader) == "SELECT id FROM parent ORDER BY id LIMIT ?"
    assert (found.transactions, found.calls, found.most, found.trips) == (2, 30, 20, 30)
    assert found.place is not None
    assert found.place.endswith("in load_children")
    assert not found.writes


def test_few_loads_are_not_noticed(connection: Connection) -> None:
    load_children(connection, 4)
    assert not report().repeats


def test_the_same_load_in_many_transactions_is_not_noticed(connection: Connection) -> None:
    for number in range(20):
        connection.execute("SELECT state FROM child WHERE parent = ?", (number,))
        connection.rollback()
    for number in range(20):
        connection.execute("SELECT state FROM child WHERE parent = ?", (number,))
        connection.commit()
    assert not report().repeats


def test_the_same_question_again_is_not_noticed(connection: Connection) -> None:
    for _ in range(20):
        connection.execute("SELECT state FROM child WHERE parent = 1")
    assert not report().repeats


def test_two_loads_in_one_loop_have_the_same_leader(connection: Connection) -> None:
    for (number,) in connection.execute("SELECT id FROM parent").fetchall():
        connection.execute("SELECT state FROM child WHERE parent = ?", (number,))
        connection.execute("SELECT name FROM parent WHERE id = ?", (number,))
    assert {report().text_of(each.leader) for each in report().repeats} == {"SELECT id FROM parent"}
    assert len(report().repeats) == 2


def test_rows_that_are_written_one_by_one_are_noticed(connection: Connection) -> None:
    for number in range(100, 112):
        connection.execute("INSERT INTO parent VALUES (?, ?)", (number, "x"))
    found = only_repeat()
    assert found.writes
    assert (found.leader, found.most) == (None, 12)


# ---------------------------------------------------------------- full scans
def test_a_full_scan_names_the_index_that_would_help(connection: Connection) -> None:
    connection.execute("SELECT id FROM child WHERE state = 'old'").fetchall()
    found = statement("SELECT id FROM child WHERE state = ?")
    (scan,) = found.scans
    assert (scan.table, scan.reason) == ("child", "no index begins with state")
    assert scan.indexes == ("CREATE INDEX ix_child_state ON child (state)",)
    assert found.rows_read == 40


def test_a_full_scan_is_over_once_the_index_exists(connection: Connection) -> None:
    connection.execute("SELECT id FROM child WHERE state = 'old'").fetchall()
    (scan,) = statement("SELECT id FROM child WHERE state = ?").scans
    connection.commit()
    connection.execute(scan.indexes[0])
    connection.commit()
    connection.execute("SELECT id FROM child WHERE state = 'old'").fetchall()
    assert not statement("SELECT id FROM child WHERE state = ?").scans


# ---------------------------------------------------------------- conflicts and commits
def test_a_lost_conflict_names_the_row_and_both_sides(connection: Connection, connect: Connect) -> None:
    other = connect()
    [(seen,)] = connection.execute("SELECT n FROM counter WHERE name = 'visits'").fetchall()
    other.execute("UPDATE counter SET n = n + 1 WHERE name = 'visits'")
    other.commit()
    connection.execute("UPDATE counter SET n = ? WHERE name = 'visits'", (seen + 1,))
    with pytest.raises(ConflictError):
        connection.commit()
    (found,) = report().conflicts
    assert (found.table, found.rows, found.is_row) == ("counter", "row name='visits' of table counter", True)
    assert (found.conflicts, found.failed, found.unseen) == (1, 1, 0)
    text_of = report().text_of
    assert [text_of(each) for each in found.losers] == [
        "UPDATE counter SET n = ? WHERE name = ?",
        "SELECT n FROM counter WHERE name = ?",
    ]
    assert [text_of(each) for each in found.winners] == ["UPDATE counter SET n = n + ? WHERE name = ?"]
    assert "in test_a_lost_conflict" in "".join(found.places)
    assert (report().totals.conflicts, report().totals.failed) == (1, 1)


def test_a_replayed_conflict_is_no_error(connection: Connection, connect: Connect) -> None:
    other = connect()
    connection.execute("UPDATE counter SET n = n + 1 WHERE name = 'sales'")
    other.execute("UPDATE counter SET n = n + 1 WHERE name = 'sales'")
    other.commit()
    connection.commit()
    (found,) = report().conflicts
    assert (found.rows, found.conflicts, found.failed) == ("row name='sales' of table counter", 1, 0)
    assert report().totals.replays == 1
    assert [(each.name, each.times.count, each.replays) for each in report().commits if each.replays] == [
        ("UPDATE counter", 1, 1)
    ]


def test_a_conflict_with_what_is_not_recorded_has_no_winner(
    connection: Connection, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(rome.insights._Switch, "on", False)
        other = connect()  # as if it were of another process
    connection.execute("UPDATE counter SET n = n + 1 WHERE name = 'sales'")
    other.execute("UPDATE counter SET n = n + 1 WHERE name = 'sales'")
    other.commit()
    connection.commit()
    (found,) = report().conflicts
    assert (found.conflicts, found.unseen, found.winners) == (1, 1, {})


def test_a_range_that_another_transaction_has_changed_is_named(connection: Connection, connect: Connect) -> None:
    other = connect()
    [(number,)] = connection.execute("SELECT count(*) FROM child WHERE parent = 3").fetchall()
    other.execute("INSERT INTO child VALUES (1000, 3, 'new')")
    other.commit()
    connection.execute("UPDATE parent SET name = ? WHERE id = 3", (str(number),))
    with pytest.raises(ConflictError):
        connection.commit()
    (found,) = report().conflicts
    assert (found.table, found.is_row) == ("child", False)
    assert found.rows.startswith("rows of table child with parent=3")
    assert [report().text_of(each) for each in found.winners] == ["INSERT INTO child VALUES (..)"]


def test_keys_are_hidden_if_they_are_to_be(connection: Connection, connect: Connect) -> None:
    rome.insights.record(keys=False)
    other = connect()
    for name in ("sales", "visits"):
        connection.execute("UPDATE counter SET n = n + 1 WHERE name = ?", (name,))
        other.execute("UPDATE counter SET n = n + 1 WHERE name = ?", (name,))
        other.commit()
        connection.commit()
    assert [each.rows for each in report().conflicts] == ["a row of table counter", "a row of table counter"]


def test_a_conflict_under_autocommit_is_seen(connection: Connection, connect: Connect) -> None:
    """The statement is its own transaction, and is replayed; both sides are statements that are under way."""
    first, other = connect(isolation_level="AUTOCOMMIT"), connect(isolation_level="AUTOCOMMIT")

    def meanwhile() -> int:
        return other.execute("UPDATE counter SET n = n + 1").rowcount

    first.create_function("meanwhile", 0, meanwhile)
    with pytest.raises(ConflictError):
        first.execute("UPDATE counter SET n = n + meanwhile() WHERE name = 'sales'")
    found = report().conflicts[0]
    assert found.table == "counter"
    texts = {report().text_of(each) for each in found.losers}
    assert texts == {"UPDATE counter SET n = n + meanwhile() WHERE name = ?"}
    assert {report().text_of(each) for each in found.winners} == {"UPDATE counter SET n = n + ?"}


def test_commits_are_grouped_by_what_they_write(connection: Connection) -> None:
    for number in range(3):
        connection.execute("UPDATE parent SET name = 'x' WHERE id = ?", (number,))
        connection.execute("DELETE FROM child WHERE id = ?", (number,))
        connection.commit()
    (found,) = report().commits
    assert (found.name, found.times.count, found.rows_written, found.most_rows) == (
        "UPDATE parent, DELETE child",
        3,
        6,
        2,
    )
    assert found.place is not None
    assert found.place.endswith("in test_commits_are_grouped_by_what_they_write")


def test_a_commit_that_has_nothing_to_do_is_none(connection: Connection) -> None:
    connection.execute("SELECT 1 FROM parent")
    connection.commit()
    assert not report().commits


# ---------------------------------------------------------------- limits, and off
def test_memory_is_bounded(connection: Connection) -> None:
    connection.execute("SELECT 1").fetchall()
    for number in range(MOST_ENTRIES + 10):
        connection.execute(f"SELECT 1 AS a{number}")
    found = report()
    assert len(found.statements) <= MOST_ENTRIES
    assert found.totals.dropped > 0
    assert found.totals.statements == MOST_ENTRIES + 11


def test_a_connection_that_is_not_recorded_has_no_tracer() -> None:
    with rome.connect("rome+memory://", tracing="off") as connection:
        assert connection.session._observer.tracer is None
    connection.close()


def test_nothing_is_imported_where_nothing_is_recorded() -> None:
    code = (
        "import sys, rome; rome.connect('rome+memory://').execute('SELECT 1'); "
        "print([name for name in sys.modules if name.startswith('rome.insights')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['rome.insights']"


def test_quantiles_are_at_most_a_fifth_too_large() -> None:
    times = Times()
    for milliseconds in range(1, 101):
        times.note(milliseconds / 1000)
    for part in (0.5, 0.95):
        assert part * 0.1 <= times.quantile_s(part) <= part * 0.1 * 1.2
    assert times.quantile_s(1.0) == times.max_s == 0.1
    assert Times().quantile_s(0.95) == 0


def test_a_task_is_named_by_its_own_line() -> None:
    async def load(session: AsyncSession) -> None:
        for number in range(12):
            await session.execute(text("SELECT name FROM parent WHERE id = :id"), {"id": number})

    async def serve() -> None:
        engine = create_async_engine("rome+memory:///insights-of-tasks")
        async with AsyncSession(engine) as session:
            await session.execute(text("CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT)"))
            await session.commit()
            await load(session)
        await engine.dispose()

    rome.insights.record()
    try:
        asyncio.run(serve())
        (found,) = report().repeats
        assert found.place is not None
        assert found.place.endswith("in test_a_task_is_named_by_its_own_line.load")
    finally:
        rome.insights.stop()


def test_threads_are_counted_together(connection: Connection, connect: Connect) -> None:
    def work(connection: Connection) -> None:
        for number in range(100):
            connection.execute("SELECT name FROM parent WHERE id = ?", (number % 20,)).fetchall()
        connection.rollback()

    connections = [connection, connect(), connect(), connect()]
    with ThreadPoolExecutor(len(connections)) as threads:
        list(threads.map(work, connections))
    found = statement("SELECT name FROM parent WHERE id = ?")
    assert (found.times.count, sum(found.times.buckets.values()), sum(found.places.values())) == (400, 400, 400)
    assert (only_repeat().transactions, only_repeat().calls, only_repeat().most) == (4, 400, 100)
