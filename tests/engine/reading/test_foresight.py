"""What the later waves of a plan read the last time is read with the first wave: fewer trips, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from rome.codec.values import SqlValue
from rome.dbapi import Connection
from rome.errors import ConflictError
from rome.planner.foresight import MOST_ROWS, Foresight
from rome.transaction.read_set import ROWS
from rome.transaction.transaction import ReadRequest
from tests.support.databases import Connect
from tests.support.differential import Operation, Pair

TABLES = [
    "CREATE TABLE place (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE UNIQUE)",
    "CREATE TABLE owner (id INTEGER PRIMARY KEY, place_id INT, code TEXT UNIQUE)",
    "CREATE TABLE thing (id INTEGER PRIMARY KEY, k INT, owner_id INT, code TEXT)",
    "CREATE TABLE tag (owner_id INT, name TEXT, PRIMARY KEY (owner_id, name)) WITHOUT ROWID",
]
INDEXES = ["CREATE INDEX thing_k ON thing (k)"]
JOIN = """SELECT thing.id, owner.code, place.name FROM thing JOIN owner ON thing.owner_id = owner.id
    JOIN place ON owner.place_id = place.id WHERE thing.k = ?"""
WRITES: list[tuple[str, Callable[[Random], tuple[SqlValue, ...]]]] = [
    ("INSERT INTO place VALUES (?, ?)", lambda r: (r.randrange(9), f"p{r.randrange(9)}")),
    ("INSERT INTO owner VALUES (?, ?, ?)", lambda r: (r.randrange(9), r.randrange(9), f"o{r.randrange(9)}")),
    (
        "INSERT INTO thing (k, owner_id, code) VALUES (?, ?, ?)",
        lambda r: (r.randrange(5), r.randrange(9), f"o{r.randrange(9)}"),
    ),
    ("INSERT INTO tag VALUES (?, ?)", lambda r: (r.randrange(9), f"t{r.randrange(5)}")),
    ("UPDATE owner SET place_id = ? WHERE id = ?", lambda r: (r.randrange(9), r.randrange(9))),
    ("UPDATE owner SET id = ? WHERE id = ?", lambda r: (r.randrange(9), r.randrange(9))),
    ("UPDATE place SET name = ? WHERE id = ?", lambda r: (f"P{r.randrange(9)}", r.randrange(9))),
    ("DELETE FROM owner WHERE id = ?", lambda r: (r.randrange(9),)),
    ("DELETE FROM tag WHERE owner_id = ?", lambda r: (r.randrange(9),)),
    (
        "UPDATE thing SET owner_id = (SELECT max(id) FROM owner WHERE code = thing.code) WHERE k = ?",
        lambda r: (r.randrange(5),),
    ),
]
READS = [
    JOIN,
    "SELECT t.id, o.code FROM thing t LEFT JOIN owner o ON o.id = t.owner_id WHERE t.k = ? ORDER BY 1",
    "SELECT t.id, o.code, g.name FROM thing t JOIN owner o ON o.code = t.code"
    " LEFT JOIN tag g ON g.owner_id = o.id WHERE t.k = ?",
    "SELECT count(*) FROM thing t JOIN tag g ON g.owner_id = t.owner_id WHERE t.k IN (?, 2)",
    "SELECT s.id, g.name FROM (SELECT * FROM thing WHERE k = ? ORDER BY id LIMIT 3) s"
    " LEFT JOIN tag g ON g.owner_id = s.owner_id",
    "SELECT name FROM place WHERE id IN (SELECT place_id FROM owner WHERE id = ?)",
    "SELECT t.id, (SELECT name FROM place p WHERE p.id = t.owner_id) FROM thing t WHERE t.k = ? AND t.owner_id > 2",
    "SELECT * FROM thing a JOIN thing b ON b.id = a.owner_id WHERE a.k = ? AND b.k > 0",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_results_and_errors_are_those_of_sqlite(seed: int) -> None:
    random = Random(seed)
    pair = Pair(TABLES, ids=False)
    for index in INDEXES:
        pair.rome.execute(index)
    with pair:
        for _ in range(12):
            for sql, parameters in WRITES[:4]:
                pair.run(Operation(sql, parameters(random)))
        pair.execute("COMMIT")
        for _ in range(400):
            if random.random() < 0.2:
                sql, parameters = random.choice(WRITES)
                pair.run(Operation(sql, parameters(random)))
            pair.run(Operation(random.choice(READS), (random.randrange(6),)))
            if random.random() < 0.6:
                pair.run(Operation(random.choice(["COMMIT", "COMMIT", "ROLLBACK"])))


@pytest.fixture
def filled(connect: Connect) -> Connection:
    connection = connect()
    connection.executescript(";".join([*TABLES, *INDEXES]))
    connection.executemany("INSERT INTO place VALUES (?, ?)", [(n, f"p{n}") for n in range(50)])
    connection.executemany("INSERT INTO owner VALUES (?, ?, ?)", [(n, n % 3, f"o{n}") for n in range(50)])
    connection.executemany("INSERT INTO thing VALUES (?, ?, ?, NULL)", [(n, n, n % 7) for n in range(100)])
    connection.commit()
    return connection


@pytest.fixture
def join(request: pytest.FixtureRequest) -> str:
    """A text of this test's own, since all databases with the same schema share what is learnt of a text."""
    return f"{JOIN} /* {request.node.nodeid} */"


def trips(connection: Connection, sql: str, *parameters: object) -> int:
    """How many trips a SELECT takes in a transaction of its own."""
    before = connection.rome_stats.round_trips
    connection.execute(sql, parameters).fetchall()
    taken = connection.rome_stats.round_trips - before
    connection.rollback()
    return taken


def test_waves_that_end_in_the_same_rows_take_one_trip(filled: Connection, join: str) -> None:
    assert [trips(filled, join, k) for k in (1, 8, 15, 22)] == [3, 1, 1, 1]


def test_what_was_read_in_vain_is_learnt_anew(filled: Connection, join: str) -> None:
    assert [trips(filled, join, k) for k in (1, 2, 9, 16)] == [3, 3, 1, 1]


def test_it_pauses_where_it_does_not_help() -> None:
    foresight = Foresight()
    foresight.learn([ReadRequest(1, 0, (b"k",), (), ROWS)], (), ())
    asked = []
    for _ in range(100):
        asked.append(bool(foresight.requests()))
        if asked[-1]:
            foresight.judge(helped=False)
    assert asked[:4] == [True] * 4
    assert 5 <= sum(asked) <= 8
    while not foresight.requests():
        pass
    foresight.judge(helped=True)
    assert foresight.requests()


def test_a_path_by_which_each_run_reads_something_else_is_left_out() -> None:
    foresight = Foresight()
    for number in range(8):
        always, changing = ReadRequest(1, 0, (b"k",), (), ROWS), ReadRequest(2, 0, (b"%d" % number,), (), ROWS)
        foresight.learn([always, changing], foresight.requests(), [always])
        foresight.judge(helped=True)
    assert [request.table_id for request in foresight.requests()] == [1]


def test_a_change_by_another_is_seen(filled: Connection, join: str, connect: Connect) -> None:
    assert [trips(filled, join, k) for k in (1, 8)] == [3, 1]
    with connect() as other:
        other.execute("UPDATE place SET name = 'new' WHERE id = 1")
    assert filled.execute(join, (1,)).fetchall() == [(1, "o1", "new")]


@pytest.mark.parametrize("k", [1, 3])
def test_only_what_a_wave_asks_for_is_validated(filled: Connection, connect: Connect, join: str, k: int) -> None:
    assert [trips(filled, join, k) for k in (1, 8)] == [3, 1]
    filled.execute(join, (k,)).fetchall()  # place 1 is read ahead; it is asked for where k is 1
    filled.execute("UPDATE thing SET k = 1000 WHERE id = 99")
    with connect() as other:
        other.execute("UPDATE place SET name = 'new' WHERE id = 1")
    if k == 1:
        with pytest.raises(ConflictError):
            filled.commit()
    else:
        filled.commit()


def test_a_range_that_has_grown_is_read_when_it_is_asked_for(filled: Connection) -> None:
    sql = "SELECT t.id, g.name FROM thing t JOIN tag g ON g.owner_id = t.owner_id WHERE t.k = ?"
    filled.execute("INSERT INTO tag VALUES (1, 'a')")
    filled.commit()
    assert [trips(filled, sql, k) for k in (1, 8)] == [2, 1]
    filled.executemany("INSERT INTO tag VALUES (1, ?)", [(f"n{n}",) for n in range(3 * MOST_ROWS)])
    filled.commit()
    assert trips(filled, sql, 1) == 2
    assert len(filled.execute(sql, (1,)).fetchall()) == 3 * MOST_ROWS + 1


def test_it_never_takes_the_last_of_the_memory(connect: Connect) -> None:
    connection = connect(max_working_set=300_000)
    connection.executescript(";".join([*TABLES, *INDEXES]))
    connection.execute("INSERT INTO tag VALUES (1, ?)", ("x" * 50_000,))
    connection.execute("INSERT INTO tag VALUES (2, 'y')")
    connection.executemany("INSERT INTO thing VALUES (?, ?, ?, ?)", [(1, 1, 1, "c"), (2, 2, 2, "z" * 40_000)])
    connection.commit()
    sql = "SELECT t.id, length(t.code), length(g.name) FROM thing t JOIN tag g ON g.owner_id = t.owner_id WHERE t.k = ?"
    for _ in range(2):
        assert connection.execute(sql, (1,)).fetchall() == [(1, 1, 50_000)]
        connection.rollback()
    assert connection.execute(sql, (2,)).fetchall() == [(2, 40_000, 1)]


def test_it_leaves_a_change_the_memory_that_it_needs(connect: Connect) -> None:
    connection = connect(max_working_set=300_000)
    connection.executescript(";".join([*TABLES, *INDEXES]))
    connection.execute("INSERT INTO tag VALUES (1, ?)", ("x" * 50_000,))
    connection.executemany("INSERT INTO thing VALUES (?, ?, ?, ?)", [(1, 1, 1, "c"), (2, 2, 2, "z" * 40_000)])
    connection.commit()
    sql = "UPDATE thing SET code = code || (SELECT count(*) FROM tag g WHERE g.owner_id = thing.owner_id) WHERE k = ?"
    for k in (1, 1, 2):
        assert connection.execute(sql, (k,)).rowcount == 1
        connection.rollback()


def test_only_a_range_that_is_asked_for_as_it_is_is_taken(filled: Connection, connect: Connect) -> None:
    filled.execute("CREATE TABLE part (id INTEGER PRIMARY KEY, owner_id INT, n INT, place_id INT)")
    filled.execute("CREATE INDEX part_n ON part (owner_id, n)")
    filled.executemany("INSERT INTO part VALUES (?, 1, ?, ?)", [(n, n, n) for n in range(40)])
    filled.commit()
    sql = """SELECT count(*), max(place.name) FROM thing JOIN part ON part.owner_id = thing.owner_id AND part.n >= ?2
        JOIN place ON place.id = part.place_id WHERE thing.k = ?1"""
    for _ in range(2):
        filled.execute(sql, (1, 0)).fetchall()
        filled.rollback()
    assert filled.execute(sql, (8, 35)).fetchall() == [(5, "p39")]
    filled.execute("UPDATE thing SET k = 1000 WHERE id = 99")
    with connect() as other:  # of a place that the first run has shown, and this one has not
        other.execute("UPDATE place SET name = 'new' WHERE id = 3")
    filled.commit()


def test_a_table_that_is_read_whole_is_not_read_ahead(filled: Connection) -> None:
    sql = "SELECT t.id, p.name FROM thing t JOIN place p ON p.id + 0 = t.owner_id WHERE t.k = ?"
    expected = filled.execute(sql, (1,)).fetchall()
    filled.rollback()
    for _ in range(3):
        assert filled.execute(sql, (1,)).fetchall() == expected
        filled.rollback()


def test_explain_analyze_shows_the_waves_without_it(filled: Connection, join: str) -> None:
    shown = []
    for _ in range(2):
        trips(filled, join, 1)
        rows = filled.execute("EXPLAIN ROME ANALYZE " + join, (1,)).fetchall()
        shown.append([[str(each) for each in row] for row in rows])
        filled.rollback()
    assert len(shown[0]) == len(shown[1])
