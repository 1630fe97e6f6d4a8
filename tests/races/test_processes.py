"""Several processes on one database: nothing is lost, nothing collides, and a killed one leaves no trace."""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import closing
from multiprocessing.process import BaseProcess

import pytest
import sqlalchemy as sa

import rome
from tests.races import recipes, workers
from tests.races.conftest import Start, finish

PROCESSES, INCREMENTS = 4, 1000


def run_script(url: str, *statements: str) -> None:
    with closing(rome.connect(url)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def ask(url: str, sql: str) -> list[tuple[object, ...]]:
    with closing(rome.connect(url)) as connection:
        return list(connection.execute(sql).fetchall())


@pytest.fixture
def counters(url: str) -> str:
    """Rows 1 and 2 at 0, and ten accounts of 100."""
    run_script(
        url,
        "CREATE TABLE counter (id INTEGER PRIMARY KEY, n INT)",
        "INSERT INTO counter VALUES (1, 0), (2, 0)",
        "INSERT INTO counter SELECT value + 10, 100 FROM (WITH RECURSIVE s (value) AS "
        "(SELECT 0 UNION ALL SELECT value + 1 FROM s WHERE value < 9) SELECT value FROM s)",
    )
    return url


@pytest.fixture
def increments(url: str) -> int:
    """How many each process makes: fewer on etcd, which takes ten times as long for each."""
    return INCREMENTS // 10 if url.startswith("rome+etcd") else INCREMENTS


def test_no_increment_is_lost(counters: str, start: Start, increments: int) -> None:
    finish([start(workers.increment_blindly, counters, increments) for _ in range(PROCESSES)])
    assert ask(counters, "SELECT n FROM counter WHERE id = 1") == [(PROCESSES * increments,)]


def test_no_increment_of_a_value_that_was_read_is_lost(counters: str, start: Start, increments: int) -> None:
    finish([start(workers.increment_what_was_read, counters, increments // 4) for _ in range(PROCESSES)])
    assert ask(counters, "SELECT n FROM counter WHERE id = 2") == [(PROCESSES * increments // 4,)]


def test_transfers_keep_the_sum(counters: str, start: Start) -> None:
    processes = [start(workers.transfer, counters, 300, seed) for seed in (3, 7)]
    while any(process.is_alive() for process in processes):
        assert ask(counters, "SELECT sum(n) FROM counter WHERE id >= 10") == [(1000,)]
    finish(processes)
    assert ask(counters, "SELECT sum(n) FROM counter WHERE id >= 10") == [(1000,)]


def test_acknowledged_commits_outlive_a_killed_process(url: str, start: Start) -> None:
    run_script(
        url,
        "CREATE TABLE number (n INTEGER PRIMARY KEY)",
        "CREATE TABLE square (number INT REFERENCES number, square INT)",
    )
    receiver, sender = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = start(workers.commit_and_acknowledge, url, 1000, sender)
    sender.close()
    acknowledged = [receiver.recv() for _ in range(500)]
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    try:
        while True:
            acknowledged.append(receiver.recv())
    except EOFError:
        pass
    last = max(acknowledged)
    assert last < 1000, "it was not killed in the middle"
    found = [row[0] for row in ask(url, "SELECT n FROM number")]
    assert found in (list(range(1, last + 1)), list(range(1, last + 2)))  # the last answer may be lost, nothing else
    assert ask(url, "SELECT number, square FROM square") == [(n, n * n) for n in range(1, len(found) + 1)]
    run_script(url, "INSERT INTO number VALUES (5000)", "INSERT INTO square VALUES (5000, 0)")
    assert ask(url, "SELECT count(*) FROM number") == [(len(found) + 1,)]


def test_ids_of_two_processes_never_collide(url: str, start: Start) -> None:
    run_script(url, "CREATE TABLE item (id INTEGER PRIMARY KEY, worker TEXT)", "CREATE TABLE line (worker TEXT)")
    receiver, sender = multiprocessing.get_context("spawn").Pipe(duplex=False)
    processes: list[BaseProcess] = [start(workers.insert, url, worker, 300, sender) for worker in ("a", "b")]
    got = [receiver.recv(), receiver.recv()]
    finish(processes)
    assert sorted(got[0] + got[1]) == [row[0] for row in ask(url, "SELECT id FROM item ORDER BY id")]
    assert len({*got[0], *got[1]}) == 600
    assert [ids == sorted(ids) for ids in got] == [True, True]
    assert ask(url, "SELECT worker, count(*), count(DISTINCT rowid) FROM line GROUP BY worker ORDER BY worker") == [
        ("a", 300, 300),
        ("b", 300, 300),
    ]
    assert ask(url, "SELECT count(DISTINCT rowid) FROM line") == [(600,)]


def test_who_dies_in_its_turn_holds_nobody_up_for_longer_than_its_lease(counters: str, start: Start) -> None:
    receiver, sender = multiprocessing.get_context("spawn").Pipe(duplex=False)
    with closing(rome.connect(counters)) as connection:
        connection.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
        process = start(workers.hold_the_turn, counters, 2.0, sender)
        assert receiver.recv()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        connection.commit()
        assert (connection.rome_stats.conflicts, connection.rome_stats.turns) == (0, 1), "it was not held up"
        connection.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
        connection.commit()
        assert connection.rome_stats.turns == 1, "somebody is in the line still"
    assert ask(counters, "SELECT n FROM counter WHERE id = 1") == [(2,)]


def test_two_processes_change_the_schema_while_a_third_writes(url: str, start: Start) -> None:
    run_script(url, "CREATE TABLE shared (id INTEGER PRIMARY KEY, n INT DEFAULT 3)")
    finish(
        [
            start(workers.make_tables, url, "a", 12),
            start(workers.make_tables, url, "b", 12),
            start(workers.insert_into_shared, url, 100),
        ]
    )
    names = {row[0] for row in ask(url, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names == {"shared", *(f"{worker}{number}" for worker in "ab" for number in range(12))}
    assert ask(url, "SELECT a FROM a0 UNION ALL SELECT a FROM b11") == [(1,), (1,)]
    columns = ["n", *(f"{worker}{number}" for worker in "ab" for number in range(12))]
    assert ask(url, f"SELECT count(*), {', '.join(f'sum({name})' for name in columns)} FROM shared") == [
        (100, 300, *[700] * 24)
    ]


@pytest.mark.parametrize(
    ("level", "recipe"),
    [
        *(("SERIALIZABLE", recipe) for recipe in recipes.AT_EVERY_LEVEL),
        *(("READ COMMITTED", recipe) for recipe in recipes.BELOW_SERIALIZABLE),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_all_get_the_rows_that_one_of_them_creates(url: str, start: Start, level: str, recipe: recipes.Recipe) -> None:
    engine = sa.create_engine(url)
    recipes.Base.metadata.create_all(engine)
    engine.dispose()
    receiver, sender = multiprocessing.get_context("spawn").Pipe(duplex=False)
    arguments = (url, level, recipe.__name__, 100, sender)
    processes = [start(workers.get_or_create, *arguments) for _ in range(3)]
    found = [receiver.recv() for _ in processes]
    finish(processes)
    assert found == [found[0]] * 3
    assert sorted(found[0]) == [row[0] for row in ask(url, "SELECT id FROM tag ORDER BY id")]
