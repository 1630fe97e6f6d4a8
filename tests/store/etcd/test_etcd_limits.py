"""What a server with etcd's default flags takes, seen from SQL, and what the errors beyond say."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import rome
from rome.dbapi import Connection, OperationalError
from tests.support.etcd_servers import DEFAULT_LIMITS, Member

pytestmark = pytest.mark.etcd


@pytest.fixture(scope="module")
def member_with_defaults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Member]:
    member = Member(tmp_path_factory.mktemp("defaults"), options=DEFAULT_LIMITS)
    try:
        yield member.start()
    finally:
        member.stop()


@pytest.fixture
def connection(member_with_defaults: Member) -> Iterator[Connection]:
    connection = rome.connect(member_with_defaults.url("limits"))
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER)")
    connection.execute("CREATE INDEX t_b ON t (b)")
    connection.commit()
    yield connection
    connection.close()
    rome.drop_database(member_with_defaults.url("limits"))


def count(connection: Connection) -> int:
    connection.rollback()
    return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])


def insert(connection: Connection, first: int, size: int, text: str = "x") -> None:
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", [(first + n, text, n) for n in range(size)])


def test_most_rows_of_one_commit(connection: Connection) -> None:
    """A row with an entry in one index takes two operations, and a commit a few of its own."""
    insert(connection, 0, 60)
    connection.commit()
    insert(connection, 1000, 64)
    with pytest.raises(OperationalError, match=r"64 rows.*takes 13\d operations.*--max-txn-ops=20000.*smaller parts"):
        connection.commit()
    assert count(connection) == 60, "nothing was written"
    insert(connection, 1000, 30)
    connection.commit()
    assert count(connection) == 90, "and the connection is as good as before"


def test_most_rows_deleted_by_one_commit(connection: Connection) -> None:
    """A deletion leaves a mark for the row and one for each entry, so it takes twice as many."""
    for first in (0, 30):
        insert(connection, first, 30)
        connection.commit()
    connection.execute("DELETE FROM t WHERE id < 30")
    connection.commit()
    connection.execute("DELETE FROM t")
    connection.commit()
    for first in (0, 30):
        insert(connection, first, 30)
        connection.commit()
    connection.execute("DELETE FROM t")
    with pytest.raises(OperationalError, match=r"takes 24\d operations.*--max-txn-ops=20000"):
        connection.commit()
    assert count(connection) == 60


def test_most_bytes_of_one_commit(connection: Connection) -> None:
    insert(connection, 0, 1, "x" * 1_500_000)
    connection.commit()
    insert(connection, 1, 2, "x" * 800_000)
    with pytest.raises(OperationalError, match=r"has 1600\d\d\d bytes.*--max-request-bytes=8388608"):
        connection.commit()
    assert count(connection) == 1
    [text] = connection.execute("SELECT a FROM t WHERE id = 0").fetchone()
    assert text == "x" * 1_500_000


def test_large_read_set_needs_no_more_than_the_defaults(connection: Connection) -> None:
    """Which rows a transaction has read is checked in as many requests as it takes."""
    for first in range(0, 300, 50):
        insert(connection, first, 50)
        connection.commit()
    for n in range(300):
        connection.execute("SELECT a FROM t WHERE id = ?", (n,))
    connection.execute("UPDATE t SET a = 'y' WHERE id = 7")
    connection.commit()
    assert connection.execute("SELECT a FROM t WHERE id = 7").fetchone() == ("y",)


@pytest.mark.parametrize("size", [8_000_000, 9_000_000])
def test_more_than_a_member_can_replay_is_never_sent(
    connection: Connection, start_member: Callable[..., Member], size: int
) -> None:
    """However high the server's own limit is: this one would acknowledge both, and start again after the first only."""
    member = start_member({"max-request-bytes": str(64 * 1024 * 1024)})
    raised = rome.connect(member.url("limits"))
    raised.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER)")
    raised.commit()
    insert(raised, 0, 1, "x" * size)
    if size < 8_388_608:
        raised.commit()
        member.kill()
        member.start()
    else:
        with pytest.raises(OperationalError, match=r"store takes 8,387,584 bytes in one commit.*One row cannot"):
            raised.commit()
    raised.close()
    again = rome.connect(member.url("limits"))
    assert again.execute("SELECT length(a) FROM t").fetchall() == ([(size,)] if size < 8_388_608 else [])
    again.close()
