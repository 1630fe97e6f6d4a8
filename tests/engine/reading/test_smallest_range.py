"""The access path that finds the fewest rows is read, and gives the same result as stock SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from uuid import uuid4

import pytest

from rome.codec.values import SqlValue
from rome.dbapi import Connection
from rome.engine.reading import smallest_range
from rome.errors import ConflictError
from tests.support.cost import cost
from tests.support.databases import Connect
from tests.support.differential import Pair

IMAGES, MEMBERS = 1_000, 1_200
TABLES = [
    "CREATE TABLE image (id INTEGER PRIMARY KEY, visibility TEXT, owner TEXT, size INT)",
    "CREATE TABLE member (id INTEGER PRIMARY KEY, image INT, name TEXT, deleted INT, n INT)",
]
INDEXES = [
    "CREATE INDEX member_deleted ON member (deleted)",  # a bad one, and the first to be found
    "CREATE INDEX member_image ON member (image)",
    "CREATE INDEX member_name ON member (name, n)",
    "CREATE INDEX image_visibility ON image (visibility)",
    "CREATE INDEX image_owner ON image (owner)",
    "CREATE INDEX image_size ON image (size)",
]


def data(images: int, members: int) -> list[tuple[str, list[tuple[SqlValue, ...]]]]:
    random = Random(1)
    return [
        (
            "INSERT INTO image VALUES (?, ?, ?, ?)",
            [(n, "public" if n % 50 else None, f"o{n % (images // 5)}", random.randrange(30)) for n in range(images)],
        ),
        (
            "INSERT INTO member VALUES (?, ?, ?, ?, ?)",
            [
                (n, n % images, random.choice([None, *"abcdefgh"]), int(n % 100 == 0), random.randrange(9))
                for n in range(members)
            ],
        ),
    ]


@pytest.fixture
def filled(connect: Connect) -> Connection:
    connection = connect()
    unlike_others = f"CREATE TABLE t_{uuid4().hex} (a)"  # so that nothing is kept in mind of the schema
    connection.executescript(";".join([*TABLES, *INDEXES, unlike_others]))
    for sql, rows in data(IMAGES, MEMBERS):
        connection.executemany(sql, rows)
    connection.commit()
    return connection


OF_ONE_IMAGE = "SELECT id FROM member WHERE image = ? AND deleted = 0"


def test_the_better_index_is_found_by_its_size_and_kept_in_mind(filled: Connection) -> None:
    assert cost(filled, OF_ONE_IMAGE, 7) == (2, smallest_range.FEW + 2)
    assert cost(filled, OF_ONE_IMAGE, 8) == (1, 2)
    assert filled.execute(OF_ONE_IMAGE, (7,)).fetchall() == [(7,), (1007,)]


def test_few_rows_take_one_trip_by_whatever_index(filled: Connection) -> None:
    trips, rows = cost(filled, "SELECT id FROM member WHERE image = 100 AND deleted = 1")
    assert trips == 1
    assert rows <= 12


def test_a_statement_that_changes_rows_finds_them_so_too(filled: Connection) -> None:
    sql = "UPDATE member SET n = 0 WHERE image = 7 AND deleted = 0"
    assert filled.execute(sql).rowcount == 2
    filled.rollback()
    assert cost(filled, sql) == (1, 2)
    filled.execute(sql)
    filled.commit()
    assert filled.execute("SELECT id FROM member WHERE n = 0 AND image = 7 ORDER BY id").fetchall() == [(7,), (1007,)]


def test_reading_it_again_costs_no_trip(filled: Connection) -> None:
    filled.execute(OF_ONE_IMAGE, (7,))
    before = filled.rome_stats.round_trips
    filled.execute(OF_ONE_IMAGE, (7,))
    assert filled.rome_stats.round_trips == before


@pytest.mark.parametrize(
    ("sql", "trips", "rows"),
    [
        # image 7 of owner o7 is one of five: their members are fewer than all that are not deleted
        ("SELECT * FROM image JOIN member ON member.image = image.id AND deleted = 0 WHERE owner = 'o7'", 2, 211),
        ("SELECT * FROM image LEFT JOIN member ON image = image.id AND deleted = 0 WHERE owner = 'o7'", 2, 211),
        ("SELECT * FROM member JOIN image ON image.id = image WHERE deleted = 1 AND visibility = 'public'", 2, 224),
        ("SELECT id FROM image WHERE owner = 'o7' AND EXISTS "
         "(SELECT 1 FROM member WHERE image = image.id AND deleted = 0)", 2, 211),
        # both find many: the smaller one is read, and keys the other
        ("SELECT * FROM image JOIN member ON image = image.id WHERE visibility = 'public' AND deleted = 0", 3, 3500),
    ],
)  # fmt: skip
def test_a_join_waits_for_keys_where_a_constant_finds_many(filled: Connection, sql: str, trips: int, rows: int) -> None:
    took, read = cost(filled, sql)
    assert took <= trips
    assert read <= rows
    filled.execute("DELETE FROM member WHERE id > 150")
    filled.execute("DELETE FROM image WHERE id > 150")
    filled.commit()
    assert cost(filled, sql)[0] == 1


def test_what_was_tried_is_not_validated(filled: Connection, connect: Connect) -> None:
    other = connect()
    filled.execute(OF_ONE_IMAGE, (7,))
    filled.execute("INSERT INTO image VALUES (-1, NULL, NULL, 1)")
    other.execute("UPDATE member SET n = n + 1 WHERE id = 1")  # among the first that are not deleted
    other.execute("INSERT INTO member VALUES (-5, 8, 'new', 0, 0)")
    other.commit()
    filled.commit()
    assert filled.rome_stats.conflicts == 0  # a replay would have found the same rows


def test_what_was_read_is_validated(filled: Connection, connect: Connect) -> None:
    other = connect()
    filled.execute(OF_ONE_IMAGE, (7,)).fetchall()
    filled.execute("INSERT INTO image VALUES (-1, NULL, NULL, 1)")
    other.execute("INSERT INTO member VALUES (-5, 7, 'new', 0, 0)")
    other.commit()
    with pytest.raises(ConflictError):
        filled.commit()


class Statements:
    """Random statements whose tables can be found by several indexes."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def _image(self) -> str:
        number = self.random.randrange(8)
        return self.random.choice(
            [
                "i.visibility = 'public'",
                "i.visibility IS NULL",
                f"i.owner = 'o{number}'",
                f"i.owner IN ('o1', 'o{number}', NULL)",
                f"i.size > {number * 4}",
                f"i.size BETWEEN {number} AND 9",
                f"(i.owner = 'o{number}' OR i.visibility = 'public')",
            ]
        )

    def _member(self) -> str:
        number = self.random.randrange(12)
        return self.random.choice(
            [
                "m.deleted = 0",
                "m.deleted = 1",
                f"m.image = {number}",
                f"m.image IN (3, {number})",
                f"m.name = '{'abcdefgh'[number % 8]}'",
                f"m.name >= 'e' AND m.n = {number}",
                f"m.name = 'a' AND m.n < {number}",
            ]
        )

    def _some(self, *conditions: str) -> str:
        return " AND ".join(self.random.sample(conditions, self.random.randrange(1, len(conditions) + 1)))

    def statement(self) -> str:
        image = self._some(self._image(), self._image(), self._image())
        member = self._some(self._member(), self._member(), self._member())
        left = self.random.choice(["", "LEFT "])
        inner = member.replace("m.", "x.")
        return self.random.choice(
            [
                f"SELECT m.id, m.name FROM member AS m WHERE {member}",
                f"SELECT count(*), max(m.n) FROM member AS m WHERE {member} AND n <> 3",
                f"SELECT i.id, m.id FROM image AS i {left}JOIN member AS m ON m.image = i.id AND {member} "
                f"WHERE {image} ORDER BY i.id, m.id",
                f"SELECT i.id, m.id FROM member AS m {left}JOIN image AS i ON m.image = i.id AND {image} "
                f"WHERE {member} ORDER BY i.id, m.id",
                f"SELECT i.id FROM image AS i WHERE {image} AND i.id IN (SELECT m.image FROM member AS m "
                f"WHERE {member}) ORDER BY i.id",
                f"SELECT i.id FROM image AS i WHERE {image} AND NOT EXISTS (SELECT * FROM member AS m "
                f"WHERE m.image = i.id AND {member}) ORDER BY i.id",
                f"SELECT i.id, m.id, x.id FROM image AS i JOIN member AS m ON m.image = i.id AND {member} "
                f"{left}JOIN member AS x ON x.image = m.image AND {inner} WHERE {image} ORDER BY i.id, m.id, x.id",
                f"SELECT a.id, m.id FROM (SELECT i.id FROM image AS i WHERE {image} ORDER BY i.size, i.id LIMIT 4) "
                f"AS a LEFT JOIN member AS m ON m.image = a.id AND {member} ORDER BY a.id, m.id",
                f"UPDATE member AS m SET n = n + 1, image = image + 1 WHERE {member}",
                f"DELETE FROM member AS m WHERE {member} AND m.image IN (SELECT i.id FROM image AS i WHERE {image})",
                f"UPDATE image AS i SET size = size + 1, visibility = NULL WHERE {image} AND EXISTS "
                f"(SELECT 1 FROM member AS m WHERE m.image = i.id AND {member})",
            ]
        )


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setattr(smallest_range, "FEW", 3)
    with Pair(TABLES, ids=False) as pair:
        for index in INDEXES:
            pair.rome.execute(index)
        for sql, rows in data(40, 120):
            pair.execute(sql, *rows)
        pair.execute("COMMIT")
        yield pair


@pytest.mark.parametrize("seed", range(10))
def test_results_are_those_of_sqlite(pair: Pair, seed: int) -> None:
    statements = Statements(seed)
    for number in range(100):
        pair.execute(statements.statement())
        if number % 4 == 3:
            pair.execute("SELECT * FROM member ORDER BY id")
            pair.execute("SELECT * FROM image ORDER BY id")
            pair.execute("COMMIT" if number % 25 == 24 else "ROLLBACK")
