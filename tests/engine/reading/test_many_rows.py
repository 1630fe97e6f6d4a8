"""More rows than a store shows at once, on every store: counted, paged and streamed as of a snapshot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rome.dbapi import Connection
from rome.errors import WorkingSetFullError
from tests.support.databases import Connect, Store, database, on

ROWS = 5_000
NARROW = "1MB"

COUNTED = [
    "SELECT count(*), min(id), max(id) FROM t",
    "SELECT count(*) FROM t WHERE kind = 3",
    "SELECT max(place), min(place) FROM t WHERE kind = 4",
    "SELECT count(*) FROM t WHERE id > 4990",
]
PAGES = [
    "SELECT * FROM t ORDER BY id LIMIT 20",
    "SELECT * FROM t ORDER BY id DESC LIMIT 20",
    "SELECT id FROM t WHERE kind = 3 ORDER BY place, id LIMIT 5 OFFSET 5",
    "SELECT id FROM t WHERE kind = 3 ORDER BY place DESC, id DESC LIMIT 10",
    "SELECT id FROM t WHERE kind < 3 OR (kind = 3 AND place < 40) ORDER BY kind DESC, place DESC, id DESC LIMIT 10",
    "SELECT id FROM t LIMIT 10",
]
STREAMED = [
    "SELECT kind, count(*), sum(place), avg(r), max(note) FROM t GROUP BY kind",
    "SELECT count(DISTINCT note), group_concat(id % 10, '') FROM t WHERE note > 'note 2'",
    "SELECT id FROM t WHERE note LIKE '%9' ORDER BY r DESC LIMIT 10",
]


@pytest.fixture(params=on("memory", "lmdb", "redis", "valkey"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    store: Store = request.param
    with database(store, request) as url:
        yield url


@pytest.fixture
def filled(connect: Connect) -> Connection:
    connection = connect()
    connection.executescript(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, kind INT, place INT, r REAL, note TEXT);"
        "CREATE INDEX t_kind_place ON t (kind, place)"
    )
    rows = [(n, n % 7, n * 7919 % 1000, n / 7, f"note {n * 31 % 1000}") for n in range(1, ROWS + 1)]
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
    connection.commit()
    return connection


def change(connection: Connection) -> None:
    """Near the ends of the table and of its kinds, where pages begin, and in the middle."""
    connection.execute("DELETE FROM t WHERE id IN (1, 2, 7, 2500, 4999, 5000)")
    connection.execute("UPDATE t SET place = 2000, note = 'changed' WHERE id IN (3, 10, 17, 3000, 4998)")
    connection.execute("UPDATE t SET kind = 3 WHERE id BETWEEN 4 AND 12")
    connection.executemany("INSERT INTO t VALUES (?, 3, -1, 0, 'new')", [(-5,), (6000,), (6001,)])
    connection.commit()


def everything(connection: Connection) -> list[object]:
    return [connection.execute(sql).fetchall() for sql in (*COUNTED, *PAGES, *STREAMED)]


def test_all_is_as_of_the_snapshot(filled: Connection, connect: Connect) -> None:
    before = everything(filled)
    filled.rollback()
    late = connect(max_working_set=NARROW)
    late.execute("SELECT * FROM t WHERE id = 2000").fetchall()
    change(filled)
    assert everything(late) == before
    late.rollback()
    assert everything(late) == everything(filled) != before


@pytest.mark.parametrize("sql", PAGES)
def test_a_page_is_one_trip(filled: Connection, sql: str) -> None:
    filled.execute("SELECT count(*) FROM t")  # a server that has just started does not know the script yet
    before = filled.rome_stats
    filled.execute(sql).fetchall()
    after = filled.rome_stats
    assert after.round_trips - before.round_trips == 1
    assert after.rows - before.rows <= 50


def test_what_does_not_fit_fails_with_the_second_chunk(filled: Connection, connect: Connect) -> None:
    connection = connect(max_working_set=NARROW)
    with pytest.raises(WorkingSetFullError, match="reads 5,000 rows of table t"):
        connection.execute("UPDATE t SET r = 0 WHERE note = 'x'")
    assert connection.rome_stats.rows < ROWS or connection.rome_stats.round_trips <= 2
    assert connection.execute("SELECT id FROM t WHERE id = 3000").fetchall() == [(3000,)]
