"""What is too large is refused with an error that says how much may be and what to do, and nothing of it is done.

docs/limitations.md lists the limits; those of a statement's memory are in test_room.py, SQLite's own in tests/values.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import rome
from rome.dbapi import Connection
from rome.errors import ConflictError, SnapshotTooOldError, TransactionTooLargeError, WorkingSetFullError
from tests.support.databases import Connect, database, on

ROWS = 30
"""What one commit may write in these tests; the default is 10,000."""


@pytest.fixture(params=on("memory", "lmdb", "redis", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def small(connect: Connect) -> Connection:
    """May write 30 rows at once, to a table that has 310."""
    filler = connect()
    filler.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT, data)")
    filler.executemany("INSERT INTO t VALUES (?, ?, 'x')", [(number, number % 7) for number in range(310)])
    filler.commit()
    return connect(max_commit_rows=ROWS)


def state(connection: Connection) -> object:
    rows = connection.execute("SELECT count(*), sum(id), sum(n), group_concat(DISTINCT data) FROM t").fetchall()
    schema = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
    connection.rollback()
    return rows, schema


DELETING = "SELECT id .. LIMIT 5000, then DELETE .. WHERE id IN"
WRITING = "insert some thousand rows, COMMIT, and so on; or SELECT id .. WHERE id > .*, then UPDATE .. WHERE id IN"
INDEXING = "for CREATE INDEX, raise"


@pytest.mark.parametrize(
    ("statement", "advice"),
    [
        ("DELETE FROM t", DELETING),
        ("UPDATE t SET n = n + 1", WRITING),
        ("INSERT INTO t SELECT id + 1000, n, data FROM t", WRITING),
        ("CREATE TABLE copy AS SELECT * FROM t", WRITING),
        ("CREATE INDEX t_n ON t (n)", INDEXING),
        ("CREATE UNIQUE INDEX t_id_n ON t (id, n)", INDEXING),
    ],
)
def test_more_than_a_commit_may_write(small: Connection, connect: Connect, statement: str, advice: str) -> None:
    before = state(connect())
    small.execute(statement)
    with pytest.raises(
        TransactionTooLargeError, match=rf"at most 30 rows, 300 entries .*{advice}.* max_commit_rows"
    ) as caught:
        small.commit()
    assert ("DELETE" in str(caught.value)) is (advice == DELETING)
    assert not small.in_transaction
    assert state(small) == state(connect()) == before
    large = connect(max_commit_rows=320)
    large.execute(statement)
    large.commit()
    assert state(small) == state(large) != before


@pytest.mark.parametrize("statement", ["DELETE FROM t", "DELETE FROM t WHERE n < 9", "UPDATE t SET n = n + 1"])
def test_more_than_a_statement_may_read(connect: Connect, small: Connection, statement: str) -> None:
    """So many rows that not even the statement that changes them can hold them: it says at once what helps."""
    before = state(small)
    narrow = connect(max_commit_rows=ROWS, max_working_set="100KB")
    verb = statement.split()[0]
    with pytest.raises(
        WorkingSetFullError, match=rf"reads 310 rows of table t, .*change it in parts: .* LIMIT 5000, then {verb} \.\."
    ):
        narrow.execute(statement)
    narrow.commit()
    assert state(small) == before


def test_an_insert_is_not_told_to_delete(connect: Connect, small: Connection) -> None:
    narrow = connect(max_working_set="100KB")
    with pytest.raises(WorkingSetFullError, match=r"change it in parts: insert some thousand rows") as caught:
        narrow.execute("INSERT INTO t SELECT id + 1000, n, data FROM t")
    assert "DELETE" not in str(caught.value)


@pytest.mark.parametrize("room", ["256MB", "100KB"])
def test_the_way_out_that_the_messages_name(small: Connection, connect: Connect, room: str) -> None:
    narrow = connect(max_commit_rows=ROWS, max_working_set=room)
    while ids := [row[0] for row in narrow.execute("SELECT id FROM t LIMIT 30").fetchall()]:
        narrow.execute(f"DELETE FROM t WHERE id IN ({', '.join('?' * len(ids))})", ids)
        narrow.commit()
    assert small.execute("SELECT count(*) FROM t").fetchall() == [(0,)]


def test_dropping_a_table_is_not_bounded_by_its_rows(small: Connection) -> None:
    small.execute("CREATE INDEX t_data ON t (data) WHERE 0")
    small.execute("DROP TABLE t")
    small.commit()
    assert small.execute("SELECT name FROM sqlite_master").fetchall() == []


def test_autocommit_says_so_at_the_statement(small: Connection) -> None:
    small.isolation_level = "AUTOCOMMIT"
    with pytest.raises(TransactionTooLargeError):
        small.execute("DELETE FROM t")
    assert small.execute("SELECT count(*) FROM t").fetchall() == [(310,)]


def test_a_value_larger_than_a_commit(url: str, small: Connection, connect: Connect) -> None:
    """On etcd also after max_commit_bytes was raised, since its members take no request that is so large."""
    large = b"x" * (17 * 2**20)
    small.execute("INSERT INTO t VALUES (1000, 0, ?)", (large,))
    most = "8,387,584" if url.startswith("rome+etcd") else "16,777,216"
    with pytest.raises(TransactionTooLargeError, match=rf"17,825,8\d\d bytes; .*{most} bytes.*One row cannot"):
        small.commit()
    one = connect(max_commit_bytes="64MB")
    assert one.execute("SELECT count(*) FROM t").fetchall() == [(310,)]
    one.execute("INSERT INTO t VALUES (1000, 0, ?)", (large,))
    if url.startswith("rome+etcd"):
        with pytest.raises(TransactionTooLargeError, match=r"store takes 8,387,584 bytes in one commit") as caught:
            one.commit()
        assert "URL" not in str(caught.value)
        assert one.execute("SELECT count(*) FROM t").fetchall() == [(310,)]
        return
    one.commit()
    assert small.execute("SELECT data = ? FROM t WHERE id = 1000", (large,)).fetchall() == [(1,)]


def test_keys_of_a_megabyte(url: str, connect: Connect) -> None:
    """No store bounds a key on its own; LMDB's 511 bytes are not seen. Etcd bounds a commit, which repeats the key."""
    size = 2**18 if url.startswith("rome+etcd") else 2**20
    one = connect()
    one.execute("CREATE TABLE k (name TEXT PRIMARY KEY, other TEXT UNIQUE)")
    names = ["k" * size + end for end in ("", "a", "b")]
    one.executemany("INSERT INTO k VALUES (?, ?)", [(name, name) for name in names])
    one.commit()
    two = connect()
    assert two.execute("SELECT other FROM k WHERE name = ?", (names[1],)).fetchall() == [(names[1],)]
    assert two.execute("SELECT count(*) FROM k WHERE other > ?", (names[0],)).fetchall() == [(2,)]


def test_hundreds_of_tables(connect: Connect) -> None:
    one = connect()
    for number in range(400):
        one.execute(f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY)")
    one.execute("INSERT INTO t399 VALUES (7)")
    one.commit()
    two = connect()
    assert two.execute("SELECT count(*) FROM sqlite_master").fetchall() == [(400,)]
    assert two.execute("SELECT id FROM t399").fetchall() == [(7,)]


def test_a_transaction_longer_than_the_retention(small: Connection, connect: Connect, url: str) -> None:
    """It ends with a serialization failure, and nothing of it is there."""
    long = connect(max_replays=0)
    long.execute("SELECT n FROM t WHERE id = 1")
    long.execute("UPDATE t SET n = 100 WHERE id = 2")
    small.execute("UPDATE t SET n = 50 WHERE id = 1")
    small.commit()
    rome.set_retention(url, seconds=0)
    rome.trim(url)
    with pytest.raises(ConflictError) as caught:
        long.commit()
    assert isinstance(caught.value, SnapshotTooOldError)
    assert caught.value.retryable
    assert small.execute("SELECT n FROM t WHERE id IN (1, 2) ORDER BY id").fetchall() == [(50,), (2,)]
