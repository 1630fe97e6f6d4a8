"""What the processes of a race do. Each runs a transaction again when it conflicts, as applications must."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from multiprocessing.connection import Connection as Pipe

import sqlalchemy as sa
from sqlalchemy.orm import Session

import rome
from rome.dbapi import Connection
from rome.dbapi.url import make_url, parse_url
from rome.errors import ConflictError
from rome.store.registry import store_class
from rome.store.spi import Claim
from tests.races import recipes


def until_committed(connection: Connection, work: Callable[[Connection], object]) -> int:
    """Run a transaction as often as it takes; returns how many conflicts there were."""
    conflicts = 0
    while True:
        try:
            work(connection)
            connection.commit()
        except ConflictError:
            connection.rollback()
            conflicts += 1
        else:
            return conflicts


def increment_blindly(url: str, times: int) -> None:
    """Let the database compute: checked replay may resolve the conflicts."""
    with closing(rome.connect(url)) as connection:
        for _ in range(times):
            until_committed(connection, lambda c: c.execute("UPDATE counter SET n = n + 1 WHERE id = 1"))


def increment_what_was_read(url: str, times: int) -> None:
    """Compute in the application: a lost update would show."""

    def work(connection: Connection) -> None:
        [(n,)] = connection.execute("SELECT n FROM counter WHERE id = 2").fetchall()
        assert isinstance(n, int)
        connection.execute("UPDATE counter SET n = ? WHERE id = 2", (n + 1,))

    with closing(rome.connect(url)) as connection:
        for _ in range(times):
            until_committed(connection, work)


def transfer(url: str, times: int, seed: int) -> None:
    """Move money between two of ten accounts, if there is some; the sum must stay."""

    def work(connection: Connection) -> None:
        rows = connection.execute("SELECT id, n FROM counter WHERE id IN (?, ?)", (source, target)).fetchall()
        balances = dict(rows)
        connection.execute("UPDATE counter SET n = ? WHERE id = ?", (int(balances[source] or 0) - 1, source))
        connection.execute("UPDATE counter SET n = ? WHERE id = ?", (int(balances[target] or 0) + 1, target))

    with closing(rome.connect(url)) as connection:
        for number in range(times):
            source, target = (number * seed) % 10 + 10, (number * seed + 1 + number % 7) % 10 + 10
            if source != target:
                until_committed(connection, work)


def commit_and_acknowledge(url: str, times: int, acknowledged: Pipe) -> None:
    """Insert the numbers from 1 on, each with its square in a second table; tell every one that is committed."""
    with closing(rome.connect(url)) as connection:
        for number in range(1, times + 1):
            connection.execute("INSERT INTO number VALUES (?)", (number,))
            connection.execute("INSERT INTO square (number, square) VALUES (?, ?)", (number, number * number))
            connection.commit()
            acknowledged.send(number)


def insert(url: str, worker: str, times: int, ids: Pipe) -> None:
    """Insert rows without an id, some of them in one transaction; tell the ids."""
    got = []
    with closing(rome.connect(url)) as connection:
        for number in range(times):
            got.append(connection.execute("INSERT INTO item (worker) VALUES (?)", (worker,)).lastrowid)
            connection.execute("INSERT INTO line VALUES (?)", (worker,))
            if number % 5 == 0:
                connection.commit()
        connection.commit()
    ids.send(got)


def make_tables(url: str, worker: str, times: int) -> None:
    """Make tables, each with a row, and change the one that all share."""
    with closing(rome.connect(url)) as connection:
        for number in range(times):

            def work(connection: Connection, name: str = f"{worker}{number}") -> None:
                connection.execute(f"CREATE TABLE {name} (a INTEGER PRIMARY KEY)")
                connection.execute(f"INSERT INTO {name} VALUES (1)")
                connection.execute(f"ALTER TABLE shared ADD COLUMN {name} DEFAULT 7")

            until_committed(connection, work)


def insert_into_shared(url: str, times: int) -> None:
    """Insert rows into a table whose columns others change."""

    def insert(number: int, connection: Connection) -> None:
        connection.execute("INSERT INTO shared (id) VALUES (?)", (number,))

    with closing(rome.connect(url)) as connection:
        for number in range(times):
            until_committed(connection, partial(insert, number))


def hold_the_turn(url: str, lease_s: float, held: Pipe) -> None:
    """Claim all rows of the first tables, tell, and do nothing more."""
    location, _ = parse_url(make_url(url))
    store = store_class(location.scheme).open(location)
    store.join_queue(b"t" * 16, [Claim(table, None) for table in range(1, 10)], lease_s)
    held.send(True)
    time.sleep(3600)


def get_or_create(url: str, level: str, recipe: str, names: int, ids: Pipe) -> None:
    """Get, or create, row after row by a recipe of rome's tests; tell their ids."""
    engine = sa.create_engine(url, isolation_level=level)
    found = []
    for number in range(names):
        with Session(engine) as session:
            found.append(getattr(recipes, recipe)(session, f"tag {number}"))
    engine.dispose()
    ids.send(found)
