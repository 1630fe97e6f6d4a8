"""The cases of Hermitage (Kleppmann) at every level on every store: what each level prevents, and what it allows.

Each case is played by up to three clients, and says whether its anomaly has happened. A conflict is one way to prevent
it; so the cases look at what was read and what was kept, not at who was refused. Without replay a transaction that
meets a conflict fails; with it, it may be committed after the other one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from rome.dbapi import Connection
from rome.errors import ConflictError
from tests.support.databases import Connect, database, on

SERIALIZABLE, SNAPSHOT, READ_COMMITTED, AUTOCOMMIT = "SERIALIZABLE", "SNAPSHOT", "READ COMMITTED", "AUTOCOMMIT"
LEVELS = (SERIALIZABLE, SNAPSHOT, READ_COMMITTED, AUTOCOMMIT)
NOWHERE = frozenset[str]()
BELOW_SNAPSHOT = frozenset({READ_COMMITTED})
BELOW_SERIALIZABLE = frozenset({SNAPSHOT, READ_COMMITTED})


class Client:
    """A connection at a level. Under AUTOCOMMIT it says BEGIN, after which a transaction is SERIALIZABLE."""

    def __init__(self, connection: Connection, level: str) -> None:
        self._connection = connection
        connection.isolation_level = level

    def run(self, sql: str, *parameters: object) -> list[tuple[object, ...]]:
        if self._connection.isolation_level == AUTOCOMMIT and not self._connection.in_transaction:
            self._connection.execute("BEGIN")
        cursor = self._connection.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []

    def set(self, key: int, value: int) -> None:
        self.run("UPDATE test SET value = ? WHERE id = ?", value, key)

    def insert(self, key: int, value: int) -> None:
        self.run("INSERT INTO test (id, value) VALUES (?, ?)", key, value)

    def get(self, key: int) -> object:
        [(value,)] = self.run("SELECT value FROM test WHERE id = ?", key)
        return value

    def all(self, condition: str = "1") -> dict[object, object]:
        return {row[0]: row[1] for row in self.run(f"SELECT id, value FROM test WHERE {condition}")}

    def count(self, condition: str) -> object:
        [(count,)] = self.run(f"SELECT count(*) FROM test WHERE {condition}")
        return count

    def commit(self) -> bool:
        """False: it met a conflict, and is rolled back."""
        try:
            self._connection.commit()
        except ConflictError:
            return False
        return True

    def rollback(self) -> None:
        self._connection.rollback()


Play = Callable[[Client, Client, Client], bool]


def g0_dirty_write(one: Client, two: Client, three: Client) -> bool:
    one.set(1, 11)
    two.set(1, 12)
    one.set(2, 21)
    one.commit()
    two.set(2, 22)
    two.commit()
    return three.all() not in ({1: 11, 2: 21}, {1: 12, 2: 22})


def g1a_aborted_read(one: Client, two: Client, three: Client) -> bool:
    one.set(1, 101)
    seen = [two.all()]
    one.rollback()
    seen.append(two.all())
    two.commit()
    return seen != [{1: 10, 2: 20}] * 2


def g1b_intermediate_read(one: Client, two: Client, three: Client) -> bool:
    one.set(1, 101)
    seen = [two.get(1)]
    one.set(1, 11)
    one.commit()
    seen.append(two.get(1))
    two.commit()
    return 101 in seen


def g1c_circular_information_flow(one: Client, two: Client, three: Client) -> bool:
    one.set(1, 11)
    two.set(2, 22)
    seen = one.get(2), two.get(1)
    one.commit()
    two.commit()
    return seen == (22, 11)


def otv_observed_transaction_vanishes(one: Client, two: Client, three: Client) -> bool:
    one.set(1, 11)
    one.set(2, 19)
    two.set(1, 12)
    one.commit()
    seen = [three.get(1)]
    two.set(2, 18)
    seen.append(three.get(2))
    two.commit()
    seen += [three.get(2), three.get(1)]
    three.commit()
    return seen not in ([11, 19, 19, 11], [11, 19, 18, 12])


def otv_one_transaction_after_the_other(one: Client, two: Client, three: Client) -> bool:
    one.set(1, 11)
    one.set(2, 19)
    one.commit()
    seen = [three.get(1)]
    two.set(1, 12)
    two.set(2, 18)
    two.commit()
    seen += [three.get(2), three.get(1)]
    three.commit()
    return seen[1:] not in ([19, 11], [18, 12])


def non_repeatable_read(one: Client, two: Client, three: Client) -> bool:
    before = one.get(1)
    two.set(1, 11)
    two.commit()
    after = one.get(1)
    one.commit()
    return before != after


def _changes_under(one: Client, two: Client, read: Callable[[], object], again: Callable[[], object]) -> bool:
    """Whether `one` sees the row that `two` inserts between its reads."""
    before = read()
    two.insert(3, 30)
    two.commit()
    after = again()
    one.commit()
    return before != after


def pmp_phantom(one: Client, two: Client, three: Client) -> bool:
    return _changes_under(one, two, lambda: one.all("value = 30"), lambda: one.all("value % 3 = 0"))


def pmp_phantom_in_a_range(one: Client, two: Client, three: Client) -> bool:
    return _changes_under(one, two, lambda: one.all("id > 1"), lambda: one.all("id > 1"))


def pmp_phantom_in_a_count(one: Client, two: Client, three: Client) -> bool:
    return _changes_under(one, two, lambda: one.count("value >= 20"), lambda: one.count("value >= 20"))


def pmp_predicate_of_a_write(one: Client, two: Client, three: Client) -> bool:
    """The second one deletes what the first one is about to move away: neither 20 nor both may be gone."""
    one.run("UPDATE test SET value = value + 10")
    two.run("DELETE FROM test WHERE value = 20")
    one.commit()
    two.commit()
    return three.all() not in ({1: 20, 2: 30}, {2: 30})


def _both_replace(one: Client, two: Client, read: Callable[[Client], object], found: object) -> bool:
    """Whether both replace what both have read, one after the other."""
    seen = read(one), read(two)
    one.set(1, 11)
    first = one.commit()
    two.set(1, 12)
    return two.commit() and first and seen == (found, found)


def p4_lost_update(one: Client, two: Client, three: Client) -> bool:
    return _both_replace(one, two, lambda client: client.get(1), 10)


def p4_lost_update_of_interleaved_writes(one: Client, two: Client, three: Client) -> bool:
    """Both statements begin before either commits: READ COMMITTED refuses it, too."""
    seen = one.get(1), two.get(1)
    one.set(1, 11)
    two.set(1, 12)
    first = one.commit()
    return two.commit() and first and seen == (10, 10)


def p4_lost_increment(one: Client, two: Client, three: Client) -> bool:
    """The database adds: nothing is lost at any level."""
    one.run("UPDATE test SET value = value + 1 WHERE id = 1")
    two.run("UPDATE test SET value = value + 1 WHERE id = 1")
    committed = [one.commit(), two.commit()].count(True)
    return three.get(1) != 10 + committed


def p4_lost_update_of_a_row_taken_for_update(one: Client, two: Client, three: Client) -> bool:
    taken = "SELECT value FROM test WHERE id = 1 FOR UPDATE"
    return _both_replace(one, two, lambda client: client.run(taken), [(10,)])


def g_single_read_skew(one: Client, two: Client, three: Client) -> bool:
    first = one.get(1)
    two.set(1, 12)
    two.set(2, 18)
    two.commit()
    second = one.get(2)
    one.commit()
    return (first, second) == (10, 18)


def g_single_by_a_predicate(one: Client, two: Client, three: Client) -> bool:
    first = one.all("value % 5 = 0")
    two.run("UPDATE test SET value = 12 WHERE value = 10")
    two.commit()
    second = one.all("value % 3 = 0")
    one.commit()
    return (first, second) == ({1: 10, 2: 20}, {1: 12})


def g_single_by_the_predicate_of_a_write(one: Client, two: Client, three: Client) -> bool:
    first = one.get(1)
    two.set(1, 12)
    two.set(2, 18)
    two.commit()
    one.run("DELETE FROM test WHERE value = 18")
    return first == 10 and one.commit() and 2 not in three.all()


def _each_misses_the_other(
    one: Client, two: Client, read: Callable[[Client], object], found: object, write: Callable[[Client, int], None]
) -> bool:
    """Whether both read the same, then write different things, and both are committed."""
    seen = read(one), read(two)
    write(one, 1)
    write(two, 2)
    both = [one.commit(), two.commit()] == [True, True]
    return both and seen == (found, found)


def _replace(client: Client, number: int) -> None:
    client.set(number, 10 * number + 1)


def _insert(client: Client, number: int) -> None:
    client.insert(number + 2, 30 if number == 1 else 42)


def g2_item_write_skew(one: Client, two: Client, three: Client) -> bool:
    return _each_misses_the_other(one, two, lambda client: client.all("id IN (1, 2)"), {1: 10, 2: 20}, _replace)


def g2_item_write_skew_of_rows_taken_for_update(one: Client, two: Client, three: Client) -> bool:
    taken = "SELECT value FROM test WHERE id IN (1, 2) FOR UPDATE"
    return _each_misses_the_other(one, two, lambda client: client.run(taken), [(10,), (20,)], _replace)


def g2_phantom_write_skew_of_a_range_taken_for_update(one: Client, two: Client, three: Client) -> bool:
    taken = "SELECT value FROM test WHERE value BETWEEN 30 AND 50 FOR UPDATE"
    return _each_misses_the_other(one, two, lambda client: client.run(taken), [], _insert)


def g2_phantom_write_skew(one: Client, two: Client, three: Client) -> bool:
    return _each_misses_the_other(one, two, lambda client: client.all("value % 3 = 0"), {}, _insert)


def g2_phantom_write_skew_by_an_index(one: Client, two: Client, three: Client) -> bool:
    return _each_misses_the_other(one, two, lambda client: client.all("value BETWEEN 30 AND 50"), {}, _insert)


def g2_phantom_write_skew_by_counts(one: Client, two: Client, three: Client) -> bool:
    return _each_misses_the_other(one, two, lambda client: client.count("value >= 30"), 0, _insert)


def g2_read_only_transaction(one: Client, two: Client, three: Client) -> bool:
    """Fekete's: only the third one, which reads, makes it impossible that the first two ran one after the other."""
    first = one.all()
    two.run("UPDATE test SET value = value + 5 WHERE id = 2")
    two.commit()
    third = three.all()
    three.commit()
    one.set(1, 0)
    return one.commit() and first == {1: 10, 2: 20} and third == {1: 10, 2: 25}


class Case(NamedTuple):
    """`word` is what the table in docs/guarantees.md calls the anomaly, if any level allows it."""

    play: Play
    allowed: frozenset[str] = NOWHERE
    word: str | None = None


CASES = [
    Case(g0_dirty_write),
    Case(g1a_aborted_read),
    Case(g1b_intermediate_read),
    Case(g1c_circular_information_flow),
    Case(otv_observed_transaction_vanishes),
    Case(otv_one_transaction_after_the_other),
    Case(non_repeatable_read, BELOW_SNAPSHOT, "non-repeatable reads"),
    Case(pmp_phantom, BELOW_SNAPSHOT, "phantoms"),
    Case(pmp_phantom_in_a_range, BELOW_SNAPSHOT, "phantoms"),
    Case(pmp_phantom_in_a_count, BELOW_SNAPSHOT, "phantoms"),
    Case(pmp_predicate_of_a_write),
    Case(p4_lost_update, BELOW_SNAPSHOT, "lost updates"),
    Case(p4_lost_update_of_interleaved_writes),
    Case(p4_lost_increment),
    Case(p4_lost_update_of_a_row_taken_for_update),
    Case(g_single_read_skew, BELOW_SNAPSHOT, "read skew"),
    Case(g_single_by_a_predicate, BELOW_SNAPSHOT, "read skew"),
    Case(g_single_by_the_predicate_of_a_write, BELOW_SNAPSHOT, "read skew"),
    Case(g2_item_write_skew, BELOW_SERIALIZABLE, "write skew"),
    Case(g2_item_write_skew_of_rows_taken_for_update),
    Case(g2_phantom_write_skew_of_a_range_taken_for_update),
    Case(g2_phantom_write_skew, BELOW_SERIALIZABLE, "write skew"),
    Case(g2_phantom_write_skew_by_an_index, BELOW_SERIALIZABLE, "write skew"),
    Case(g2_phantom_write_skew_by_counts, BELOW_SERIALIZABLE, "write skew"),
    Case(g2_read_only_transaction, BELOW_SERIALIZABLE, "write skew"),
]


@pytest.fixture(params=on("memory", "lmdb", "redis", "valkey", "etcd", "redis-near", "valkey-near", "etcd-near"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.mark.parametrize("replays", [0, 5])
@pytest.mark.parametrize("level", LEVELS)
def test_level_prevents_and_allows_what_the_table_says(connect: Connect, level: str, replays: int) -> None:
    setup = connect(isolation_level=AUTOCOMMIT)
    setup.execute("CREATE TABLE test (id INTEGER PRIMARY KEY, value INT)")
    setup.execute("CREATE INDEX test_value ON test (value)")
    clients = [Client(connect(max_replays=replays), level) for _ in range(3)]
    happened = {}
    for case in CASES:
        setup.execute("DELETE FROM test")
        setup.execute("INSERT INTO test VALUES (1, 10), (2, 20)")
        happened[case.play.__name__] = case.play(*clients)
        for client in clients:
            client.rollback()
    assert happened == {case.play.__name__: level in case.allowed for case in CASES}


@pytest.mark.parametrize("level", LEVELS)
def test_table_of_the_guarantees_says_what_the_cases_show(level: str) -> None:
    """A level allows what its row says, and, after "also", what the row above it says."""
    page = (Path(__file__).parents[2] / "docs" / "guarantees.md").read_text()
    table = page.split("| level | reads |")[1].split("\n\n")[0]
    rows = [(cells[0], cells[-1]) for line in table.splitlines()[2:] for cells in [line.strip("| ").split(" | ")]]
    known = {case.word for case in CASES if case.word}
    allowed: set[str] = set()
    for names, text in rows:
        stated = {word for word in known if word in text}
        allowed = allowed | stated if text.startswith("also") else stated
        if level in names:
            break
    assert allowed == {case.word for case in CASES if level in case.allowed}
