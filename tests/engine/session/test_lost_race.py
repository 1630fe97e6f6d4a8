"""The loser of a race for a key gets the violation at COMMIT, with the message of the statement that lost."""

from __future__ import annotations

import pytest

from rome.dbapi import Connection
from rome.errors import CheckViolation, ConflictError, ForeignKeyViolation, IntegrityError, UniqueViolation
from tests.support.databases import Connect

LEVELS = ["SERIALIZABLE", "SNAPSHOT", "READ COMMITTED"]
SCHEMA = (
    "CREATE TABLE account (id INTEGER PRIMARY KEY, email TEXT UNIQUE, visits INT CHECK (visits < 3))",
    "CREATE TABLE note (id INTEGER PRIMARY KEY, account INT REFERENCES account, text)",
    "INSERT INTO account VALUES (1, 'a', 1), (2, 'b', 2)",
    "INSERT INTO note VALUES (1, 1, 'of a')",
)


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def one(connect: Connect, level: str) -> Connection:
    connection = connect(isolation_level=level)
    for statement in SCHEMA:
        connection.execute(statement)
    connection.commit()
    return connection


def commits(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.execute(statement)
    connection.commit()


RACES = [
    (
        "INSERT INTO account (email) VALUES ('x')",
        "INSERT INTO account (id, email) VALUES (900, 'x')",
        UniqueViolation,
        "UNIQUE constraint failed: account.email",
    ),
    (
        "INSERT INTO account VALUES (3, 'x', 1)",
        "INSERT INTO account VALUES (3, 'y', 1)",
        UniqueViolation,
        "UNIQUE constraint failed: account.id",
    ),
    (
        "UPDATE account SET email = 'x' WHERE id = 1",
        "UPDATE account SET email = 'x' WHERE id = 2",
        UniqueViolation,
        "UNIQUE constraint failed: account.email",
    ),
    (
        "INSERT INTO note (account, text) VALUES (2, 'of b')",
        "DELETE FROM account WHERE id = 2",
        ForeignKeyViolation,
        "FOREIGN KEY constraint failed",
    ),
    (
        "DELETE FROM account WHERE id = 2",
        "INSERT INTO note (account, text) VALUES (2, 'of b')",
        ForeignKeyViolation,
        "FOREIGN KEY constraint failed",
    ),
    (
        "UPDATE account SET visits = visits + 1 WHERE id = 1",
        "UPDATE account SET visits = visits + 1 WHERE id = 1",
        CheckViolation,
        "CHECK constraint failed: visits < 3",
    ),
    (
        "INSERT OR ROLLBACK INTO account (id, email) VALUES (3, 'x')",
        "INSERT INTO account (id, email) VALUES (900, 'x')",
        UniqueViolation,
        "UNIQUE constraint failed: account.email",
    ),
]


@pytest.mark.parametrize(("mine", "theirs", "violation", "words"), RACES, ids=[race[0] for race in RACES])
def test_the_loser_is_told_at_commit(
    one: Connection, two: Connection, mine: str, theirs: str, violation: type[IntegrityError], words: str
) -> None:
    one.execute("INSERT INTO note (text) VALUES ('beside it')")
    assert one.execute(mine).rowcount == 1
    commits(two, theirs)
    with pytest.raises(violation, match="^" + words.replace(".", r"\.")) as caught:
        one.commit()
    assert type(caught.value) is violation
    assert isinstance(caught.value.__cause__, ConflictError)
    assert not one.in_transaction
    assert one.execute("SELECT count(*) FROM note WHERE text = 'beside it'").fetchall() == [(0,)]
    one.commit()


def test_the_connection_goes_on(one: Connection, two: Connection) -> None:
    one.execute("INSERT INTO account (email) VALUES ('x')")
    commits(two, "INSERT INTO account (id, email) VALUES (900, 'x')")
    with pytest.raises(UniqueViolation):
        one.commit()
    one.rollback()
    assert one.execute("SELECT id FROM account WHERE email = 'x'").fetchall() == [(900,)]
    commits(one, "INSERT INTO account (email) VALUES ('y')")
    assert two.execute("SELECT count(*) FROM account WHERE email IN ('x', 'y')").fetchall() == [(2,)]


def test_of_a_batch(one: Connection, two: Connection) -> None:
    one.executemany("INSERT INTO account (email) VALUES (?)", [("x",), ("y",), ("z",)])
    commits(two, "INSERT INTO account (id, email) VALUES (900, 'y')")
    with pytest.raises(UniqueViolation, match=r"account\.email"):
        one.commit()
    assert one.execute("SELECT count(*) FROM account").fetchall() == [(3,)]


def test_what_was_read_before_must_be_so_still_at_serializable(one: Connection, two: Connection, level: str) -> None:
    """It has looked for the row; if it looks again, it need not insert it. Below, nobody holds what was looked at."""
    assert one.execute("SELECT id FROM account WHERE email = 'x'").fetchall() == []
    one.execute("INSERT INTO account (email) VALUES ('x')")
    commits(two, "INSERT INTO account (id, email) VALUES (900, 'x')")
    with pytest.raises(ConflictError if level == "SERIALIZABLE" else UniqueViolation):
        one.commit()
    assert not one.in_transaction


def test_what_was_changed_before_must_come_out_alike(one: Connection, two: Connection) -> None:
    assert one.execute("UPDATE account SET email = 'c' WHERE visits = 1").rowcount == 1
    one.execute("INSERT INTO account (email) VALUES ('x')")
    commits(two, "INSERT INTO account (id, email) VALUES (900, 'x')", "UPDATE account SET visits = 0 WHERE id = 1")
    with pytest.raises(ConflictError):
        one.commit()


def test_what_was_locked_before_must_be_so_still(one: Connection, two: Connection, level: str) -> None:
    one.execute("SELECT visits FROM account FOR UPDATE").fetchall()
    one.execute("INSERT INTO account (email) VALUES ('x')")
    commits(two, "INSERT INTO account (id, email) VALUES (900, 'x')")
    with pytest.raises(ConflictError):
        one.commit()


def test_a_violation_that_was_shown_and_is_none_any_more_is_a_conflict(one: Connection, two: Connection) -> None:
    with pytest.raises(UniqueViolation):
        one.execute("INSERT INTO account (email) VALUES ('b')")
    one.execute("UPDATE account SET visits = visits - 1 WHERE id = 1")
    commits(two, "DELETE FROM account WHERE id = 2", "UPDATE account SET visits = visits - 1 WHERE id = 1")
    with pytest.raises(ConflictError):
        one.commit()


@pytest.mark.parametrize("end", ["RELEASE s", "ROLLBACK TO s"])
def test_inside_a_savepoint_it_is_a_conflict(one: Connection, two: Connection, end: str) -> None:
    """The statement is where the application would go on; run again, it gets there."""
    one.execute("UPDATE account SET visits = visits - 1 WHERE id = 1")
    one.execute("SAVEPOINT s")
    one.execute("INSERT INTO account (email) VALUES ('x')")
    one.execute(end)
    commits(two, "INSERT INTO account (id, email) VALUES (900, 'x')", "UPDATE account SET visits = 0 WHERE id = 1")
    with pytest.raises(ConflictError):
        one.commit()
    one.execute("SAVEPOINT s")
    with pytest.raises(UniqueViolation):
        one.execute("INSERT INTO account (email) VALUES ('x')")
    one.execute("ROLLBACK TO s")
    one.execute("UPDATE account SET visits = visits - 1 WHERE id = 1")
    one.commit()


def test_after_a_savepoint_it_is_told(one: Connection, two: Connection) -> None:
    for statement in ("SAVEPOINT s", "SAVEPOINT t", "ROLLBACK TO t", "RELEASE S"):
        one.execute(statement)
    one.execute("INSERT INTO account (email) VALUES ('x')")
    commits(two, "INSERT INTO account (id, email) VALUES (900, 'x')")
    with pytest.raises(UniqueViolation):
        one.commit()


def test_in_the_middle_it_is_a_conflict(connect: Connect, one: Connection, two: Connection) -> None:
    """A violation raised by another statement than its own would be taken for that one's."""
    three = connect(isolation_level="READ COMMITTED")
    three.execute("INSERT INTO account (email) VALUES ('x')")
    commits(two, "INSERT INTO account (id, email) VALUES (900, 'x')")
    with pytest.raises(ConflictError):
        three.execute("SELECT * FROM account")
    assert three.rome_stats.replays == 1
    with pytest.raises(ConflictError, match="must be rolled back"):
        three.execute("INSERT INTO account (email) VALUES ('y')")
    with pytest.raises(ConflictError):
        three.commit()


def test_under_autocommit_a_savepoint_is_the_transaction(connect: Connect, one: Connection, two: Connection) -> None:
    three = connect(isolation_level="AUTOCOMMIT")
    three.execute("SAVEPOINT s")
    three.execute("INSERT INTO account (email) VALUES ('x')")
    commits(two, "INSERT INTO account (id, email) VALUES (900, 'x')")
    with pytest.raises(UniqueViolation):
        three.execute("RELEASE s")
    assert not three.in_transaction


def test_a_deferred_key_leaves_the_transaction_open(one: Connection, two: Connection) -> None:
    """As at any COMMIT: it is checked there, and the application may still mend it."""
    commits(one, "CREATE TABLE late (account INT REFERENCES account DEFERRABLE INITIALLY DEFERRED)")
    one.execute("INSERT INTO late VALUES (2)")
    commits(two, "DELETE FROM account WHERE id = 2")
    with pytest.raises(ForeignKeyViolation):
        one.commit()
    assert one.in_transaction
    commits(one, "INSERT INTO account (id, email) VALUES (2, 'again')")
    assert two.execute("SELECT account FROM late").fetchall() == [(2,)]


def test_without_replays_it_is_a_conflict(one: Connection, two: Connection, connect: Connect) -> None:
    three = connect(max_replays=0)
    three.execute("INSERT INTO account (email) VALUES ('x')")
    commits(two, "INSERT INTO account (id, email) VALUES (900, 'x')")
    with pytest.raises(ConflictError):
        three.commit()


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT OR IGNORE INTO account (email) VALUES ('x')",
        "INSERT INTO account (email) VALUES ('x') ON CONFLICT DO NOTHING",
        "INSERT INTO account (email) VALUES ('x') ON CONFLICT (email) DO UPDATE SET visits = 0",
    ],
)
def test_insert_if_absent_comes_through(one: Connection, two: Connection, sql: str) -> None:
    cursor = one.execute(sql)
    commits(two, "INSERT INTO account (id, email) VALUES (900, 'x')")
    one.commit()
    assert cursor.rowcount == ("UPDATE" in sql)
    assert one.execute("SELECT id FROM account WHERE email = 'x'").fetchall() == [(900,)]
