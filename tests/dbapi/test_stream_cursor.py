"""StreamCursor: rows are read while they are fetched; what that means for transactions, memory and errors."""

from __future__ import annotations

import gc
import sqlite3
import tracemalloc
from contextlib import closing, suppress

import pytest

from rome.dbapi import Connection, Cursor, StreamCursor
from rome.engine.reading import overflow_rows, row_stream
from rome.errors import (
    CatalogChangedError,
    ConflictError,
    Error,
    InterruptedTransactionError,
    OperationalError,
    ProgrammingError,
    StreamEndedError,
    WorkingSetFullError,
)
from rome.store.memory import MemoryStore
from rome.transaction import chunked_scan, transaction
from tests.engine.reading.test_row_stream import IN_ANY_ORDER, IN_ORDER, WHOLE, fill
from tests.support.databases import Connect
from tests.support.streamed import is_streamed, tiny_chunks

ALL = "SELECT id FROM t ORDER BY id"
IDS = [(n,) for n in range(1, 41)]


@pytest.fixture
def filled(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> Connection:
    tiny_chunks(monkeypatch)
    connection = connect()
    fill(connection)
    return connection


def stream(connection: Connection, sql: str = ALL) -> StreamCursor:
    return connection.cursor(StreamCursor).execute(sql)


# ------------------------------------------------------------ what is streamed
@pytest.mark.parametrize("sql", [*IN_ORDER, *IN_ANY_ORDER])
def test_rows_come_part_by_part(filled: Connection, sql: str) -> None:
    assert is_streamed(stream(filled, sql))


@pytest.mark.parametrize("sql", WHOLE)
def test_what_cannot_be_cut_is_run_as_a_whole(filled: Connection, sql: str) -> None:
    assert not is_streamed(stream(filled, sql))


def test_no_more_is_read_than_the_next_part(filled: Connection) -> None:
    before = filled.rome_stats.rows
    cursor = stream(filled)
    assert cursor.fetchmany(3) == IDS[:3]
    assert filled.rome_stats.rows - before == 3
    assert cursor.fetchone() == IDS[3]
    assert filled.rome_stats.rows - before == 6
    assert list(cursor) == IDS[4:]
    assert filled.rome_stats.rows - before == 40
    assert cursor.fetchone() is None


def test_a_result_that_fits_into_the_first_part_is_a_plain_one(
    filled: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_chunks(monkeypatch, 50)
    before = filled.rome_stats.round_trips
    assert not is_streamed(stream(filled))
    assert filled.rome_stats.round_trips - before == 1


def test_other_statements_do_as_on_any_cursor(filled: Connection) -> None:
    cursor = filled.cursor(StreamCursor)
    cursor.execute("INSERT INTO t VALUES (NULL, 1, 'b', 1, 'new')")
    assert (cursor.lastrowid, cursor.rowcount, cursor.description) == (41, 1, None)
    cursor.executemany("DELETE FROM child WHERE id = ?", [(1,), (2,)])
    assert cursor.rowcount == 2


def test_rows_of_joined_tables_are_read_once_for_all_parts(filled: Connection) -> None:
    """`named` has no index by which rows of `t` find theirs, so it is read whole: not again for each part."""
    before = filled.rome_stats.rows
    assert len(stream(filled, "SELECT t.id, name FROM t LEFT JOIN named ON n = t.id ORDER BY t.id").fetchall()) > 40
    assert filled.rome_stats.rows - before == 80


def test_row_and_text_factories_apply(filled: Connection) -> None:
    filled.row_factory = sqlite3.Row
    filled.text_factory = bytes
    rows = stream(filled, "SELECT id, u FROM t ORDER BY id").fetchall()
    assert [(row["id"], row["u"]) for row in rows[:2]] == [(1, b"u17"), (2, b"u34")]
    assert len(rows) == 40


# ------------------------------------------------------------ the same transaction goes on
def test_what_the_transaction_writes_afterwards_is_not_among_the_rows(filled: Connection) -> None:
    cursor = stream(filled, "SELECT id, a, u FROM t ORDER BY id")
    expected = filled.execute("SELECT id, a, u FROM t ORDER BY id").fetchall()
    found = cursor.fetchmany(4)
    filled.execute("UPDATE t SET a = 99")
    filled.execute("DELETE FROM t WHERE id > 20")
    filled.execute("INSERT INTO t VALUES (50, 1, 'x', 1, 'fifty')")
    assert found + cursor.fetchall() == expected
    assert filled.execute("SELECT count(*), min(a), max(a) FROM t").fetchall() == [(21, 1, 99)]


def test_several_streams_and_other_statements_take_turns(filled: Connection) -> None:
    one, other = stream(filled), stream(filled, "SELECT name FROM named ORDER BY name DESC")
    rows = []
    for (number,) in one:
        assert filled.execute("SELECT u FROM t WHERE id = ?", (number,)).fetchone() is not None
        rows.append(other.fetchone()[0])
    assert rows == sorted(rows, reverse=True)
    assert len(rows) == 40


def test_savepoints_do_not_change_what_comes(filled: Connection) -> None:
    filled.execute("SAVEPOINT s")
    filled.execute("INSERT INTO t VALUES (41, 1, 'x', 1, 'u41')")
    cursor = stream(filled)
    assert cursor.fetchone() == (1,)
    filled.execute("ROLLBACK TO s")
    assert cursor.fetchall() == [*IDS[1:], (41,)]


@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK"])
def test_the_end_of_the_transaction_ends_the_rows(filled: Connection, ending: str) -> None:
    cursor = stream(filled)
    assert cursor.fetchmany(2) == IDS[:2]
    filled.execute(ending)
    assert cursor.fetchone() == (3,)  # which had been read
    for _ in range(2):  # not once only, and then the end
        with pytest.raises(StreamEndedError, match="Fetch all rows before that") as raised:
            cursor.fetchone()
        assert (raised.value.sqlstate, raised.value.retryable) == ("24000", False)
    filled.execute("INSERT INTO t VALUES (99, 1, 'x', 1, 'u99')")  # the connection can be used
    with pytest.raises(StreamEndedError):
        cursor.fetchall()


def test_a_closed_cursor_or_connection_says_so(filled: Connection) -> None:
    cursor = stream(filled)
    cursor.fetchone()
    cursor.close()
    with pytest.raises(ProgrammingError, match="closed cursor"):
        cursor.fetchone()
    other = stream(filled)
    filled.close()
    with pytest.raises(ProgrammingError, match="closed database"):
        other.fetchall()
    other.close()


def test_a_new_statement_replaces_the_rows(filled: Connection) -> None:
    cursor = stream(filled)
    assert cursor.execute("SELECT max(id) FROM t").fetchall() == [(40,)]
    with suppress(Error):
        cursor.execute("SELECT nothing FROM t")
    assert cursor.fetchall() == []


# ------------------------------------------------------------ isolation
def test_others_commit_and_the_rows_stay_those_of_the_snapshot(filled: Connection, connect: Connect) -> None:
    cursor = stream(filled)
    cursor.fetchone()
    with closing(connect()) as other:
        other.execute("DELETE FROM t WHERE id > 10")
        other.execute("INSERT INTO t VALUES (50, 1, 'x', 1, 'fifty')")
        other.commit()
    assert cursor.fetchall() == IDS[1:]


@pytest.mark.parametrize(
    ("fetched", "changed", "conflicts"),
    [(40, 39, True), (10, 2, True), (10, 39, False), (40, 41, True), (10, 41, False), (10, 12, True)],
)
def test_what_was_read_is_validated_and_nothing_else(
    filled: Connection, connect: Connect, fetched: int, changed: int, conflicts: bool
) -> None:
    """Parts of three rows: to fetch ten is to read twelve."""
    cursor = stream(filled)
    assert cursor.fetchmany(fetched) == IDS[:fetched]
    if fetched == 40:
        assert cursor.fetchone() is None
    with closing(connect()) as other:
        other.execute("INSERT OR REPLACE INTO t VALUES (?, 1, 'x', 1, 'changed')", (changed,))
        other.commit()
    filled.execute("UPDATE named SET n = 0 WHERE name = 'u1'")
    if conflicts:
        with pytest.raises(ConflictError):
            filled.commit()
    else:
        filled.commit()


@pytest.mark.parametrize("sql", ["SELECT id FROM t ORDER BY id DESC", "SELECT id FROM t ORDER BY u", ALL])
def test_a_phantom_conflicts_wherever_it_comes(filled: Connection, connect: Connect, sql: str) -> None:
    for phantom in (0, 1000):
        assert len(stream(filled, sql).fetchall()) in (40, 41)
        with closing(connect()) as other:
            other.execute("INSERT INTO t VALUES (?, 1, 'x', 1, ?)", (phantom, f"u{phantom}"))
            other.commit()
        filled.execute("UPDATE named SET n = ? WHERE name = 'u1'", (phantom,))
        with pytest.raises(ConflictError):
            filled.commit()


def test_a_row_of_a_joined_table_is_validated(filled: Connection, connect: Connect) -> None:
    cursor = stream(filled, "SELECT child.id, u FROM child JOIN t ON t.id = t_id ORDER BY child.id")
    (child, _) = cursor.fetchone()
    with closing(connect()) as other:
        other.execute("UPDATE t SET u = 'other' WHERE id = (SELECT t_id FROM child WHERE id = ?)", (child,))
        other.commit()
    filled.execute("UPDATE named SET n = 0 WHERE name = 'u1'")
    with pytest.raises(ConflictError):
        filled.commit()


def test_a_long_stream_is_one_range_of_the_read_set(filled: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    ranges = []
    commit = MemoryStore.commit

    def note(self: MemoryStore, request: object) -> object:
        ranges.append({place: list(found) for place, found in request.ranges.items()})  # type: ignore[attr-defined]
        return commit(self, request)  # type: ignore[arg-type]

    for sql in (ALL, "SELECT id FROM t ORDER BY id DESC"):
        assert len(stream(filled, sql).fetchall()) == 40
        filled.execute("UPDATE named SET n = n + 1 WHERE name = 'u1'")
        with monkeypatch.context() as patch:
            patch.setattr(MemoryStore, "commit", note)
            filled.commit()
    for found in ranges:
        assert [len(of_place) for (_, index, rows), of_place in found.items() if index == 0 and rows] == [1]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT child.id, u FROM child JOIN t ON t.id = t_id ORDER BY child.id",  # keys
        "SELECT named.n, t.id FROM named LEFT JOIN t ON t.a = named.n ORDER BY name",  # ranges of an index
    ],
)
@pytest.mark.parametrize("changed", ["UPDATE t SET b = 'changed' WHERE id = 2", "INSERT INTO t VALUES (0, 9, 9, 9, 9)"])
def test_of_very_many_joined_rows_the_whole_table_is_validated(
    filled: Connection, connect: Connect, monkeypatch: pytest.MonkeyPatch, sql: str, changed: str
) -> None:
    monkeypatch.setattr(transaction, "_MAX_RANGE_ROWS", 5)
    assert len(stream(filled, sql).fetchall()) > 20
    attempt = filled._session._replay.state  # type: ignore[union-attr]
    assert len(attempt.transaction.read_set) < 10  # type: ignore[union-attr]
    with closing(connect()) as other:
        other.execute(changed)
        other.commit()
    filled.execute("UPDATE keyed SET n = 0")
    with pytest.raises(ConflictError):
        filled.commit()


def test_a_transaction_whose_rows_were_streamed_is_not_replayed(filled: Connection, connect: Connect) -> None:
    """The first change would be replayed, since nothing that was shown is another then."""
    for sql, replays in (("SELECT id FROM t WHERE id < 3 ORDER BY id", 1), (ALL, 0)):
        before = filled.rome_stats.replays
        stream(filled, sql).fetchmany(2)
        filled.execute("UPDATE t SET a = a + 10 WHERE id = 2")
        with closing(connect()) as other:
            other.execute("UPDATE t SET b = b || '!' WHERE id = 2")
            other.commit()
        if replays:
            filled.commit()
        else:
            with pytest.raises(ConflictError):
                filled.commit()
        assert filled.rome_stats.replays - before == replays


@pytest.mark.parametrize("level", ["READ COMMITTED", "AUTOCOMMIT"])
def test_where_each_statement_has_a_snapshot_the_rest_is_read_before_the_next_one(
    filled: Connection, connect: Connect, level: str
) -> None:
    filled.isolation_level = level
    cursor = stream(filled)
    assert cursor.fetchone() == (1,)
    with closing(connect()) as other:
        other.execute("DELETE FROM t WHERE id > 10")
        other.commit()
    assert filled.execute("SELECT count(*) FROM t").fetchone() == (10,)
    filled.execute("UPDATE t SET a = 1")
    filled.commit()
    assert cursor.fetchall() == IDS[1:]


def test_where_the_rest_does_not_fit_in_memory_the_stream_fails(filled: Connection, connect: Connect) -> None:
    narrow = connect(max_working_set="20kB", isolation_level="READ COMMITTED")
    cursor = stream(narrow, f"SELECT id, u || '{'x' * 1000}' FROM t ORDER BY id")
    cursor.fetchone()
    assert narrow.execute("SELECT count(*) FROM t").fetchone() == (40,)
    cursor.fetchmany(2)
    with pytest.raises(WorkingSetFullError, match="Use another connection"):
        cursor.fetchall()


def test_at_autocommit_the_rows_are_a_transaction_that_ends_with_them(filled: Connection) -> None:
    filled.isolation_level = "AUTOCOMMIT"
    assert len(stream(filled).fetchall()) == 40
    assert not filled.in_transaction
    cursor = stream(filled)
    filled.commit()  # of nothing, so that the rows go on
    assert cursor.fetchmany(9) == IDS[:9]
    cursor.close()
    assert not filled.in_transaction
    cursor = stream(filled)
    cursor.fetchone()
    filled.rollback()
    cursor.fetchmany(2)
    with pytest.raises(StreamEndedError):
        cursor.fetchone()


# ------------------------------------------------------------ errors
def test_an_error_of_a_row_comes_when_that_row_does(filled: Connection) -> None:
    cursor = stream(filled, "SELECT id, json_extract(iif(id = 20, 'no json', '{}'), '$.x') FROM t ORDER BY id")
    assert len(cursor.fetchmany(18)) == 18
    for _ in range(2):
        with pytest.raises(OperationalError, match="malformed JSON"):
            cursor.fetchall()
    assert filled.execute("SELECT count(*) FROM t").fetchone() == (40,)  # the transaction goes on


def test_a_change_of_the_schema_ends_the_rows_with_a_conflict(filled: Connection, connect: Connect) -> None:
    cursor = stream(filled)
    cursor.fetchmany(3)
    with closing(connect()) as other:
        other.execute("CREATE TABLE another (id INTEGER PRIMARY KEY)")
        other.commit()
    with pytest.raises(CatalogChangedError):
        cursor.fetchone()
    with pytest.raises(ConflictError, match="must be rolled back"):
        filled.execute("SELECT 1 FROM t")
    filled.rollback()
    assert len(stream(filled).fetchall()) == 40


def test_an_exception_from_outside_ends_the_rows(filled: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    cursor = stream(filled)
    cursor.fetchmany(3)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(row_stream, "gather_beside", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cursor.fetchone()
    for _ in range(2):
        with pytest.raises(InterruptedTransactionError):
            cursor.fetchone()
    filled.rollback()
    assert len(stream(filled).fetchall()) == 40


def test_an_application_function_with_a_state_is_called_as_in_one_statement(filled: Connection) -> None:
    calls: list[object] = []

    def lower(value: object) -> int:
        calls.append(value)
        return len(calls)

    filled.create_function("lower", 1, lower)
    sql = "SELECT id, (SELECT lower(1)) FROM t ORDER BY id"
    assert stream(filled, sql).fetchall() == [(n, 1) for (n,) in IDS]


def test_a_temporary_table_can_be_asked(filled: Connection) -> None:
    filled.execute("CREATE TEMPORARY TABLE mine (n)")
    filled.execute("INSERT INTO mine VALUES (1), (5)")
    assert stream(filled, "SELECT id FROM t JOIN mine ON n = id").fetchall() == [(1,), (5,)]
    assert stream(filled).fetchall() == IDS


# ------------------------------------------------------------ memory
SORTED = f"SELECT t.id, c, u || '{'x' * 1000}' FROM t JOIN child ON t_id = t.id ORDER BY c, t.id, child.id"


@pytest.mark.parametrize("level", ["SERIALIZABLE", "AUTOCOMMIT"])
def test_a_result_that_is_too_large_and_cannot_be_cut_comes_from_a_file(
    filled: Connection, connect: Connect, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    monkeypatch.setattr(overflow_rows, "STEPS", 4)
    expected = filled.execute(SORTED).fetchall()
    narrow = connect(max_working_set="20kB", isolation_level=level)
    with pytest.raises(WorkingSetFullError):
        narrow.execute(SORTED)
    cursor = stream(narrow, SORTED)
    found = cursor.fetchmany(3)
    assert narrow.execute("SELECT count(*) FROM t").fetchone() == (40,)
    narrow.rollback()
    assert found + cursor.fetchall() == expected
    assert not narrow.in_transaction
    cursor.execute(SORTED).fetchone()
    cursor.close()


def test_an_error_on_the_way_from_a_file_is_raised_again(
    connect: Connect, filled: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overflow_rows, "STEPS", 4)
    narrow = connect(max_working_set="20kB")
    sql = SORTED.replace("c, u", "json_extract(iif(t.id = 39, '!', '{}'), '$.x'), u")
    cursor = stream(narrow, sql)
    for _ in range(2):
        with pytest.raises(OperationalError, match="malformed JSON"):
            cursor.fetchall()


def test_memory_is_bounded_by_parts_and_not_by_the_table(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the rows take no more; fetched at once they take some hundred bytes each."""
    monkeypatch.setattr(chunked_scan, "MOST_ROWS", 200)
    connection = connect()
    connection.execute("CREATE TABLE big (id INTEGER PRIMARY KEY, v TEXT, other_id INT)")
    connection.execute("CREATE TABLE other (id INTEGER PRIMARY KEY, w TEXT)")
    peaks = []
    for half in range(2):
        ids = range(3000 * half, 3000 * (half + 1))
        connection.executemany("INSERT INTO big VALUES (?, ?, ?)", [(n, f"{n} {'x' * 100}", n // 100) for n in ids])
        connection.executemany("INSERT INTO other VALUES (?, 'w')", [(n // 100,) for n in ids[::100]])
        connection.commit()
        peaks.append(peak(connection, StreamCursor))
        connection.rollback()
    assert peaks[1] < 1.2 * peaks[0]
    assert peak(connection, Cursor) > 3 * peaks[1]


def peak(connection: Connection, kind: type[Cursor]) -> int:
    """The least of three runs: the first may load what is needed once, and other threads take memory, too."""
    sql = "SELECT big.id, v, w FROM big LEFT JOIN other ON other.id = other_id ORDER BY big.id"
    peaks = []
    for _ in range(3):
        with closing(connection.cursor(kind)) as cursor:
            gc.collect()
            tracemalloc.start()
            for _ in cursor.execute(sql):
                pass
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        connection.rollback()
    return min(peaks)
