"""SQLite's limits: what lies within them works, what lies beyond gets SQLite's own error."""

from __future__ import annotations

from collections.abc import Callable

import apsw
import pytest

from rome.dbapi import Connection
from rome.errors import OperationalError

Connect = Callable[[], Connection]

MAX_COLUMNS = 2000


@pytest.fixture(scope="module")
def max_parameters() -> int:
    """SQLite's limit is chosen when it is compiled; 32,766 unless somebody chose another."""
    stock = apsw.Connection(":memory:")
    limit = stock.limit(apsw.SQLITE_LIMIT_VARIABLE_NUMBER)
    stock.close()
    return limit


def _numbers(connect: Connect) -> Connection:
    writer = connect()
    writer.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, k TEXT UNIQUE)")
    writer.executemany("INSERT INTO t VALUES (?, ?)", [(n, f"k{n}") for n in range(0, 3000, 3)])
    writer.commit()
    return connect()


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 32_765])
def test_in_list(connect: Connect, size: int) -> None:
    reader = _numbers(connect)
    marks = ", ".join("?" * size)
    wanted = sorted(n for n in range(0, 3000, 3) if n < size)

    rows = reader.execute(f"SELECT n FROM t WHERE n IN ({marks}) ORDER BY n", range(size)).fetchall()
    assert [n for (n,) in rows] == wanted
    keys = [f"k{n}" for n in range(size)]
    rows = reader.execute(f"SELECT n FROM t WHERE k IN ({marks}) ORDER BY n", keys).fetchall()
    assert [n for (n,) in rows] == wanted
    (count,) = reader.execute(f"SELECT count(*) FROM t WHERE n NOT IN ({marks})", range(size)).fetchone() or (None,)
    assert count == 1000 - len(wanted)


def test_as_many_parameters_as_sqlite_takes_and_its_error_beyond(connect: Connect, max_parameters: int) -> None:
    reader = _numbers(connect)
    query = "SELECT count(*) FROM t WHERE n IN ({})"

    full = ", ".join("?" * max_parameters)
    assert reader.execute(query.format(full), range(max_parameters)).fetchall() == [(1000,)]
    with pytest.raises(OperationalError, match=r"^too many SQL variables$"):
        reader.execute(query.format(f"{full}, ?"), range(max_parameters + 1))
    assert reader.execute("SELECT count(*) FROM t").fetchall() == [(1000,)]


def test_rows_of_values_up_to_the_limit(connect: Connect) -> None:
    writer = connect()
    writer.execute("CREATE TABLE t (a INT, b TEXT)")
    rows = [value for n in range(5000) for value in (n, f"b{n}")]
    writer.execute(f"INSERT INTO t VALUES {', '.join(['(?, ?)'] * 5000)}", rows)
    writer.commit()

    assert connect().execute("SELECT count(*), min(a), max(a), sum(b = 'b' || a) FROM t").fetchall() == [
        (5000, 0, 4999, 5000)
    ]


def test_2000_columns(connect: Connect) -> None:
    writer = connect()
    names = [f"c{n}" for n in range(MAX_COLUMNS)]
    writer.execute(f"CREATE TABLE t ({', '.join(names)})")
    writer.execute(f"CREATE INDEX i ON t ({names[-1]}, {names[0]})")
    writer.execute(f"INSERT INTO t VALUES ({', '.join('?' * MAX_COLUMNS)})", range(MAX_COLUMNS))
    writer.execute("UPDATE t SET c1000 = 'changed' WHERE c1999 = 1999")
    writer.commit()
    expected = [*range(1000), "changed", *range(1001, MAX_COLUMNS)]

    reader = connect()
    assert reader.execute("SELECT * FROM t WHERE c1999 = 1999 AND c0 = 0").fetchall() == [tuple(expected)]
    with pytest.raises(OperationalError, match=r"^too many columns on more$"):
        reader.execute(f"CREATE TABLE more ({', '.join(names)}, one_more)")
    with pytest.raises(OperationalError, match=r"^too many columns on sqlite_altertab_t$"):
        reader.execute("ALTER TABLE t ADD COLUMN one_more")


def test_value_beyond_what_a_commit_may_hold_is_refused_whole(connect: Connect) -> None:
    writer = connect()
    writer.execute("CREATE TABLE t (v)")
    writer.commit()
    writer.execute("INSERT INTO t VALUES ('small')")
    writer.execute("INSERT INTO t VALUES (zeroblob(17000000))")

    with pytest.raises(OperationalError, match="16"):
        writer.commit()

    assert connect().execute("SELECT count(*) FROM t").fetchall() == [(0,)]
