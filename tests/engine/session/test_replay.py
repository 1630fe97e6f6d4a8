"""Checked replay: what conflicts runs again, and is committed only if the application has seen the very same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rome.dbapi import Connection
from rome.errors import (
    CommitUnknownError,
    ConflictError,
    IntegrityError,
    OperationalError,
    SnapshotTooOldError,
    StoreUnavailableError,
    UniqueViolation,
)
from rome.transaction import transaction
from tests.support.databases import Connect
from tests.support.faulty_store import FaultyStore, connect_faulty

SCHEMA = (
    "CREATE TABLE counter (id INTEGER PRIMARY KEY, n INT)",
    "INSERT INTO counter VALUES (1, 0), (2, 0)",
    "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE, data)",
    "CREATE TABLE line (text)",
)
ADD_ONE = "UPDATE counter SET n = n + 1 WHERE id = 1"


@pytest.fixture
def one(connect: Connect) -> Connection:
    connection = connect()
    for statement in SCHEMA:
        connection.execute(statement)
    connection.commit()
    return connection


@pytest.fixture
def faulty(one: Connection, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Connection, FaultyStore]]:
    """A connection whose store can be made to fail; max_replays is 5."""
    monkeypatch.setattr(transaction, "RESOLVE_PAUSES_S", [0.0] * 3)
    connection, store = connect_faulty(url)
    connection.execute("SELECT 1 FROM counter")
    connection.commit()
    yield connection, store
    connection.close()


def interfere(connection: Connection, *statements: str) -> None:
    """Commit something that conflicts with a transaction that has run ADD_ONE."""
    for statement in (ADD_ONE, *statements):
        connection.execute(statement)
    connection.commit()


def value(connection: Connection, sql: str) -> object:
    row = connection.execute(sql).fetchone()
    return None if row is None else row[0]


class TestOutcome:
    """The application must not be able to tell that the transaction ran twice."""

    def test_what_it_has_not_seen_may_differ(self, one: Connection, two: Connection) -> None:
        assert one.execute(ADD_ONE).rowcount == 1
        interfere(two)
        one.commit()
        assert value(two, "SELECT n FROM counter WHERE id = 1") == 2
        assert (one.rome_stats.conflicts, one.rome_stats.replays, one.rome_stats.commits) == (1, 1, 2)

    @pytest.mark.parametrize(
        "seen",
        [
            "SELECT n FROM counter WHERE id = 1",
            "SELECT n > 0 FROM counter WHERE id = 1",
            "UPDATE counter SET n = n WHERE id = 1 RETURNING n",
            "UPDATE counter SET n = n WHERE n = 0",
            "DELETE FROM item WHERE name = 'theirs'",
            "INSERT INTO item (id, name) SELECT max(n) + 7, 'x' FROM counter WHERE true ON CONFLICT DO NOTHING",
        ],
    )
    def test_what_it_has_seen_must_be_the_same(self, one: Connection, two: Connection, seen: str) -> None:
        one.execute(seen).rowcount  # noqa: B018  the application asks
        one.execute(ADD_ONE)
        interfere(two, "INSERT INTO item VALUES (1, 'theirs', NULL)")
        with pytest.raises(ConflictError):
            one.commit()
        assert not one.in_transaction
        assert value(one, "SELECT n FROM counter WHERE id = 1") == 1

    @pytest.mark.parametrize(
        ("sql", "rowcount"),
        [
            ("UPDATE counter SET n = n WHERE n = 0", 1),
            ("DELETE FROM item WHERE name = 'theirs'", 1),
            ("INSERT OR IGNORE INTO item VALUES (9, 'theirs', NULL)", 0),
            ("INSERT INTO item (id, name) VALUES (9, 'theirs') ON CONFLICT DO NOTHING", 0),
        ],
    )
    def test_a_number_of_rows_that_nobody_has_asked_for_is_that_of_the_commit(
        self, one: Connection, two: Connection, sql: str, rowcount: int
    ) -> None:
        cursor = one.execute(sql)
        one.execute(ADD_ONE)
        interfere(two, "INSERT INTO item VALUES (1, 'theirs', NULL)")
        one.commit()
        assert cursor.rowcount == rowcount
        assert one.rome_stats.replays == 1

    @pytest.mark.parametrize("ask", ["rowcount", "lastrowid"])
    def test_who_has_asked_for_it_gets_the_conflict(self, one: Connection, two: Connection, ask: str) -> None:
        getattr(one.execute("INSERT OR IGNORE INTO item (name) VALUES ('theirs')"), ask)
        interfere(two, "INSERT INTO item VALUES (1000, 'theirs', NULL)")
        with pytest.raises(ConflictError):
            one.commit()

    def test_the_sum_of_all_numbers_tells_them_too(self, one: Connection, two: Connection) -> None:
        one.execute("INSERT OR IGNORE INTO item (id, name) VALUES (9, 'theirs')")
        assert one.total_changes > 0
        interfere(two, "INSERT INTO item VALUES (1, 'theirs', NULL)")
        with pytest.raises(ConflictError):
            one.commit()

    @pytest.mark.parametrize("became", ["1.0", "'1'", "x'31'"])
    def test_a_value_of_another_type_is_not_the_same(self, one: Connection, two: Connection, became: str) -> None:
        two.execute("INSERT INTO item VALUES (1, 'a', 1)")
        two.commit()
        assert value(one, "SELECT data FROM item WHERE id = 1") == 1
        one.execute(ADD_ONE)
        interfere(two, f"UPDATE item SET data = {became}")
        with pytest.raises(ConflictError):
            one.commit()

    def test_rows_that_were_not_fetched_count_too(self, one: Connection, two: Connection) -> None:
        one.execute("SELECT name FROM item")
        one.execute(ADD_ONE)
        interfere(two, "INSERT INTO item VALUES (1, 'theirs', NULL)")
        with pytest.raises(ConflictError):
            one.commit()

    def test_an_error_is_seen_like_a_result(self, one: Connection, two: Connection) -> None:
        two.execute("INSERT INTO item VALUES (1, 'a', NULL)")
        two.commit()
        with pytest.raises(UniqueViolation):
            one.execute("INSERT INTO item VALUES (2, 'a', NULL)")
        one.execute(ADD_ONE)
        interfere(two)
        one.commit()
        assert one.rome_stats.replays == 1

        with pytest.raises(UniqueViolation):
            one.execute("INSERT INTO item VALUES (2, 'a', NULL)")
        one.execute(ADD_ONE)
        interfere(two, "DELETE FROM item")
        with pytest.raises(ConflictError):
            one.commit()
        assert value(one, "SELECT count(*) FROM item") == 0

    def test_savepoints_are_replayed(self, one: Connection, two: Connection) -> None:
        one.execute(ADD_ONE)
        one.execute("SAVEPOINT a")
        one.execute("INSERT INTO line VALUES ('undone')")
        one.execute("SAVEPOINT b")
        one.execute(ADD_ONE)
        one.execute("ROLLBACK TO a")
        with pytest.raises(OperationalError, match="no such savepoint: b"):
            one.execute("RELEASE b")
        one.execute("INSERT INTO line VALUES ('kept')")
        one.execute("RELEASE a")
        interfere(two)
        one.commit()
        assert one.rome_stats.replays == 1
        assert two.execute("SELECT text FROM line").fetchall() == [("kept",)]
        assert value(two, "SELECT n FROM counter WHERE id = 1") == 2

    def test_counters_are_those_from_before(self, one: Connection, two: Connection) -> None:
        one.execute("INSERT INTO item VALUES (77, 'old', NULL)")
        one.commit()
        assert one.execute("SELECT last_insert_rowid(), changes()").fetchall() == [(77, 1)]
        one.execute("INSERT INTO item VALUES (78, 'new', NULL), (79, 'newer', NULL)")
        one.execute(ADD_ONE)
        interfere(two)
        before = value(one, "SELECT total_changes()")
        one.commit()
        assert one.rome_stats.replays == 1
        assert one.execute("SELECT last_insert_rowid(), changes(), total_changes()").fetchall() == [(79, 1, before)]


class TestIds:
    def test_ids_handed_out_are_handed_out_again(self, one: Connection, two: Connection) -> None:
        first = one.execute("INSERT INTO item (name) VALUES ('a')").lastrowid
        assert one.executemany("INSERT INTO item (name) VALUES (?)", [("b",), ("c",)]).rowcount == 2
        line = one.execute("INSERT INTO line VALUES ('x') RETURNING text").fetchall()
        last = one.execute("INSERT INTO item (name) VALUES ('d') RETURNING id").fetchall()
        one.execute(ADD_ONE)
        interfere(two, "INSERT INTO item (name) VALUES ('theirs')", "INSERT INTO line VALUES ('theirs')")
        one.commit()
        assert one.rome_stats.replays == 1
        assert line == [("x",)]
        assert isinstance(first, int)
        assert two.execute("SELECT id, name FROM item WHERE name <> 'theirs' ORDER BY id").fetchall() == [
            (first, "a"),
            (first + 1, "b"),
            (first + 2, "c"),
            (first + 3, "d"),
        ]
        assert last == [(first + 3,)]
        assert value(two, "SELECT count(DISTINCT rowid) FROM line") == 2

    def test_ids_stay_unique_after_a_replay(self, one: Connection, two: Connection) -> None:
        one.execute("INSERT INTO item (name) VALUES ('a')")
        one.execute(ADD_ONE)
        interfere(two, "INSERT INTO item (name) VALUES ('b')")
        one.commit()
        for connection, name in ((one, "c"), (two, "d"), (one, "e")):
            connection.execute("INSERT INTO item (name) VALUES (?)", (name,))
            connection.commit()
        assert value(one, "SELECT count(*) FROM item") == 5

    def test_a_replay_that_is_replayed(self, faulty: tuple[Connection, FaultyStore], two: Connection) -> None:
        one, store = faulty
        left = 3

        def once_more() -> None:
            nonlocal left
            if left:
                left -= 1
                interfere(two)

        store.before_commit = once_more
        found = one.execute("INSERT INTO item (name) VALUES ('a') RETURNING id").fetchall()
        one.execute(ADD_ONE)
        one.commit()
        assert one.rome_stats.replays == 3
        assert two.execute("SELECT id FROM item").fetchall() == found
        assert value(two, "SELECT n FROM counter WHERE id = 1") == 4


class TestLimits:
    def test_off(self, one: Connection, two: Connection, connect: Connect) -> None:
        three = connect(max_replays=0)
        three.execute(ADD_ONE)
        interfere(two)
        with pytest.raises(ConflictError):
            three.commit()
        assert three.rome_stats.replays == 0

    def test_bound_at_commit(self, faulty: tuple[Connection, FaultyStore]) -> None:
        one, store = faulty

        def always() -> None:
            raise ConflictError("again")

        store.before_commit = always
        one.execute(ADD_ONE)
        with pytest.raises(ConflictError):
            one.commit()
        assert (store.commits, one.rome_stats.replays) == (6, 5)
        assert not one.in_transaction

    def test_bound_at_a_read_that_never_succeeds(self, faulty: tuple[Connection, FaultyStore]) -> None:
        one, store = faulty
        reads = 0

        def second_of_a_transaction() -> None:
            nonlocal reads
            reads += 1
            if reads % 2 == 0:
                raise SnapshotTooOldError("the statement takes longer than the retention")

        store.before_read = second_of_a_transaction
        one.execute("SELECT n FROM counter WHERE id = 1")
        with pytest.raises(ConflictError):
            one.execute("SELECT n FROM counter WHERE id = 2")
        assert one.rome_stats.replays <= 5

    def test_ddl_is_not_replayed(self, one: Connection, two: Connection) -> None:
        one.execute("CREATE TABLE new (a)")
        one.execute(ADD_ONE)
        interfere(two)
        with pytest.raises(ConflictError):
            one.commit()
        assert one.rome_stats.replays == 0

    def test_user_functions_are_not_replayed(self, one: Connection, two: Connection) -> None:
        calls: list[object] = []
        one.create_function("note", 1, lambda text: calls.append(text))
        one.execute("INSERT INTO line SELECT note('x')")
        one.execute(ADD_ONE)
        once = list(calls)
        interfere(two)
        with pytest.raises(ConflictError):
            one.commit()
        assert calls == once
        assert one.rome_stats.replays == 0

    def test_without_its_user_functions_a_connection_replays_again(self, one: Connection, two: Connection) -> None:
        one.create_function("note", 1, lambda text: text)
        one.create_function("note", 1, None)
        one.execute(ADD_ONE)
        interfere(two)
        one.commit()
        assert one.rome_stats.replays == 1

    def test_replays_of_one_transaction_are_bounded_together(
        self, faulty: tuple[Connection, FaultyStore], two: Connection
    ) -> None:
        """Its statements and its COMMIT may each meet conflicts: they share the bound."""
        one, store = faulty
        fail = False

        def when_told() -> None:
            nonlocal fail
            if fail:
                fail = False
                raise SnapshotTooOldError("trimmed")

        store.before_read = when_told
        for key in (1, 2, 3, 4):
            one.execute("SELECT name FROM item WHERE id = ?", (key,))
            fail = True
            one.execute("SELECT name FROM item WHERE id = ?", (key + 10,))
        one.execute(ADD_ONE)
        store.before_commit = lambda: interfere(two)
        with pytest.raises(ConflictError):
            one.commit()
        assert (store.commits, one.rome_stats.replays) == (2, 5)

    def test_what_a_replayed_transaction_has_seen_counts_on(
        self, faulty: tuple[Connection, FaultyStore], two: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The bound on what is kept for a replay holds for the transaction, not for each attempt."""
        monkeypatch.setattr("rome.engine.attempt.replay_log.MAX_ROWS", 5)
        two.execute("INSERT INTO line VALUES (1), (2), (3)")
        two.commit()
        one, store = faulty

        def trimmed() -> None:
            del store.before_read
            raise SnapshotTooOldError("trimmed")

        one.execute("SELECT text FROM line")
        store.before_read = trimmed
        one.execute(ADD_ONE)
        one.execute("SELECT text FROM line")
        interfere(two)
        with pytest.raises(ConflictError):
            one.commit()
        assert one.rome_stats.replays == 1

    def test_random_numbers_make_a_replay_fail(self, one: Connection, two: Connection) -> None:
        one.execute("SELECT random()")
        one.execute(ADD_ONE)
        interfere(two)
        with pytest.raises(ConflictError):
            one.commit()


class TestParameters:
    """What the application does to its parameters after execute() does not reach a replay."""

    def replay(self, one: Connection, two: Connection) -> list[tuple[object, ...]]:
        one.execute(ADD_ONE)
        interfere(two)
        one.commit()
        assert one.rome_stats.replays == 1
        return list(two.execute("SELECT text FROM line").fetchall())

    def test_list(self, one: Connection, two: Connection) -> None:
        parameters = ["before"]
        one.execute("INSERT INTO line VALUES (?)", parameters)
        parameters[0] = "after"
        assert self.replay(one, two) == [("before",)]

    def test_mapping(self, one: Connection, two: Connection) -> None:
        parameters = {"text": "before"}
        one.execute("INSERT INTO line VALUES (:text)", parameters)
        parameters["text"] = "after"
        assert self.replay(one, two) == [("before",)]

    def test_bytearray(self, one: Connection, two: Connection) -> None:
        data = bytearray(b"before")
        one.execute("INSERT INTO line VALUES (?)", (data,))
        data[:] = b"after"
        assert self.replay(one, two) == [(b"before",)]

    def test_rows_of_executemany(self, one: Connection, two: Connection) -> None:
        parameters = [["before"], ["also before"]]
        one.executemany("INSERT INTO line VALUES (?)", parameters)
        parameters[0][0] = "after"
        assert self.replay(one, two) == [("before",), ("also before",)]

    def test_one_row_that_a_generator_yields_again_and_again(self, one: Connection) -> None:
        def generate() -> Iterator[dict[str, int]]:
            row = {"n": 0}
            for row["n"] in range(3):
                yield row

        one.executemany("INSERT INTO line VALUES (:n)", generate())
        assert one.execute("SELECT text FROM line").fetchall() == [(0,), (1,), (2,)]


class TestDoomed:
    """A conflict in the middle of a transaction fails it until the application rolls back."""

    @pytest.fixture
    def doomed(self, faulty: tuple[Connection, FaultyStore]) -> Connection:
        one, store = faulty
        one.execute(ADD_ONE)

        def too_old() -> None:
            raise SnapshotTooOldError("the snapshot is older than the retention")

        store.before_read = too_old
        with pytest.raises(ConflictError):
            one.execute("SELECT * FROM counter")
        del store.before_read
        return one

    def test_every_statement_says_so(self, doomed: Connection) -> None:
        for sql in ("SELECT 1", ADD_ONE, "SAVEPOINT s", "BEGIN", "PRAGMA foreign_keys"):
            with pytest.raises(ConflictError, match="must be rolled back: the snapshot is older") as caught:
                doomed.execute(sql)
            assert caught.value.retryable
        assert doomed.in_transaction

    def test_rollback_ends_it(self, doomed: Connection) -> None:
        doomed.rollback()
        assert not doomed.in_transaction
        assert value(doomed, "SELECT n FROM counter WHERE id = 1") == 0

    def test_commit_refuses_and_ends_it(self, doomed: Connection) -> None:
        with pytest.raises(ConflictError, match="the transaction has failed"):
            doomed.commit()
        assert not doomed.in_transaction
        assert value(doomed, "SELECT n FROM counter WHERE id = 1") == 0

    def test_lost_connection_fails_the_transaction_too(self, faulty: tuple[Connection, FaultyStore]) -> None:
        one, store = faulty
        one.execute(ADD_ONE)

        def lost() -> None:
            raise StoreUnavailableError("the connection was lost")

        store.before_read = lost
        with pytest.raises(StoreUnavailableError):
            one.execute("SELECT * FROM counter")
        del store.before_read
        with pytest.raises(StoreUnavailableError):
            one.execute(ADD_ONE)
        one.rollback()
        one.execute(ADD_ONE)
        one.commit()
        assert value(one, "SELECT n FROM counter WHERE id = 1") == 1


class TestAutocommit:
    """A statement of its own transaction just runs again: nobody has seen anything of it."""

    @pytest.fixture
    def unlucky(self, faulty: tuple[Connection, FaultyStore], two: Connection) -> tuple[Connection, FaultyStore]:
        """Somebody always comes first, twice."""
        one, store = faulty
        one.isolation_level = "AUTOCOMMIT"
        left = 2

        def interfere_twice() -> None:
            nonlocal left
            if left:
                left -= 1
                interfere(two)

        store.before_commit = interfere_twice
        return faulty

    def test_result_is_of_the_run_that_was_committed(self, unlucky: tuple[Connection, FaultyStore]) -> None:
        one, store = unlucky
        assert one.execute(f"{ADD_ONE} RETURNING n").fetchall() == [(3,)]
        assert (store.commits, one.rome_stats.replays) == (3, 2)
        assert one.execute("SELECT changes(), total_changes()").fetchall() == [(1, 1)]

    def test_bound(self, faulty: tuple[Connection, FaultyStore]) -> None:
        one, store = faulty
        one.isolation_level = "AUTOCOMMIT"

        def always() -> None:
            raise ConflictError("again")

        store.before_commit = always
        with pytest.raises(ConflictError, match="again"):
            one.execute(ADD_ONE)
        assert store.commits == 6
        assert not one.in_transaction

    def test_error_leaves_nothing_open(self, one: Connection) -> None:
        one.isolation_level = "AUTOCOMMIT"
        with pytest.raises(IntegrityError):
            one.execute("INSERT INTO counter VALUES (1, 1)")
        assert not one.in_transaction


class TestCommitUnknown:
    """The answer to a commit is lost; the store is asked what became of it."""

    def test_applied(self, faulty: tuple[Connection, FaultyStore]) -> None:
        one, store = faulty
        store.answers_lost = 1
        one.execute(ADD_ONE)
        one.commit()
        assert store.commits == 1
        assert value(one, "SELECT n FROM counter WHERE id = 1") == 1

    def test_never_arrived_and_replayed(self, faulty: tuple[Connection, FaultyStore]) -> None:
        one, store = faulty
        store.requests_lost = 1
        one.execute(ADD_ONE)
        one.commit()
        assert store.commits == 2
        assert value(one, "SELECT n FROM counter WHERE id = 1") == 1

    def test_unreachable_for_a_moment(self, faulty: tuple[Connection, FaultyStore]) -> None:
        one, store = faulty
        store.answers_lost = 1
        store.resolves_lost = 2
        one.execute(ADD_ONE)
        one.commit()
        assert (store.commits, store.resolves) == (1, 3)
        assert value(one, "SELECT n FROM counter WHERE id = 1") == 1

    def test_unreachable_is_never_replayed(self, faulty: tuple[Connection, FaultyStore]) -> None:
        one, store = faulty
        store.answers_lost = 1
        store.resolves_lost = 100
        one.execute(ADD_ONE)
        with pytest.raises(CommitUnknownError, match="all of its writes were applied, or none") as caught:
            one.commit()
        assert (caught.value.sqlstate, caught.value.retryable) == ("40003", False)
        assert store.commits == 1
        assert not one.in_transaction
        store.resolves_lost = 0
        assert store.resolve(caught.value.transaction_id, caught.value.snapshot) is not None
        assert value(one, "SELECT n FROM counter WHERE id = 1") == 1

    def test_unreachable_under_autocommit(self, faulty: tuple[Connection, FaultyStore]) -> None:
        one, store = faulty
        one.isolation_level = "AUTOCOMMIT"
        store.requests_lost = 1
        store.resolves_lost = 100
        with pytest.raises(CommitUnknownError):
            one.execute(ADD_ONE)
        assert store.commits == 1
        assert not one.in_transaction
