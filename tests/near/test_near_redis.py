"""Near reads on Redis and Valkey: what a replica answers, what the primary must; a lost one holds up nobody."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

import pytest

import rome
from rome.dbapi import Connection
from rome.errors import ConflictError, StoreUnavailableError
from rome.store.redis import RedisStore
from rome.store.redis import near as redis_near
from rome.store.spi import BEYOND, ORDER_INDEX, Scan, ScanResult, Snapshot
from rome.testing.harness import SnapshotClient, put
from tests.near.conftest import MoveClock, Open
from tests.near.processes import Elsewhere
from tests.support.replicas import NearReplica, ReplicationStream, await_that


class Trips(NamedTuple):
    """What something cost: trips to the primary, and to the replica."""

    far: int
    near: int


def cost(connection: Connection, do: Callable[[], object]) -> Trips:
    before = connection.rome_stats
    do()
    spent = connection.rome_stats.since(before)
    return Trips(spent.round_trips - spent.near_trips, spent.near_trips)


def read(connection: Connection) -> dict[object, object]:
    """All rows, in a transaction of their own."""
    found = {row[0]: row[1] for row in connection.execute("SELECT id, v FROM t").fetchall()}
    connection.rollback()
    return found


def write(connection: Connection, v: int) -> None:
    connection.execute("UPDATE t SET v = ? WHERE id = 1", (v,))
    connection.commit()


@pytest.fixture
def near(replica: NearReplica, database: str, open_url: Open) -> Connection:
    """A connection that reads near; there is a table t with a row, at the replica, too."""
    connection = open_url(replica.url(database))
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v INT)")
    connection.execute("INSERT INTO t VALUES (1, 10)")
    connection.commit()
    replica.await_all()
    assert read(connection) == {1: 10}
    return connection


@pytest.fixture
def far(near: Connection, replica: NearReplica, database: str, open_url: Open) -> Connection:
    """A connection of the same process that does not read near."""
    return open_url(f"rome+redis://{replica.primary.host}:{replica.primary.port}/{database}")


@pytest.fixture
def primary_url(replica: NearReplica, database: str) -> str:
    return f"rome+redis://{replica.primary.host}:{replica.primary.port}/{database}"


def test_a_transaction_that_reads_makes_no_far_trip_and_one_that_writes_makes_one(near: Connection) -> None:
    assert cost(near, lambda: read(near)) == Trips(0, 1)
    assert cost(near, lambda: write(near, 11)) == Trips(1, 1)


def test_a_range_and_a_count_are_read_near(near: Connection) -> None:
    def several() -> None:
        assert near.execute("SELECT count(*) FROM t").fetchall() == [(1,)]
        assert near.execute("SELECT v FROM t WHERE id BETWEEN 0 AND 9").fetchall() == [(10,)]
        near.rollback()

    assert cost(near, several).far == 0


class TestReplicaThatIsBehind:
    """It holds all that was there before, and gets nothing more."""

    def test_what_others_commit_is_not_seen_at_once(
        self, near: Connection, replica: NearReplica, primary_url: str, elsewhere: Elsewhere
    ) -> None:
        with replica.behind():
            elsewhere.set(primary_url, 11)
            assert cost(near, lambda: read(near)) == Trips(0, 1)
            assert read(near) == {1: 10}
        replica.await_all()
        assert read(near) == {1: 11}

    def test_process_sees_its_own_commits_on_every_connection(
        self, near: Connection, replica: NearReplica, database: str, open_url: Open
    ) -> None:
        second = open_url(replica.url(database))
        with replica.behind():
            write(near, 11)
            assert read(near) == {1: 11}
            assert read(second) == {1: 11}

    def test_process_sees_nothing_older_than_what_it_has_seen(
        self, near: Connection, far: Connection, replica: NearReplica, primary_url: str, elsewhere: Elsewhere
    ) -> None:
        with replica.behind():
            elsewhere.set(primary_url, 11)
            assert read(near) == {1: 10}
            assert read(far) == {1: 11}
            assert read(near) == {1: 11}

    def test_what_is_seen_in_an_open_transaction_counts_for_the_others(
        self, near: Connection, far: Connection, replica: NearReplica, primary_url: str, elsewhere: Elsewhere
    ) -> None:
        with replica.behind():
            elsewhere.set(primary_url, 11)
            assert far.execute("SELECT v FROM t").fetchall() == [(11,)]
            assert read(near) == {1: 11}

    def test_process_that_is_told_the_version_sees_it(
        self, near: Connection, replica: NearReplica, primary_url: str, elsewhere: Elsewhere
    ) -> None:
        with replica.behind():
            version = elsewhere.set(primary_url, 11)
            assert read(near) == {1: 10}
            near.at_least(version)
            assert read(near) == {1: 11}

    def test_process_that_tells_its_version_is_seen_by_one_that_reads_near(
        self, near: Connection, replica: NearReplica, elsewhere: Elsewhere, database: str
    ) -> None:
        elsewhere.run(replica.url(database), "SELECT v FROM t")
        with replica.behind():
            write(near, 11)
            old, _ = elsewhere.run(replica.url(database), "SELECT v FROM t")
            new, _ = elsewhere.run(replica.url(database), "SELECT v FROM t", at_least=rome.last_version(near))
        assert (old, new) == ([[[10]]], [[[11]]])

    def test_transaction_that_writes_is_validated_at_the_primary(
        self, near: Connection, replica: NearReplica, primary_url: str, elsewhere: Elsewhere
    ) -> None:
        with replica.behind():
            elsewhere.set(primary_url, 11)
            [(seen,)] = near.execute("SELECT v FROM t WHERE id = 1").fetchall()
            near.execute("UPDATE t SET v = ? WHERE id = 1", (seen + 1,))
            with pytest.raises(ConflictError, match="id=1 of table t was changed"):
                near.commit()
            # The conflict has shown what the next attempt must see.
            [(seen,)] = near.execute("SELECT v FROM t WHERE id = 1").fetchall()
            near.execute("UPDATE t SET v = ? WHERE id = 1", (seen + 1,))
            near.commit()
        assert seen == 11

    def test_retry_on_another_connection_sees_what_the_conflict_has_shown(
        self,
        near: Connection,
        replica: NearReplica,
        primary_url: str,
        elsewhere: Elsewhere,
        database: str,
        open_url: Open,
    ) -> None:
        second = open_url(replica.url(database))
        with replica.behind():
            elsewhere.set(primary_url, 11)
            near.execute("SELECT v FROM t WHERE id = 1").fetchall()
            near.execute("UPDATE t SET v = 0 WHERE id = 1")
            with pytest.raises(ConflictError):
                near.commit()
            assert read(second) == {1: 11}

    def test_conflict_that_nobody_has_seen_is_replayed_at_the_primary(
        self, near: Connection, replica: NearReplica, primary_url: str, elsewhere: Elsewhere
    ) -> None:
        with replica.behind():
            elsewhere.set(primary_url, 11)
            before = near.rome_stats.replays
            near.execute("UPDATE t SET v = v + 1 WHERE id = 1")
            near.commit()
            assert near.rome_stats.replays == before + 1
            assert read(near) == {1: 12}

    def test_statement_that_takes_ids_is_read_at_the_primary_as_a_whole(
        self, near: Connection, replica: NearReplica, primary_url: str, elsewhere: Elsewhere
    ) -> None:
        def insert() -> None:
            assert near.execute("INSERT INTO t (v) SELECT v + 1 FROM t RETURNING v").fetchall() == [(12,)]
            near.commit()

        with replica.behind():
            elsewhere.set(primary_url, 11)
            insert_cost = cost(near, insert)
        assert insert_cost.far <= 3

    def test_transaction_that_began_at_the_primary_goes_on_there(self, near: Connection, replica: NearReplica) -> None:
        with replica.behind():
            write(near, 11)
            near.execute("SELECT v FROM t WHERE id = 1").fetchall()
            assert near.execute("SELECT count(*) FROM t WHERE v = 11").fetchall() == [(1,)]
            near.rollback()

    def test_schema_change_is_noticed_at_commit(
        self, near: Connection, replica: NearReplica, primary_url: str, elsewhere: Elsewhere
    ) -> None:
        with replica.behind():
            elsewhere.run(primary_url, "ALTER TABLE t ADD COLUMN w INT DEFAULT 7")
            assert near.execute("SELECT * FROM t").fetchall() == [(1, 10)]
            near.execute("UPDATE t SET v = 12 WHERE id = 1")
            with pytest.raises(ConflictError):  # the replay shows another column
                near.commit()
            assert near.execute("SELECT * FROM t").fetchall() == [(1, 10, 7)]

    def test_lag_beyond_the_limit_is_not_read(
        self,
        near: Connection,
        replica: NearReplica,
        primary_url: str,
        elsewhere: Elsewhere,
        database: str,
        open_url: Open,
    ) -> None:
        """The link is down. The server counts whole seconds."""
        strict = open_url(replica.url(database, near_max_lag="0.5"))
        with replica.client() as client:
            client.replicaof("127.0.0.1", 1)
            await_that(lambda: client.info("replication").get("master_link_down_since_seconds", 0) > 0, "it is up")
        elsewhere.set(primary_url, 11)
        await_that(lambda: read(strict) == {1: 11}, "it is read for more than a second")

    def test_it_cannot_tell_that_a_table_is_as_somebody_knows_it_who_has_seen_more(
        self, replica: NearReplica, database: str
    ) -> None:
        """A transaction goes on at an older version than that of the rows which the process has kept."""
        primary = SnapshotClient(RedisStore.open(replica.primary.location(database)))
        primary.write(put(b"k", b"old"))
        replica.await_all()
        at_replica = SnapshotClient(RedisStore.open(replica.server.location(database)))
        at_replica.begin()
        with replica.behind():
            version = primary.write(put(b"k", b"new"))
            known = Snapshot(at_replica.snapshot.incarnation, version)
            [answer] = at_replica.read(Scan(1, ORDER_INDEX, b"", BEYOND, known=known))
        assert isinstance(answer, ScanResult)
        assert [row.record for row in answer.rows] == [b"old"]
        for client in (primary, at_replica):
            client.store.close()


class TestReplicaThatIsLost:
    def test_killed_one_costs_no_error_and_is_used_again_later(
        self, near: Connection, replica: NearReplica, move_clock: MoveClock
    ) -> None:
        replica.server.kill()
        assert read(near) == {1: 10}
        assert cost(near, lambda: read(near)) == Trips(1, 0)
        replica.server.start()
        replica.await_all()
        move_clock(60)
        await_near(near)

    def test_transaction_under_way_goes_on_at_the_primary_at_its_version(
        self, near: Connection, replica: NearReplica, primary_url: str, elsewhere: Elsewhere
    ) -> None:
        assert near.execute("SELECT v FROM t WHERE id = 1").fetchall() == [(10,)]
        elsewhere.set(primary_url, 11)
        replica.server.kill()
        assert near.execute("SELECT sum(v) FROM t WHERE v > 0").fetchall() == [(10,)]
        near.rollback()
        assert read(near) == {1: 11}

    def test_paused_one_costs_one_call_its_timeout(
        self, near: Connection, replica: NearReplica, move_clock: MoveClock, database: str, open_url: Open
    ) -> None:
        second = open_url(replica.url(database))
        read(second)
        replica.pause()
        assert read(near) == {1: 10}
        assert cost(near, lambda: read(near)) == Trips(1, 0)
        assert cost(second, lambda: read(second)) == Trips(1, 0)  # which had not noticed it itself
        move_clock(60)
        assert cost(near, lambda: read(near)) == Trips(1, 0)  # a probe is sent, and is not waited for
        replica.resume()
        await_near(near)

    def test_reads_go_on_while_the_primary_is_away(
        self, near: Connection, replica: NearReplica, database: str, open_url: Open
    ) -> None:
        replica.primary.kill()
        assert read(near) == {1: 10}
        assert near.is_usable()
        assert read(open_url(replica.url(database))) == {1: 10}
        near.execute("UPDATE t SET v = 0 WHERE id = 1")
        with pytest.raises(StoreUnavailableError):
            near.commit()
        near.rollback()
        replica.primary.start()
        write(near, 12)
        assert read(near) == {1: 12}


def await_near(connection: Connection) -> None:
    await_that(lambda: cost(connection, lambda: read(connection)).near > 0, "the replica is not used again")


class TestOtherHistory:
    def test_replica_of_another_history_is_not_read(
        self, near: Connection, replica: NearReplica, primary_url: str
    ) -> None:
        """The primary comes back without its last commits, and its replica still has them."""
        with replica.behind():
            replica.primary.kill()
            (replica.primary.directory / "appendonlydir").rename(replica.primary.directory / "lost")
            replica.primary.start()
            with rome.connect(primary_url) as new:
                new.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v INT)")
                new.execute("INSERT INTO t VALUES (1, 99)")
            write(near, 100)
            assert read(near) == {1: 100}

    def test_server_that_follows_another_primary_is_not_read(
        self, replica: NearReplica, database: str, start_server: object, open_url: Open, redis_server: object
    ) -> None:
        url = f"rome+redis://{redis_server.host}:{redis_server.port}/{database}"  # type: ignore[attr-defined]
        with rome.connect(url) as elsewhere:
            elsewhere.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v INT)")
            elsewhere.execute("INSERT INTO t VALUES (1, 666)")
        try:
            wrong = open_url(replica.url(database).replace(str(replica.server.port), str(redis_server.port)))  # type: ignore[attr-defined]
            wrong.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v INT)")
            wrong.execute("INSERT INTO t VALUES (1, 10)")
            wrong.commit()
            assert read(wrong) == {1: 10}
        finally:
            rome.drop_database(url)


def test_replica_is_found_by_what_the_primary_says(
    near: Connection, replica: NearReplica, primary_url: str, open_url: Open
) -> None:
    found = open_url(f"{primary_url}?reads=near")
    read(found)
    assert cost(found, lambda: read(found)) == Trips(0, 1)


def test_replicas_that_cannot_be_reached_are_looked_for_once(
    near: Connection, replica: NearReplica, primary_url: str, open_url: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []

    def find_none(addresses: object, timeout_s: float) -> None:
        looked.append(addresses)

    monkeypatch.setattr(redis_near, "first_to_answer", find_none)
    for _ in range(2):
        alone = open_url(f"{primary_url}?reads=near")
        assert cost(alone, lambda: read(alone)) == Trips(1, 0)  # noqa: B023
    assert looked == [[("127.0.0.1", replica.server.port)]]


def test_near_reads_write_nothing_at_a_server_that_was_promoted(near: Connection, replica: NearReplica) -> None:
    """Its incarnation must stay as it is until somebody means to write there."""
    with replica.client() as client:
        client.replicaof("NO", "ONE")
        before = client.info("commandstats").get("cmdstat_hset", {}).get("calls", 0)
        assert read(near) == {1: 10}
        assert client.info("commandstats").get("cmdstat_hset", {}).get("calls", 0) == before


def test_connection_made_to_a_replica_renews_the_incarnation_before_it_writes(
    near: Connection, replica: NearReplica, database: str, open_url: Open
) -> None:
    """A URL that names the replica itself, which is promoted while the connection lives."""
    direct = open_url(f"rome+redis://{replica.server.host}:{replica.server.port}/{database}")
    direct.execute("SELECT v FROM t WHERE id = 1").fetchall()
    with replica.client() as client:
        before = client.hget(f"rome:{{{database}}}:m", "incarnation")
        client.replicaof("NO", "ONE")
        direct.execute("UPDATE t SET v = 5 WHERE id = 1")
        direct.commit()  # by a replay
        assert client.hget(f"rome:{{{database}}}:m", "incarnation") != before


def test_commit_reaches_a_replica_as_one_block(near: Connection, replica: NearReplica) -> None:
    """What a replica is sent for one commit stands between MULTI and EXEC: it never shows a part."""
    with ReplicationStream(replica.primary) as stream:
        write(near, 11)
        commands = stream.commands_up_to("EXEC")
    first, *written, last = [name for name in commands if name not in ("PING", "SELECT")]
    assert (first, last) == ("MULTI", "EXEC")
    assert {"HSET", "ZADD", "RPUSH"} <= set(written)


def test_near_trips_are_told_apart(near: Connection, caplog: pytest.LogCaptureFixture) -> None:
    rows = near.execute("EXPLAIN ROME ANALYZE SELECT v FROM t WHERE id = 1").fetchall()
    assert rows[-1][4] == "rows of the result: 1; 1 of the trips were near"
    near.rollback()
    with caplog.at_level(logging.DEBUG, "rome"):
        read(near)
        write(near, 11)
    statement, update, commit = (record.getMessage().partition(" | ")[0] for record in caplog.records)
    assert "round_trips=1 " in statement
    assert "near_trips=1" in statement
    assert "near_trips=1" in update
    assert "near_trips" not in commit
