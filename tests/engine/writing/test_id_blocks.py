"""Ids of new rows: from the store's sequence, never twice, in the order of insertion."""

from __future__ import annotations

import pytest

from rome.dbapi import Connection
from rome.engine.writing.id_blocks import BLOCK, IdBlocks
from rome.errors import ConflictError, IdsExhaustedError, IntegrityError, NotSupportedError, UniqueViolation
from tests.support.databases import Connect

PLACE = (b"incarnation", 1)


class TestBlocks:
    def test_ids_are_taken_in_order_and_only_once(self) -> None:
        ids = IdBlocks(BLOCK)
        assert ids.take(*PLACE, 1, 0) is None
        ids.add(*PLACE, 10, 5)
        assert [ids.take(*PLACE, size, 0) for size in (2, 1, 3, 2)] == [10, 12, None, 13]

    def test_ids_are_above_what_the_caller_has_seen(self) -> None:
        ids = IdBlocks(BLOCK)
        ids.add(*PLACE, 10, 5)
        assert ids.take(*PLACE, 1, 12) == 13
        assert ids.take(*PLACE, 1, 14) is None

    def test_what_was_not_used_is_given_back_unless_others_went_on(self) -> None:
        ids = IdBlocks(BLOCK)
        ids.add(*PLACE, 10, 5)
        first = ids.take(*PLACE, 3, 0)
        assert first == 10
        ids.give_back(*PLACE, 11, 13)
        assert ids.take(*PLACE, 2, 0) == 11
        ids.give_back(*PLACE, 10, 11)
        assert ids.take(*PLACE, 1, 0) == 13

    def test_adjoining_blocks_are_one_and_others_replace(self) -> None:
        ids = IdBlocks(BLOCK)
        ids.add(*PLACE, 10, 2)
        ids.add(*PLACE, 12, 2)
        assert ids.take(*PLACE, 4, 0) == 10
        ids.add(*PLACE, 20, 2)
        ids.add(*PLACE, 30, 2)
        assert ids.take(*PLACE, 1, 0) == 30

    def test_an_explicit_id_inside_the_block_ends_it(self) -> None:
        ids = IdBlocks(BLOCK)
        ids.add(*PLACE, 10, 5)
        ids.discard(*PLACE, 9)
        assert ids.take(*PLACE, 1, 0) == 10
        ids.discard(*PLACE, 12)
        assert ids.take(*PLACE, 1, 0) is None


@pytest.fixture
def one(connect: Connect) -> Connection:
    connection = connect()
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE)")
    connection.execute("CREATE TABLE source (u TEXT)")
    connection.execute("INSERT INTO source VALUES ('s1'), ('s2'), ('s3')")
    connection.commit()
    return connection


def ids(connection: Connection, condition: str = "1") -> list[object]:
    return [row[0] for row in connection.execute(f"SELECT id FROM t WHERE {condition} ORDER BY id").fetchall()]


def test_every_way_to_insert(one: Connection, two: Connection) -> None:
    got = [one.execute("INSERT INTO t (u) VALUES ('a')").lastrowid]
    got += [row[0] for row in one.execute("INSERT INTO t (u) VALUES ('b'), ('c') RETURNING id").fetchall()]
    one.executemany("INSERT INTO t (u) VALUES (?)", [("d",), ("e",)])
    got += one.execute("SELECT id FROM t WHERE u IN ('d', 'e') ORDER BY id").fetchone() or ()
    got.append(one.execute("SELECT last_insert_rowid()").fetchall()[0][0])
    got += [row[0] for row in one.execute("INSERT INTO t (u) SELECT u FROM source RETURNING id").fetchall()]
    got.append(one.execute("INSERT INTO t DEFAULT VALUES").lastrowid)
    got.append(one.execute("INSERT INTO t (id, u) VALUES (NULL, 'n')").lastrowid)
    got.append(one.execute("REPLACE INTO t (u) VALUES ('a') RETURNING id").fetchall()[0][0])
    one.commit()
    assert got == sorted(set(got), key=lambda number: number or 0)
    assert ids(two) == got[1:]


def test_explicit_and_chosen_ids_in_one_statement(one: Connection, two: Connection) -> None:
    one.execute("INSERT INTO t (id, u) VALUES (NULL, 'a'), (500, 'b'), (NULL, 'c'), (-3, 'd'), (NULL, 'e')")
    one.commit()
    found = ids(two)
    assert len(set(found)) == 5
    assert [number for number in found if number in (-3, 500)] == [-3, 500]
    assert ids(two, "u IN ('c', 'e')") > [500]
    assert two.execute("INSERT INTO t (u) VALUES ('f')").lastrowid not in found


def test_rows_that_are_ignored_or_updated_take_no_id_from_others(one: Connection, two: Connection) -> None:
    one.execute("INSERT INTO t (id, u) VALUES (1, 's2')")
    one.commit()
    assert two.execute("INSERT OR IGNORE INTO t (u) SELECT u FROM source").rowcount == 2
    assert two.execute(
        "INSERT INTO t (u) VALUES ('s2') ON CONFLICT (u) DO UPDATE SET u = 'x' RETURNING id"
    ).fetchall() == [(1,)]
    two.commit()
    assert len(set(ids(one))) == 3


def test_an_insert_that_fails_leaves_the_ids_usable(one: Connection, two: Connection) -> None:
    one.execute("INSERT INTO t (u) VALUES ('a')")
    one.commit()
    for _ in range(3):
        with pytest.raises(UniqueViolation, match=r"t\.u"):
            two.execute("INSERT INTO t (u) VALUES ('b'), ('a')")
    two.execute("INSERT INTO t (u) VALUES ('b'), ('c')")
    one.execute("INSERT INTO t (u) VALUES ('d')")
    two.commit()
    one.commit()
    assert len(set(ids(one))) == 4


def test_ids_of_a_rolled_back_transaction_are_not_in_the_way(one: Connection, two: Connection) -> None:
    for connection in (one, two, one):
        connection.execute("INSERT INTO t (u) VALUES ('x')")
        connection.rollback()
    one.execute("INSERT INTO t (u) VALUES ('a')")
    two.execute("INSERT INTO t (u) VALUES ('b')")
    one.commit()
    two.commit()
    assert len(ids(one)) == 2


def test_more_rows_than_a_block_has(one: Connection, two: Connection) -> None:
    one.execute("INSERT INTO t (u) VALUES ('first')")
    one.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) "
        "INSERT INTO t (u) SELECT i FROM n"
    )
    one.executemany("INSERT INTO t (u) VALUES (?)", [(f"many{number}",) for number in range(100)])
    two.execute("INSERT INTO t (u) VALUES ('other')")
    two.commit()
    one.commit()
    assert len(ids(two)) == 202
    order = [row[0] for row in two.execute("SELECT u FROM t WHERE u LIKE 'many%' ORDER BY id").fetchall()]
    assert order == [f"many{number}" for number in range(100)]


def test_an_explicit_id_that_another_client_would_have_chosen(one: Connection, two: Connection) -> None:
    chosen = one.execute("INSERT INTO t (u) VALUES ('a')").lastrowid
    assert isinstance(chosen, int)
    two.execute("INSERT INTO t VALUES (?, 'b')", (chosen + 1,))
    two.commit()
    one.commit()
    one.execute("INSERT INTO t (u) VALUES ('c')")
    one.commit()
    assert len(set(ids(one))) == 3


def test_a_table_of_this_transaction_has_ids_at_once(connection: Connection) -> None:
    connection.execute("CREATE TABLE new (id INTEGER PRIMARY KEY, a NOT NULL)")
    assert connection.execute("INSERT INTO new (a) VALUES (1), (2) RETURNING id").fetchall() == [(1,), (2,)]
    with pytest.raises(IntegrityError):
        connection.execute("INSERT INTO new (a) VALUES (NULL)")
    connection.commit()
    connection.execute("INSERT INTO new (a) VALUES (3)")
    connection.commit()
    assert connection.execute("SELECT count(DISTINCT id), min(id) FROM new").fetchall() == [(3, 1)]


@pytest.mark.parametrize("given", [70, 2**53, 2**62])
def test_ids_after_one_that_the_same_statement_sets(one: Connection, two: Connection, given: int) -> None:
    """No block of ours reaches there: SQLite counts on, and COMMIT validates. It once never ended."""
    rows = one.execute(f"INSERT INTO t (id, u) VALUES (NULL, 'a'), ({given}, 'b'), (NULL, 'c'), (-1, 'd') RETURNING id")
    _, *others = rows.fetchall()
    assert others == [(given,), (given + 1,), (-1,)]
    two.execute("INSERT INTO t (id, u) VALUES (?, 'e')", (given + 1,))
    two.commit()
    with pytest.raises(ConflictError):
        one.commit()
    one.execute("INSERT INTO t (id, u) SELECT ?, 'f' UNION ALL SELECT NULL, 'g'", (given - 1,))
    assert ids(one)[:1] == [given - 1]


GREATEST, LEAST = 2**63 - 1, -(2**63)
EXHAUSTED = r"database or disk is full: table t has no id left below 2\^63"


def test_greatest_and_least_ids(one: Connection, two: Connection) -> None:
    assert one.execute("INSERT INTO t VALUES (?, 'max')", (GREATEST,)).lastrowid == GREATEST
    assert one.execute("INSERT INTO t VALUES (?, 'min')", (LEAST,)).lastrowid == LEAST
    one.commit()
    assert ids(two) == [LEAST, GREATEST]
    assert ids(two, f"id > {GREATEST - 1}") == [GREATEST]
    assert two.execute(f"UPDATE t SET id = {GREATEST - 1} WHERE id = {GREATEST}").rowcount == 1
    assert two.execute(f"DELETE FROM t WHERE id = {LEAST}").rowcount == 1
    two.commit()
    assert ids(one) == [GREATEST - 1]


@pytest.mark.parametrize(
    "insert",
    [
        "INSERT INTO t (u) VALUES ('a')",
        "INSERT INTO t (u) VALUES ('a'), ('b')",
        "INSERT INTO t (u) SELECT u FROM source",
        "INSERT INTO t DEFAULT VALUES",
        "REPLACE INTO t (u) VALUES ('kept')",
    ],
)
def test_no_id_is_left(one: Connection, two: Connection, insert: str) -> None:
    """Of the statement nothing is done, and the transaction goes on."""
    one.execute("INSERT INTO t VALUES (?, 'max')", (GREATEST,))
    one.commit()
    for connection in (one, two):
        connection.execute("INSERT INTO t VALUES (1, 'kept') ON CONFLICT DO NOTHING")
        with pytest.raises(IdsExhaustedError, match=EXHAUSTED):
            connection.execute(insert)
        connection.execute("INSERT INTO t VALUES (2, 'given') ON CONFLICT DO NOTHING")
        connection.commit()
    assert two.execute("SELECT * FROM t").fetchall() == [(1, "kept"), (2, "given"), (GREATEST, "max")]


def test_no_id_is_left_for_a_batch(one: Connection) -> None:
    one.execute("INSERT INTO t VALUES (?, 'max')", (GREATEST - 1,))
    one.commit()
    with pytest.raises(IdsExhaustedError, match=EXHAUSTED):
        one.executemany("INSERT INTO t (u) VALUES (?)", [("a",), ("b",)])
    one.commit()
    assert ids(one) == [GREATEST - 1, GREATEST]  # as with sqlite3, what came before the failure stays


@pytest.mark.parametrize(
    ("insert", "came"),
    [
        ("INSERT INTO t (id, u) SELECT 7, 'given'", [7]),
        ("INSERT INTO t SELECT length(u) + 5, u FROM source WHERE u < 's2'", [7]),
        ("INSERT INTO t (u) SELECT u FROM source WHERE u = 'none'", []),
        ("INSERT OR IGNORE INTO t (id, u) SELECT 7, 'given' UNION ALL SELECT 8, 'given'", [7]),
        ("INSERT INTO t (id, u) SELECT 7, 'max' WHERE 1 ON CONFLICT (u) DO UPDATE SET u = 'other'", []),
        ("REPLACE INTO t (id, u) SELECT 7, 'given'", [7]),
    ],
)
def test_ids_that_a_select_sets_come_in_when_none_is_left(
    one: Connection, two: Connection, insert: str, came: list[int]
) -> None:
    one.execute("INSERT INTO t VALUES (?, 'max')", (GREATEST,))
    one.commit()
    one.execute(insert)
    one.commit()
    assert ids(two) == [*came, GREATEST]


def test_no_id_is_left_for_some_rows_of_a_select(one: Connection, two: Connection) -> None:
    one.execute("INSERT INTO t VALUES (?, 'max')", (GREATEST,))
    one.commit()
    with pytest.raises(IdsExhaustedError, match=EXHAUSTED):
        two.execute("INSERT INTO t (id, u) SELECT 7, 'given' UNION ALL SELECT NULL, 'chosen'")
    two.execute("INSERT INTO t VALUES (8, 'goes on')")
    two.commit()
    assert ids(one) == [8, GREATEST]


def test_rowids_that_a_select_sets_come_in_when_none_is_left(one: Connection, two: Connection) -> None:
    one.execute("INSERT INTO source (rowid, u) VALUES (?, 'max')", (GREATEST,))
    one.commit()
    two.execute("INSERT INTO source (rowid, u) SELECT 77, 'given'")
    two.commit()
    assert one.execute("SELECT rowid FROM source WHERE rowid > 3").fetchall() == [(77,), (GREATEST,)]


def test_no_id_is_left_in_a_table_of_this_transaction(connection: Connection) -> None:
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    connection.execute("INSERT INTO t VALUES (?)", (GREATEST,))
    with pytest.raises(IdsExhaustedError, match=EXHAUSTED):
        connection.execute("INSERT INTO t DEFAULT VALUES")
    connection.commit()
    assert connection.execute("SELECT id FROM t").fetchall() == [(GREATEST,)]


def test_no_id_is_left_in_a_table_without_integer_primary_key(connection: Connection) -> None:
    connection.execute("CREATE TABLE t (a)")
    connection.execute("INSERT INTO t (rowid, a) VALUES (?, 1)", (GREATEST,))
    connection.commit()
    with pytest.raises(IdsExhaustedError, match=EXHAUSTED):
        connection.execute("INSERT INTO t VALUES (2)")
    assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]


@pytest.mark.parametrize("rest", ["VALUES (?, 'max'), (NULL, 'next')", "SELECT ?, 'max' UNION ALL SELECT NULL, 'next'"])
def test_no_id_is_left_after_one_that_the_same_statement_sets(one: Connection, two: Connection, rest: str) -> None:
    with pytest.raises(IdsExhaustedError, match="database or disk is full"):
        one.execute(f"INSERT INTO t {rest}", (GREATEST,))
    one.execute("INSERT INTO t (u) VALUES ('first')")
    one.commit()
    assert two.execute("SELECT u FROM t").fetchall() == [("first",)]


def test_refused_rowid_leaves_no_row(connection: Connection) -> None:
    connection.execute("CREATE TABLE t (name TEXT PRIMARY KEY)")
    connection.commit()
    with pytest.raises(NotSupportedError, match="setting the rowid"):
        connection.execute("INSERT INTO t (rowid, name) VALUES (7, 'a')")
    assert connection.execute("SELECT * FROM t").fetchall() == []
    connection.execute("INSERT INTO t VALUES ('b')")
    connection.commit()
    assert connection.execute("SELECT * FROM t").fetchall() == [("b",)]
