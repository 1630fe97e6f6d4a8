"""Transactions that live longer than the retention: kept by a pin, or ended early and with a reason.

No test waits for the keeper's thread. Its clock is ours, and so are those of the stores in this process; a server's is
let go by. The retention is as short as that allows.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import sqlalchemy as sa

import rome
import rome.archive
from rome.cli import main
from rome.dbapi import Connection
from rome.dbapi.admin import retention
from rome.errors import (
    ConflictError,
    SnapshotTooOldError,
    StoreUnavailableError,
    TransactionTooLongError,
)
from rome.retry import is_retryable
from rome.store import keeper, memory
from rome.store.diagnosis import Level
from rome.store.lmdb import commit as lmdb_commit
from rome.store.pins import pins_finding
from rome.store.spi import PinnedSnapshot, Store
from tests.support.databases import Connect, database, on

RETENTION_S = 0.3
LEASE_S = 0.6

ON_ALL = on("memory", "lmdb", "redis", "etcd")


@pytest.fixture(params=ON_ALL)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


class Time:
    """The time of the keeper and the stores."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, server: bool) -> None:
        self._passed_s = 0.0
        self._server = server
        monkeypatch.setattr(keeper, "clock", lambda: time.monotonic() + self._passed_s)
        if not server:
            monkeypatch.setattr(memory, "clock", lambda: time.monotonic() + self._passed_s)
            monkeypatch.setattr(lmdb_commit, "clock", lambda: time.time() + self._passed_s)

    def go_by(self, seconds: float) -> None:
        """Let time pass, during which the keeper does not look."""
        if self._server:
            time.sleep(seconds)
        else:
            self._passed_s += seconds

    def pass_by(self, seconds: float) -> None:
        """Let time pass for the process only, not for the server."""
        self._passed_s += seconds


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch, url: str) -> Iterator[Time]:
    """The time; the keeper looks only when a test tells it to, and at nothing that earlier tests have left open."""
    keeper.KEEPER.stop()
    monkeypatch.setattr(keeper.KEEPER, "_stores", {})
    monkeypatch.setattr(keeper.KEEPER, "_pinned", {})
    monkeypatch.setattr(keeper, "LEAST_LEASE_S", LEASE_S)
    monkeypatch.setattr(keeper.KEEPER._thread, "watch", lambda: None)
    yield Time(monkeypatch, server="redis" in url or "etcd" in url)
    for pinned in keeper.KEEPER._pinned.values():
        pinned.unpin()


@pytest.fixture
def look(passing: Time) -> Callable[[], None]:
    """Let the keeper look, in time."""

    def look() -> None:
        keeper.KEEPER._due = keeper.clock()
        keeper.KEEPER.look()

    return look


@pytest.fixture
def live(passing: Time, look: Callable[[], None]) -> Callable[[float], None]:
    """Let time pass, during which the keeper looks as often as it should."""

    def live(seconds: float) -> None:
        for _ in range(max(1, round(seconds / (RETENTION_S / 6)))):
            passing.go_by(RETENTION_S / 6)
            look()

    return live


@pytest.fixture
def writer(url: str, connect: Connect, passing: Time) -> Connection:
    """Has filled the table, and goes on writing."""
    filler = connect()
    filler.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
    filler.executemany("INSERT INTO t VALUES (?, ?)", [(number, 0) for number in range(20)])
    filler.commit()
    rome.set_retention(url, seconds=RETENTION_S)
    return connect()


def open_long(connect: Connect, **options: object) -> Connection:
    """A transaction that is not replayed, and has read and written something."""
    long = connect(**{"max_replays": 0, "isolation_level": "SNAPSHOT", **options})
    assert long.execute("SELECT n FROM t WHERE id = 1").fetchall() == [(0,)]
    long.execute("UPDATE t SET n = 100 WHERE id = 2")
    return long


def overwrite(writer: Connection, url: str) -> None:
    """Replace what the long transaction has read and may still read, and trim."""
    for _ in range(3):
        writer.execute("UPDATE t SET n = n + 1 WHERE id > 2")
        writer.commit()
    rome.trim(url)


def pins(connection: Connection) -> list[PinnedSnapshot]:
    store: Store = connection.session._context.store
    return store.another().pins() if not store.capabilities.network else _pins_beside(store)


def _pins_beside(store: Store) -> list[PinnedSnapshot]:
    another = store.another()
    try:
        return another.pins()
    finally:
        another.close()


def test_it_reads_its_snapshot_and_commits(
    connect: Connect, url: str, writer: Connection, live: Callable[[float], None]
) -> None:
    long = open_long(connect)
    for _ in range(3):
        live(RETENTION_S)
        overwrite(writer, url)
    assert long.execute("SELECT sum(n) FROM t WHERE id > 2").fetchall() == [(0,)]
    [pin] = pins(writer)
    assert pin.owner == keeper.owner()
    assert pin.age_s >= 3 * RETENTION_S
    long.commit()
    assert writer.execute("SELECT n FROM t WHERE id IN (2, 3)").fetchall() == [(100,), (9,)]


def test_its_commit_finds_what_has_changed(
    connect: Connect, url: str, writer: Connection, live: Callable[[float], None]
) -> None:
    long = open_long(connect, isolation_level="SERIALIZABLE")
    writer.execute("UPDATE t SET n = 7 WHERE id = 1")
    writer.commit()
    live(2 * RETENTION_S)
    overwrite(writer, url)
    with pytest.raises(ConflictError, match="row id=1 of table t was changed") as caught:
        long.commit()
    assert caught.value.retryable
    assert writer.execute("SELECT n FROM t WHERE id = 2").fetchall() == [(0,)]


def test_history_is_given_up_when_it_ends(
    connect: Connect, url: str, writer: Connection, live: Callable[[float], None], look: Callable[[], None]
) -> None:
    long = open_long(connect)
    live(2 * RETENTION_S)
    overwrite(writer, url)
    assert len(pins(writer)) == 1
    long.rollback()
    look()
    assert pins(writer) == []
    live(2 * RETENTION_S)
    assert rome.trim(url) > 0


def test_short_transaction_takes_none_and_connects_to_nothing(
    connect: Connect, writer: Connection, passing: Time, look: Callable[[], None]
) -> None:
    short = open_long(connect)
    before = short.session.stats.round_trips
    passing.pass_by(RETENTION_S / 4)
    look()
    assert keeper.KEEPER._pinned == {}
    assert pins(writer) == []
    assert short.session.stats.round_trips == before


def test_transactions_of_a_process_share_a_pin_which_moves_on(
    connect: Connect, url: str, writer: Connection, live: Callable[[float], None]
) -> None:
    old = open_long(connect)
    overwrite(writer, url)
    young = connect(max_replays=0)
    assert young.execute("SELECT n FROM t WHERE id = 3").fetchall() == [(3,)]
    live(2 * RETENTION_S)
    [first] = pins(writer)
    old.rollback()
    live(2 * RETENTION_S)
    [second] = pins(writer)
    assert second.version > first.version
    overwrite(writer, url)
    assert young.execute("SELECT DISTINCT n FROM t WHERE id > 2").fetchall() == [(3,)]


def test_read_committed_keeps_what_its_commit_validates(
    connect: Connect, url: str, writer: Connection, live: Callable[[float], None]
) -> None:
    long = connect(max_replays=0, isolation_level="READ COMMITTED", commit_turn="off")
    long.execute("UPDATE t SET n = 100 WHERE id = 2")
    live(2 * RETENTION_S)
    overwrite(writer, url)
    assert long.execute("SELECT n FROM t WHERE id = 3").fetchall() == [(3,)]
    live(2 * RETENTION_S)
    overwrite(writer, url)
    long.commit()
    assert writer.execute("SELECT n FROM t WHERE id = 2").fetchall() == [(100,)]


def test_read_committed_that_has_written_nothing_begins_anew_with_each_statement(
    connect: Connect, writer: Connection, live: Callable[[float], None]
) -> None:
    long = connect(isolation_level="READ COMMITTED")
    for _ in range(4):
        long.execute("SELECT n FROM t WHERE id = 2")
        live(RETENTION_S / 6)
    assert pins(writer) == []


class TestEnd:
    """Where the history cannot be kept, the transaction ends at its next statement, and no retry loop goes on."""

    def test_at_the_urls_limit(
        self, connect: Connect, url: str, writer: Connection, live: Callable[[float], None]
    ) -> None:
        long = open_long(connect, max_transaction_seconds=3 * RETENTION_S)
        live(4 * RETENTION_S)
        assert pins(writer) == [], "it holds nothing any more"
        with pytest.raises(
            TransactionTooLongError, match=r"max_transaction_seconds in the URL allows 0\.9 s.*rome\.bulk"
        ) as caught:
            long.execute("SELECT 1 FROM t WHERE id = 2")
        assert (caught.value.retryable, caught.value.sqlstate, is_retryable(caught.value)) == (False, "72000", False)
        long.rollback()
        assert long.execute("SELECT n FROM t WHERE id = 2").fetchall() == [(0,)]

    def test_at_the_retentions_bytes(
        self, connect: Connect, url: str, writer: Connection, live: Callable[[float], None], passing: Time
    ) -> None:
        if "etcd" in url:
            pytest.skip("it counts the rows that are written, which are small here")
        long = open_long(connect)
        live(RETENTION_S)
        rome.set_retention(url, max_bytes=100)
        overwrite(writer, url)
        passing.pass_by(2.0)
        live(LEASE_S)
        with pytest.raises(TransactionTooLongError, match=r"100 bytes.*set_retention\(url, max_bytes=400\)") as caught:
            long.execute("SELECT n FROM t WHERE id = 1")
        assert not is_retryable(caught.value)

    def test_at_commit_without_pins(self, connect: Connect, url: str, writer: Connection, passing: Time) -> None:
        long = open_long(connect, max_transaction_seconds=0)
        overwrite(writer, url)
        passing.go_by(2 * RETENTION_S)
        passing.pass_by(75.0)
        rome.trim(url)
        with pytest.raises(
            TransactionTooLongError, match=r"open for 7\d s.*for 0.3 s.*set_retention\(url, seconds=150\)"
        ):
            long.commit()
        assert writer.execute("SELECT n FROM t WHERE id = 2").fetchall() == [(0,)]

    def test_run_transaction_does_not_try_again(self, url: str, writer: Connection, passing: Time) -> None:
        engine = sa.create_engine(url + "?max_transaction_seconds=0&max_replays=0&isolation_level=SNAPSHOT")
        runs = []

        def work(connection: sa.Connection) -> None:
            runs.append(connection.execute(sa.text("SELECT n FROM t WHERE id = 1")).scalar())
            connection.execute(sa.text("UPDATE t SET n = 1 WHERE id = 2"))
            overwrite(writer, url)
            passing.go_by(2 * RETENTION_S)
            passing.pass_by(75.0)
            rome.trim(url)

        with pytest.raises(sa.exc.OperationalError) as caught:
            rome.run_transaction(engine, work)
        assert isinstance(caught.value.orig, TransactionTooLongError)
        assert len(runs) == 1
        engine.dispose()


class TestOtherCauses:
    """A snapshot that is lost for another reason leads to another attempt."""

    def test_history_was_discarded_before_the_retention(self, connect: Connect, url: str, writer: Connection) -> None:
        if "etcd" in url:
            pytest.skip("it counts the rows that are written, which are small here")
        rome.set_retention(url, seconds=60, max_bytes=100)
        long = open_long(connect)
        overwrite(writer, url)
        with pytest.raises(
            SnapshotTooOldError, match=r"should keep it for 60 s.*set_retention.*run the transaction again"
        ) as caught:
            long.commit()
        assert type(caught.value) is SnapshotTooOldError
        assert is_retryable(caught.value)

    def test_process_was_paused(
        self, connect: Connect, url: str, writer: Connection, passing: Time, live: Callable[[float], None]
    ) -> None:
        long = open_long(connect)
        live(RETENTION_S / 2)
        overwrite(writer, url)
        passing.go_by(2 * LEASE_S)  # in which nobody looks, since the process does not run
        passing.pass_by(600.0)
        rome.trim(url)
        keeper.KEEPER.look()
        with pytest.raises(SnapshotTooOldError) as caught:
            long.execute("SELECT n FROM t WHERE id = 1")
        assert type(caught.value) is SnapshotTooOldError
        assert is_retryable(caught.value)

    def test_store_could_not_be_asked(
        self,
        connect: Connect,
        url: str,
        writer: Connection,
        passing: Time,
        look: Callable[[], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        long = open_long(connect)
        passing.go_by(RETENTION_S / 2)
        with monkeypatch.context() as patch:

            def refuse(self: Store) -> Store:
                raise StoreUnavailableError("the way to the store is cut")

            patch.setattr(type(long.session._context.store), "another", refuse)
            look()
        overwrite(writer, url)
        passing.go_by(2 * RETENTION_S)
        passing.pass_by(75.0)
        rome.trim(url)
        with pytest.raises(SnapshotTooOldError) as caught:
            long.commit()
        assert is_retryable(caught.value)

    def test_transaction_that_may_be_replayed_goes_on(
        self, connect: Connect, url: str, writer: Connection, live: Callable[[float], None]
    ) -> None:
        long = connect(max_transaction_seconds=3 * RETENTION_S)
        assert long.execute("SELECT n FROM t WHERE id = 1").fetchall() == [(0,)]
        live(4 * RETENTION_S)
        overwrite(writer, url)
        assert long.execute("SELECT n FROM t WHERE id = 3").fetchall() == [(3,)]
        assert long.session.stats.replays == 1


def test_replay_that_takes_too_long_again_is_the_last(
    connect: Connect, writer: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = connect()
    long.execute("SELECT n FROM t WHERE id = 1").fetchall()

    def refuse(self: Store, *_: object) -> None:
        raise TransactionTooLongError.of_limit(9.0, 1.0)

    with monkeypatch.context() as patch:
        patch.setattr(type(long.session._context.store), "read", refuse)
        with pytest.raises(TransactionTooLongError):
            long.execute("SELECT n FROM t WHERE id = 3")
    assert long.session.stats.replays == 1
    long.rollback()


def test_retention_of_another_client_is_heard_of(
    connect: Connect, url: str, writer: Connection, live: Callable[[float], None]
) -> None:
    assert retention(url).seconds == RETENTION_S
    long = open_long(connect)
    assert long.session._context.store.known_retention().seconds == RETENTION_S


def test_dump_may_take_longer_than_the_retention(url: str, writer: Connection, live: Callable[[float], None]) -> None:
    """Each table is read in a chunk of its own; everything is replaced between the two."""
    for number in range(2):
        writer.execute(f"CREATE TABLE other{number} (id INTEGER PRIMARY KEY, n INT)")
        writer.execute(f"INSERT INTO other{number} VALUES (1, 0), (2, 0)")
    writer.commit()

    def slow(tally: object) -> None:
        live(2 * RETENTION_S)
        for number in range(2):
            writer.execute(f"UPDATE other{number} SET n = n + 1")
            writer.execute(f"DELETE FROM other{number} WHERE id = 1")
        writer.commit()
        overwrite(writer, url)

    archive = io.BytesIO()
    rome.archive.dump(url, archive, slow)
    assert writer.execute("SELECT count(*) FROM other1").fetchall() == [(1,)]
    copy = "rome+memory:///copy-of-a-long-dump"
    try:
        archive.seek(0)
        rome.archive.load(copy, archive)
        with closing(rome.connect(copy)) as copied:
            assert copied.execute("SELECT id, n FROM other1").fetchall() == [(1, 0), (2, 0)]
            assert copied.execute("SELECT sum(n) FROM t").fetchall() == [(0,)]
    finally:
        rome.drop_database(copy)


class TestShown:
    def test_doctor_and_the_commands_name_the_process(
        self,
        connect: Connect,
        url: str,
        writer: Connection,
        live: Callable[[float], None],
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(keeper, "LEAST_LEASE_S", 600.0)
        long = open_long(connect)
        live(RETENTION_S)
        if "memory" not in url:
            [finding] = [each for each in rome.diagnose(url).findings if each.check == "long transactions"]
            assert finding.level is Level.OK
            assert f"1 process, whose oldest has been open: {keeper.owner()} for " in finding.reason
        for command in (["retention", url], ["trim", url]):
            assert main(command) == 0
            assert f"transactions of {keeper.owner()} for " in capsys.readouterr().out
        long.rollback()
        live(RETENTION_S)
        if "memory" not in url:
            [finding] = [each for each in rome.diagnose(url).findings if each.check == "long transactions"]
            assert finding.reason == "none"
        main(["retention", url])
        assert keeper.owner() not in capsys.readouterr().out

    def test_doctor_asks_about_one_that_is_very_old(self) -> None:
        finding = pins_finding([PinnedSnapshot(7, "17@here", 3000.0, 40.0), PinnedSnapshot(9, "18@there", 30.0, 40.0)])
        assert finding.level is Level.WARNING
        assert "2 processes" in finding.reason
        assert "17@here for 3000 s, 18@there for 30 s" in finding.reason
