"""Histories that end or run backwards: retention, transaction ids, restarts, failovers."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from secrets import token_bytes

import pytest
import redis
from msgspec.structs import replace

from rome.errors import (
    CommitAbortedError,
    CommitUnknownError,
    SnapshotLostError,
    SnapshotTooOldError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from rome.store.location import Location
from rome.store.redis import RedisStore
from rome.store.redis.names import meta_key
from rome.store.spi import BEYOND, Drop, Retention
from rome.testing.harness import Point, RangeCheck, StoreWrite, change_catalog, delete, enter, leave, put
from tests.store.redis.kit import Open, Start, admin_of, keys_of, lose_answers

TRIM_EACH = 8
"""commit.lua: one small commit in so many discards history."""


class TestRetention:
    def test_updates_do_not_grow_the_data_for_longer_than_the_retention(
        self, connect: Open, admin: redis.Redis, location: Location
    ) -> None:
        """A million updates of 100 rows, scaled down to 6,000: what is kept is what the bytes allow, to the end."""
        client = connect()
        client.store.set_retention(Retention(3600.0, 200_000))
        sizes = []
        versions = [0] * 100
        for number in range(6_000):
            client.snapshot = client.store.last_snapshot()
            key, was = b"%02d" % (number % 100), versions[number % 100]
            versions[number % 100] = client.commit(
                put(key, b"%0100d" % number, was=was), enter(b"%06d" % number, key), _leave_or_nothing(number)
            )
            if number % 1_000 == 999:
                sizes.append(sum(admin.memory_usage(each) or 0 for each in keys_of(admin, location)))
        assert max(sizes) < 1.5 * min(sizes)
        assert max(sizes) < 1_000_000
        assert admin.llen(meta_key(location.database)[:-1] + b"q") < 1_000

    def test_byte_accounts_come_out_even(self, connect: Open, admin: redis.Redis, location: Location) -> None:
        client = connect()
        client.write(*(put(b"%04d" % number) for number in range(350)), change_catalog())
        client.write(*(put(b"%04d" % number, b"new") for number in range(0, 350, 2)), delete(b"0001"))
        client.store.resolve(token_bytes(16), 0)
        client.store.set_retention(Retention(0.0))
        assert client.store.trim() == 3
        assert admin.hget(meta_key(location.database), "history_bytes") == b"0"
        rows = {b"e0.0", b"e1.0", b"m", b"r0", b"r1"}
        assert {key.rpartition(b":")[2] for key in keys_of(admin, location)} == rows

    def test_large_commit_is_trimmed_in_parts(self, connect: Open, admin: redis.Redis, location: Location) -> None:
        client = connect()
        client.write(*(put(b"%04d" % number) for number in range(5_000)))
        client.store.set_retention(Retention(0.0))
        log, queue = (meta_key(location.database)[:-1] + suffix for suffix in (b"l1.0", b"q"))
        lengths = [admin.zcard(log)]
        for _ in range(40 * TRIM_EACH):
            client.write(put(b"0000"))
            lengths.append(admin.zcard(log))
        assert max(before - after for before, after in pairwise(lengths)) <= 300
        assert lengths[-1] == 0
        assert admin.llen(queue) <= TRIM_EACH

    def test_what_small_commits_leave_is_discarded_as_soon_as_large_ones_add_more(
        self, connect: Open, admin: redis.Redis, location: Location
    ) -> None:
        """However many rows each commit writes, the history does not outgrow its limit by more than a few of them."""
        client = connect()
        meta = meta_key(location.database)
        for rows, record in ((1, b""), (20, b""), (21, b""), (150, b""), (1, b"x" * 70_000)):
            client.store.set_retention(Retention(3600.0, 30_000))
            added = []
            for number in range(12 * TRIM_EACH):
                before = admin.zcard(meta[:-1] + b"l1.0")
                client.write(*(put(b"%d.%d.%d" % (len(record), number, row), record) for row in range(rows)))
                added.append(admin.zcard(meta[:-1] + b"l1.0") - before)
            assert sum(added) < len(added) * rows, "some of it was discarded"
            one = rows * 400 + 250 + 3 * len(record)
            assert int(admin.hget(meta, "history_bytes") or 0) < 30_000 + TRIM_EACH * one

    def test_commit_late_by_more_than_the_retention_is_refused(self, connect: Open) -> None:
        """Its id, or that of its abort, is forgotten: it must not be applied for a second time, or after all."""
        client = connect()
        client.begin()
        applied, aborted = (client.request(put(key)) for key in (b"a", b"b"))
        client.store.commit(applied)
        assert client.store.resolve(aborted.transaction_id, aborted.snapshot.version) is None
        client.store.set_retention(Retention(0.0))
        client.store.trim()
        for request in (applied, aborted):
            with pytest.raises(SnapshotTooOldError):
                client.store.commit(request)

    def test_drop_ends_the_history_that_ranges_are_validated_by(self, connect: Open) -> None:
        client, other = connect(), connect()
        client.write(put(b"a"), enter(b"k", b"a"))
        version = client.begin().version
        for drop, index in ((Drop(1, 1), 1), (Drop(1), 0)):
            other.write(drop)
            with pytest.raises(SnapshotTooOldError) as caught:
                client.commit(read=[RangeCheck(1, index, b"", BEYOND, version, rows=False)])
            assert caught.value.table == 1

    def test_trimming_what_was_before_a_drop_does_not_lower_the_floor(
        self, connect: Open, admin: redis.Redis, location: Location
    ) -> None:
        client = connect()
        client.write(put(b"a"))
        for number in range(30):
            client.write(put(b"%d" % number, table=2))
        dropped = client.write(Drop(1))
        client.store.set_retention(Retention(0.0))
        for _ in range(TRIM_EACH):
            client.write(put(b"b", table=2))  # one of them trims the first few
        assert admin.llen(meta_key(location.database)[:-1] + b"q") > 1
        assert int(admin.hget(meta_key(location.database), "f1") or 0) == dropped

    def test_dropped_table_leaves_nothing_once_its_drop_is_trimmed(
        self, connect: Open, admin: redis.Redis, location: Location
    ) -> None:
        client = connect()
        client.write(put(b"a", table=7), enter(b"k", b"a", table=7))
        client.write(put(b"a", b"2", table=7), put(b"b"))
        client.write(Drop(7), change_catalog())
        client.store.set_retention(Retention(0.0))
        client.store.trim()
        assert not [key for key in keys_of(admin, location) if b"7" in key.rpartition(b":")[2]]
        assert not [field for field in admin.hkeys(meta_key(location.database)) if field[1:2] == b"7"]


def _leave_or_nothing(number: int) -> StoreWrite:
    """The index entry that number 100 before this one made for the same row."""
    if number < 100:
        return delete(b"absent", was=0)
    return leave(b"%06d" % (number - 100), b"%02d" % (number % 100))


class TestIncarnation:
    def test_restart_refuses_snapshots_from_before(self, start: Start, connect: Open) -> None:
        server = start({"appendonly": "yes", "appendfsync": "always"})
        client = connect(server.location("nova"))
        client.write(put(b"a"))
        request = client.request(put(b"b", was=0))
        snapshot = client.begin()
        server.restart()
        with pytest.raises(StoreUnavailableError):
            client.get(b"a")
        with pytest.raises(SnapshotLostError):
            client.get(b"a")
        assert client.begin().incarnation != snapshot.incarnation
        assert client.record(b"a") == b"record"
        with pytest.raises(SnapshotLostError):
            client.store.commit(request)

    def test_server_that_lost_its_last_writes_refuses_snapshots_from_before(self, start: Start, connect: Open) -> None:
        """Killed with an old RDB file: versions run backwards and are given again to other commits."""
        server = start({"save": ""})
        at = server.location("nova")
        client = connect(at)
        client.write(put(b"a", b"1"))
        with admin_of(server) as admin:
            admin.save()
        lost_version = client.write(put(b"a", b"lost"))
        snapshot = client.begin()
        request = client.request(put(b"c"), read=[Point(1, b"a", lost_version)])
        server.kill()
        server.start()
        other = connect(at)
        other.begin()
        assert other.record(b"a") == b"1"
        assert other.write(put(b"b", b"another history")) == lost_version
        with pytest.raises(StoreUnavailableError):
            client.get(b"a", b"b")
        client.begin()
        with pytest.raises(SnapshotLostError):
            client.store.commit(request)
        with pytest.raises(SnapshotLostError):
            client.store.read(snapshot, ())

    def test_acknowledged_commits_survive_a_kill(self, start: Start, connect: Open) -> None:
        server = start({"appendonly": "yes", "appendfsync": "always"})
        at = server.location("nova")
        client = connect(at)
        for number in range(50):
            client.write(put(b"%d" % number), enter(b"k", b"%d" % number))
        server.kill()
        server.start()
        again = connect(at)
        again.begin()
        assert len(again.keys()) == len(again.keys(1)) == 50

    def test_new_connection_to_the_same_run_keeps_the_incarnation(self, connect: Open) -> None:
        one, other = connect(), connect()
        assert one.begin().incarnation == other.begin().incarnation

    def test_replica_serves_reads_refuses_writes_and_is_another_incarnation_when_promoted(
        self, start: Start, connect: Open
    ) -> None:
        primary = start({"repl-diskless-sync-delay": "0"})
        client = connect(primary.location("nova"))
        client.write(put(b"a"))
        replica = start({"replicaof": f"{primary.host} {primary.port}"})
        with admin_of(replica) as admin:
            _wait_until(lambda: admin.info("replication")["master_link_status"] == "up")
            reader = connect(replica.location("nova"))
            snapshot = reader.begin()
            assert reader.record(b"a") == b"record"
            assert [row.key for row in reader.scan()] == [b"a"]
            with pytest.raises(StoreReadOnlyError):
                reader.commit(put(b"b", was=0))
            with pytest.raises(StoreReadOnlyError):
                connect(replica.location("another"))
            admin.replicaof("NO", "ONE")
        promoted = connect(replica.location("nova"))
        assert promoted.begin().incarnation != snapshot.incarnation
        promoted.commit(put(b"b"))
        with pytest.raises(SnapshotLostError):
            reader.store.commit(replace(reader.request(put(b"c", was=0)), snapshot=snapshot))

    def test_dropped_and_created_anew_it_is_another(self, connect: Open, location: Location) -> None:
        client = connect()
        client.write(put(b"a"))
        snapshot = client.begin()
        RedisStore.drop_database(location)
        assert connect().begin() != snapshot
        with pytest.raises(SnapshotLostError):
            client.get(b"a")
        client.begin()
        assert client.get(b"a") == [None]

    def test_dropped_database_is_not_made_again_by_who_still_uses_it(
        self, connect: Open, admin: redis.Redis, location: Location
    ) -> None:
        client = connect()
        client.write(put(b"a"))
        client.begin()
        RedisStore.drop_database(location)
        uses = [
            lambda: client.get(b"a"),
            lambda: client.commit(put(b"b", was=0)),
            client.begin,
            lambda: client.store.resolve(b"x" * 16, 0),
            lambda: client.store.set_retention(Retention()),
            client.store.trim,
            client.store.retention,
        ]
        for use in uses:
            with pytest.raises(StoreUnavailableError):
                use()
            assert not client.store.is_usable()
        assert keys_of(admin, location) == []


class TestResolve:
    def test_late_arrival_of_an_aborted_commit_is_refused(self, connect: Open) -> None:
        client, other = connect(), connect()
        client.begin()
        request = client.request(put(b"a"))
        assert other.store.resolve(request.transaction_id, request.snapshot.version) is None
        with pytest.raises(CommitAbortedError):
            client.store.commit(request)

    @pytest.mark.parametrize("has_script", [True, False])
    def test_commit_whose_answer_was_lost_is_found(
        self, start: Start, connect: Open, monkeypatch: pytest.MonkeyPatch, has_script: bool
    ) -> None:
        server = start()
        client = connect(server.location("nova"))
        client.write(put(b"a", b"old"))
        client.begin()
        request = client.request(put(b"a"))
        if not has_script:
            with admin_of(server) as admin:
                admin.script_flush()
        lose_answers(client, monkeypatch)
        with pytest.raises(CommitUnknownError) as caught:
            client.store.commit(request)
        assert caught.value.transaction_id == request.transaction_id
        version = client.store.resolve(request.transaction_id, request.snapshot.version)
        assert client.begin().version == version
        assert client.record(b"a") == b"record"


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
