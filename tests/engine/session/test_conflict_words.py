"""What a conflict says: which row or range, in the user's names and values, and what to do."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

import rome
from rome.dbapi import Connection
from rome.engine.session.conflict_words import MAX_VALUE
from rome.errors import CatalogChangedError, ConflictError, SnapshotTooOldError, TurnTakenError
from rome.transaction import history
from tests.support.databases import Connect, database, on

SCHEMA = (
    'CREATE TABLE "Post" (id INTEGER PRIMARY KEY, state TEXT, author TEXT COLLATE NOCASE UNIQUE, secret TEXT)',
    'CREATE INDEX post_state ON "Post" (state, id)',
    "CREATE TABLE part (whole TEXT, number REAL, data BLOB, PRIMARY KEY (whole, number, data)) WITHOUT ROWID",
    "CREATE TABLE line (text)",
    "CREATE INDEX part_of ON line (substr(text, 1, 2), text)",
    "INSERT INTO \"Post\" VALUES (1, 'new', 'ann', 'hush'), (2, 'new', 'bob', 'hush'), (3, 'old', 'cy', 'hush')",
    "INSERT INTO part VALUES ('a', 1.5, x'00ff'), ('it''s', -2, x'')",
    "INSERT INTO line VALUES ('text')",
)
AGAIN = "run the transaction again (rome.run_transaction does it)"
READ = f"was changed by another transaction since this one read it; {AGAIN}"
SOUGHT = f"since this one read them; {AGAIN}"


@pytest.fixture(params=on("memory", "lmdb", "redis", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def one(connect: Connect) -> Connection:
    connection = connect(max_replays=0)
    for statement in SCHEMA:
        connection.execute(statement)
    connection.commit()
    return connection


def lose(one: Connection, two: Connection, mine: str, theirs: str) -> ConflictError:
    """Read what the other changes, write something, and fail."""
    one.execute(mine).fetchall()
    one.execute("INSERT INTO line VALUES ('mine')")
    two.execute(theirs)
    two.commit()
    with pytest.raises(ConflictError) as caught:
        one.commit()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("mine", "theirs", "words"),
    [
        (
            "SELECT state FROM post WHERE id = 1",
            "UPDATE post SET secret = 'more' WHERE id = 1",
            f"row id=1 of table Post {READ}",
        ),
        ("SELECT 1 FROM post WHERE id = 9", "INSERT INTO post (id) VALUES (9)", f"row id=9 of table Post {READ}"),
        (
            "SELECT 1 FROM part WHERE whole = 'a' AND number = 1.5 AND data = x'00ff'",
            "DELETE FROM part WHERE whole = 'a'",
            f"row whole='a', number=1.5, data=x'00ff' of table part {READ}",
        ),
        (
            "SELECT id FROM post WHERE state = 'new'",
            "UPDATE post SET state = 'run' WHERE id = 2",
            "another transaction has added, changed or deleted rows of table Post with state='new'"
            f" (index post_state on state, id) {SOUGHT}",
        ),
        (
            "SELECT secret FROM post WHERE state > 'm'",
            "INSERT INTO post (id, state) VALUES (7, 'old')",
            "another transaction has added, changed or deleted rows of table Post from state='m' on"
            f" (index post_state on state, id) {SOUGHT}",
        ),
        (
            "SELECT secret FROM post WHERE author = 'DAN'",
            "INSERT INTO post (id, author) VALUES (7, 'dan')",
            "another transaction has added, changed or deleted rows of table Post with author='dan'"
            f" (index on author) {SOUGHT}",
        ),
        (
            "SELECT count(*) FROM post",
            "INSERT INTO post (id) VALUES (7)",
            f"another transaction has added, changed or deleted rows of table Post {SOUGHT}",
        ),
        (
            "SELECT 1 FROM part WHERE whole = 'it''s'",
            "DELETE FROM part WHERE whole > 'b'",
            f"another transaction has added, changed or deleted rows of table part with whole='it''s' {SOUGHT}",
        ),
        (
            "SELECT text FROM line WHERE rowid < 5",
            "UPDATE line SET text = 'other'",
            f"another transaction has added, changed or deleted rows of table line {SOUGHT}",
        ),
    ],
)
def test_of_what(url: str, one: Connection, two: Connection, mine: str, theirs: str, words: str) -> None:
    conflict = lose(one, two, mine, theirs)
    if url.startswith("rome+etcd") and theirs == "UPDATE post SET state = 'run' WHERE id = 2":
        words = f"row id=2 of table Post {READ}"  # its commits name the rows to which a range has led
    assert str(conflict) == words
    assert isinstance(conflict.table, int)
    assert isinstance(conflict.key, bytes)
    assert (conflict.index is None) == words.startswith("row ")
    assert conflict.retryable


def test_a_long_value_is_shortened(one: Connection, two: Connection) -> None:
    long = "x" * 1000
    conflict = lose(
        one, two, f"SELECT 1 FROM post WHERE author = '{long}'", f"INSERT INTO post VALUES (9, 1, '{long}', 2)"
    )
    assert f"author='{'x' * MAX_VALUE}..'" in str(conflict)
    assert len(str(conflict)) < 300


def test_what_is_no_key_is_not_shown(one: Connection, two: Connection) -> None:
    conflict = lose(one, two, "SELECT * FROM post WHERE secret = 'hush'", "UPDATE post SET secret = 'hush!'")
    assert "hush" not in str(conflict)


def test_after_a_replay_that_differs(connect: Connect, one: Connection, two: Connection) -> None:
    three = connect()
    assert lose(three, two, "SELECT secret FROM post WHERE id = 1", "UPDATE post SET secret = 'x' WHERE id = 1")
    assert three.rome_stats.replays == 1


def test_under_autocommit(connect: Connect, one: Connection, two: Connection) -> None:
    three = connect(isolation_level="AUTOCOMMIT", max_replays=0)
    three.execute("BEGIN")
    conflict = lose(three, two, "SELECT 1 FROM post WHERE id = 1", "UPDATE post SET secret = 'x' WHERE id = 1")
    assert str(conflict) == f"row id=1 of table Post {READ}"


def test_of_a_changed_schema(one: Connection, two: Connection) -> None:
    conflict = lose(one, two, "SELECT 1 FROM post WHERE id = 1", "CREATE TABLE other (a)")
    assert type(conflict) is CatalogChangedError
    assert str(conflict).startswith("the schema was changed by another transaction (at version ")
    assert str(conflict).endswith(f"; {AGAIN}")


def write_late(one: Connection) -> None:
    for sql in ("SELECT 1 FROM post WHERE id = 2", "INSERT INTO line VALUES ('late')", "COMMIT"):
        one.execute(sql)


def test_of_a_snapshot_that_is_too_old(
    one: Connection, url: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine so slow that it takes a second, too: nobody keeps the history, and none is too long to try again."""
    monkeypatch.setattr(history, "ALWAYS_AGAIN_S", 60.0)
    one, two = (connect(max_replays=0, max_transaction_seconds=0) for _ in range(2))
    one.execute("SELECT 1 FROM post WHERE id = 1").fetchall()
    rome.set_retention(url, seconds=0)
    for number in range(3):
        two.execute("UPDATE post SET secret = ? WHERE id = 2", (number,))
        two.commit()
    rome.trim(url)  # commits do that too, but not each of them
    with pytest.raises(SnapshotTooOldError, match=r"run the transaction again.*rome\.set_retention"):
        write_late(one)


def test_of_a_turn() -> None:
    error = TurnTakenError.of_row(7, b"k")
    error.tell_row("row id=1 of table post")
    assert str(error) == f"it is another transaction's turn to change row id=1 of table post; {AGAIN}"
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.table, again.key, str(again)) == (TurnTakenError, 7, b"k", str(error))
