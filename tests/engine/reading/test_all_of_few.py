"""Many rows that key those of another table: that one is read whole if it is small beside them, else by their range."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

import rome
from rome.dbapi import Connection
from rome.errors import ConflictError
from rome.planner import planning
from rome.planner.access import bounds, points
from tests.support.databases import Connect, database, on

KEYS = 60
SUBQUERY = "SELECT count(*) FROM us WHERE NOT EXISTS (SELECT * FROM od WHERE od.us_id = us.id)"
JOIN = "SELECT us.id, od.note FROM us LEFT JOIN od ON od.us_id = us.id ORDER BY 1, 2"


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "MANY_KEYS", KEYS)
    monkeypatch.setattr(planning, "MAX_WAVE_KEYS", KEYS)
    monkeypatch.setattr(bounds, "MAX_WAVE_KEYS", KEYS)
    monkeypatch.setattr(points, "MAX_ROWS", KEYS)  # for more rows the fast path does not say what is read


@pytest.fixture(params=on("memory", "lmdb", "redis", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


def _filled(connection: Connection, others: int) -> None:
    """100 rows that ask for the ids 1 to 100; others for 20, 40, .."""
    connection.executescript(
        "CREATE TABLE us (id INTEGER PRIMARY KEY, name TEXT);"
        "CREATE TABLE od (id INTEGER PRIMARY KEY, us_id INT, note TEXT);"
        "CREATE INDEX od_us ON od (us_id)"
    )
    connection.executemany("INSERT INTO us VALUES (?, ?)", [(n, f"u{n}") for n in range(1, 101)])
    connection.executemany("INSERT INTO od VALUES (?, ?, ?)", [(n, 20 * n, f"n{n}") for n in range(1, others + 1)])
    connection.commit()


@pytest.mark.parametrize(("others", "most"), [(150, 250), (1_000, 310)])
def test_the_result_is_the_same_and_not_much_is_read(connect: Connect, others: int, most: int) -> None:
    connection = connect()
    _filled(connection, others)
    for changed in (False, True):
        if changed:
            connection.execute("UPDATE od SET us_id = 7 WHERE id = 90")
            connection.execute("DELETE FROM us WHERE id = 8")
        before = connection.rome_stats.rows
        assert connection.execute(SUBQUERY).fetchall() == [(93 if changed else 95,)]
        joined = connection.execute(JOIN).fetchall()
        assert [row for row in joined if row[1]] == [(7, "n90")] * changed + [(20 * n, f"n{n}") for n in range(1, 6)]
        if not changed:
            assert connection.rome_stats.rows - before <= 2 * most
        connection.rollback() if changed else connection.commit()


@pytest.mark.parametrize(("others", "conflicts"), [(150, True), (1_000, False)])
def test_only_what_the_result_rests_on_is_validated(url: str, connect: Connect, others: int, conflicts: bool) -> None:
    with closing(rome.connect(url, replay="off")) as connection:
        _filled(connection, others)
        connection.execute(SUBQUERY).fetchall()
        connection.execute("UPDATE us SET name = 'x' WHERE id = 1")
        other = connect()
        other.execute("UPDATE od SET note = 'beyond the range' WHERE id = 140")
        other.commit()
        if conflicts:  # all rows of `od` are what was read
            with pytest.raises(ConflictError):
                connection.commit()
        else:
            connection.commit()
        other.execute("UPDATE od SET us_id = 3 WHERE id = 141")
        connection.execute(SUBQUERY).fetchall()
        connection.execute("UPDATE us SET name = 'y' WHERE id = 2")
        other.commit()
        with pytest.raises(ConflictError):
            connection.commit()
