"""Transactions that take turns statement by statement, by search: those that are committed have shown what stock SQLite
shows when they run one after the other, in some order.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack, closing

from hypothesis import given, settings
from hypothesis import strategies as st

import rome
from rome.dbapi import Connection
from rome.errors import ConflictError
from tests.engine.session.test_replay_property import Committed, Script, explains, run

CLIENTS = 2
SCHEMA = ("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT UNIQUE)", "INSERT INTO t VALUES (1, 1), (2, 2)")
FINAL: Script = [("SELECT * FROM t ORDER BY id", ())]
STATEMENTS = [
    "SELECT n FROM t WHERE id = {id}",
    "SELECT n FROM t WHERE id = {id}",
    "SELECT count(*), sum(n) FROM t WHERE n > {n}",
    "UPDATE t SET n = {n} WHERE id = {id}",
    "UPDATE t SET n = n + 2 WHERE id = {id}",
    "REPLACE INTO t VALUES ({id}, {n})",
    "INSERT OR IGNORE INTO t VALUES ({id}, {n})",
    "INSERT INTO t VALUES ({id}, {n}) ON CONFLICT (id) DO UPDATE SET n = excluded.n",
    "INSERT INTO t VALUES ({id}, {n}) ON CONFLICT DO UPDATE SET n = 5 WHERE n > 3",
    "INSERT INTO t SELECT {id}, {n} WHERE 1 ON CONFLICT DO UPDATE SET n = 6 WHERE n > 3",
    "DELETE FROM t WHERE id = {id}",
]
"""On two rows and few values, so that what one transaction does matters to the other."""

statements = st.builds(
    lambda sql, id, n: (sql.format(id=id, n=n), ()), st.sampled_from(STATEMENTS), st.integers(1, 2), st.integers(1, 3)
)
scripts = st.lists(st.lists(statements, min_size=2, max_size=3), min_size=CLIENTS, max_size=CLIENTS)
turns = st.lists(st.integers(0, CLIENTS - 1), max_size=CLIENTS * 4)


class Client:
    """A connection that runs its transaction a statement at a time."""

    def __init__(self, connection: Connection, script: Script) -> None:
        self.connection, self.script = connection, script
        self.done = Committed(script)
        self.committed = self.over = False

    def step(self) -> None:
        """Run the next statement, or COMMIT."""
        if self.over:
            return
        at = len(self.done.seen)
        try:
            if at < len(self.script):
                self.done.seen += run(self.connection, self.script[at : at + 1])
            else:
                self.connection.commit()
                self.over = self.committed = True
        except ConflictError:
            self.connection.rollback()
            self.over = True


class Search:
    """Runs random cases; `met` counts those with two or more commits, `refused` the transactions without one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.met = self.refused = 0

    def case(self, scripts: list[Script], turns: list[int]) -> None:
        try:
            self._case(scripts, turns)
        finally:
            rome.drop_database(self.url)

    def _case(self, scripts: list[Script], turns: list[int]) -> None:
        with ExitStack() as stack:
            setup = stack.enter_context(closing(rome.connect(self.url)))
            for statement in SCHEMA:
                setup.execute(statement)
            setup.commit()
            clients = []
            for script in scripts:
                connection = stack.enter_context(closing(rome.connect(self.url, max_replays=0, commit_turn=False)))
                connection.execute("BEGIN")
                clients.append(Client(connection, script))
            for turn in turns:
                clients[turn % len(clients)].step()
            for client in clients:
                while not client.over:
                    client.step()
            final = run(setup, FINAL)
        committed = [client.done for client in clients if client.committed]
        self.met += len(committed) > 1
        self.refused += len(clients) - len(committed)
        orders = itertools.permutations(committed)
        assert any(explains(list(order), final, SCHEMA, FINAL) for order in orders), (committed, final)


def search(found: Search, examples: int) -> None:
    given(scripts, turns)(
        settings(max_examples=examples, deadline=None)(lambda scripts, turns: found.case(scripts, turns))
    )()


def test_some_order_explains_what_was_committed(url: str) -> None:
    cases = Search(url)
    search(cases, 300)
    assert cases.met > 10, "transactions must meet, or nothing was tested"
    assert cases.refused > 10
