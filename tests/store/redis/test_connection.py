"""Connections: what is checked when one is made, what happens when one is lost, and how many trips all of it takes."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from types import SimpleNamespace

import pytest
import redis
import sqlalchemy as sa

import rome
from rome.compiled.channels import Channel
from rome.errors import (
    AuthenticationError,
    CommitUnknownError,
    CorruptRecordError,
    FormatError,
    NotReplicatedError,
    PersistenceWarning,
    StoreBusyError,
    StoreConfigError,
    StoreUnavailableError,
)
from rome.store.location import Location
from rome.store.redis import RedisStore, health
from rome.store.redis import channel as channel_module
from rome.store.redis.health import Health
from rome.store.redis.link import RedisLink
from rome.store.redis.names import meta_key
from rome.store.redis.settings import read_settings
from rome.store.spi import Get, Reserve, Row
from rome.testing.harness import SnapshotClient, put
from tests.store.redis.kit import Listener, Open, Start, admin_of, link_of, lose_answers, with_options
from tests.support.redis_command import send


def _cut(admin: redis.Redis, client: SnapshotClient) -> None:
    """Break a client's connection from the server's side."""
    client.begin()
    link = link_of(client)
    [[number]] = (link.call([(b"CLIENT", b"ID")]),)
    assert admin.client_kill_filter(_id=number) == 1


class Deaf(Listener):
    """Takes connections, and reads nothing of what it is sent until it is told that `done`."""

    def __init__(self) -> None:
        self.done = threading.Event()
        super().__init__()

    def serve(self, taken: socket.socket) -> None:
        self.done.wait()


class Interrupted:
    """A channel whose waiting caller is interrupted, after a part of the replies has come."""

    def __init__(self, channel: Channel) -> None:
        self.forget = channel.forget
        self._channel = channel

    def exchange(self, request: bytes) -> bytes:
        return self._channel.exchange(request)[:1]

    def receive(self) -> bytes:
        raise KeyboardInterrupt


class TestLoss:
    def test_first_read_connects_again_silently(self, connect: Open, admin: redis.Redis) -> None:
        client = connect()
        client.write(put(b"a"))
        for _ in range(2):
            _cut(admin, client)
            client.store.release()
            assert client.begin()
            assert client.record(b"a") == b"record"

    @pytest.mark.parametrize("way", ["compiled", "poll", "as eventlet leaves it"])
    def test_loss_is_noticed_without_a_trip(
        self, connect: Open, admin: redis.Redis, monkeypatch: pytest.MonkeyPatch, way: str
    ) -> None:
        if way != "compiled":
            monkeypatch.setattr(channel_module, "compiled_channel", lambda: None)
        if way == "as eventlet leaves it":
            monkeypatch.setattr(channel_module, "select", SimpleNamespace())
        client = connect()
        assert client.store.is_usable()
        _cut(admin, client)
        before = client.store.round_trips
        assert not client.store.is_usable()
        assert client.store.round_trips == before
        client.begin()
        assert client.store.is_usable()

    def test_snapshot_is_lost_with_its_connection(self, connect: Open, admin: redis.Redis) -> None:
        client = connect()
        client.write(put(b"a"))
        _cut(admin, client)
        with pytest.raises(StoreUnavailableError):
            client.get(b"a")

    def test_commit_on_a_connection_that_is_known_to_be_lost_was_not_sent(
        self, connect: Open, admin: redis.Redis
    ) -> None:
        client, other = connect(), connect()
        _cut(admin, client)
        request = client.request(put(b"a", was=0))
        with pytest.raises(StoreUnavailableError):
            client.store.read(client.snapshot, [Get(1, (b"a",))])
        with pytest.raises(StoreUnavailableError):
            client.store.commit(request)
        other.begin()
        assert other.keys() == []

    def test_commit_that_found_the_connection_broken_is_resolved(self, connect: Open, admin: redis.Redis) -> None:
        client = connect()
        _cut(admin, client)
        request = client.request(put(b"a", was=0))
        with pytest.raises((CommitUnknownError, StoreUnavailableError)):
            client.store.commit(request)
        assert client.store.resolve(request.transaction_id, request.snapshot.version) is None
        client.begin()
        assert client.keys() == []

    def test_server_that_is_gone_is_unavailable_and_comes_back(self, start: Start, connect: Open) -> None:
        server = start({"appendonly": "yes", "appendfsync": "always"})
        client = connect(server.location("nova"))
        client.write(put(b"a"))
        server.kill()
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match=f"{server.port}"):
                client.begin()
            assert not client.store.is_usable()
        with pytest.raises(StoreUnavailableError):
            client.store.resolve(b"x" * 16, 0)
        server.start()
        client.begin()
        assert client.record(b"a") == b"record"

    def test_server_without_the_scripts_is_given_them(self, start: Start, connect: Open) -> None:
        server = start()
        client, other = connect(server.location("nova")), connect(server.location("nova"))
        with admin_of(server) as admin:
            for number in range(3):
                admin.script_flush()
                version = client.write(put(b"a", b"%d" % number))
                admin.script_flush()
                result = other.store.read(None, [Get(1, (b"a",))], [Reserve(1, 1)])
                assert result.answers == [[Row(b"a", version, b"%d" % number)]]
                assert result.reserved == [number + 1]
                admin.script_flush()
                other.snapshot = result.snapshot
                assert other.keys() == [b"a"]

    def test_answer_that_does_not_come_in_time_is_unavailable_and_not_asked_for_twice(
        self, connect: Open, location: Location
    ) -> None:
        with Listener() as deaf:
            at = with_options(replace(location, port=deaf.port), read_timeout="0.2")
            with pytest.raises(StoreUnavailableError, match="Timeout"):
                RedisStore.open(at)
            assert deaf.connections == 1

    def test_request_that_is_not_taken_in_time_is_unavailable(self, location: Location) -> None:
        settings = read_settings(with_options(location, read_timeout="0.2"))
        with Deaf() as deaf:
            link = RedisLink(replace(settings, port=deaf.port))
            try:
                with pytest.raises(StoreUnavailableError, match="Timeout writing to socket"):
                    link.call([(b"SET", b"a", bytes(64 * 1024 * 1024))])
                assert not link.has_sent
                assert not link.is_usable()
            finally:
                deaf.done.set()

    def test_close_in_another_thread_ends_a_wait(self, connect: Open) -> None:
        link = link_of(connect())
        failed: list[BaseException] = []

        def wait() -> None:
            try:
                link.call([(b"BLPOP", b"rome:nothing-there", b"0")])
            except StoreUnavailableError as error:
                failed.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        while not link.has_sent:
            pass
        link.close()
        waiting.join()
        assert failed

    def test_interrupted_read_leaves_no_answers_behind(self, connect: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        client = connect()
        client.write(put(b"a"))
        client.begin()
        link = link_of(client)
        monkeypatch.setattr(link, "_channel", Interrupted(link._channel))
        with pytest.raises(KeyboardInterrupt):
            client.get(b"a")
        assert not link.is_usable()
        client.begin()
        assert client.record(b"a") == b"record"

    def test_answer_that_nobody_asked_for_makes_the_connection_unusable(self, connect: Open) -> None:
        client = connect()
        client.begin()
        assert client.store.is_usable()
        link_of(client)._reader.feed(b"+OK\r\n")
        assert not client.store.is_usable()

    def test_child_leaves_the_parents_connection_alone(self, connect: Open) -> None:
        client = connect()
        client.write(put(b"a"))
        client.begin()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                assert not client.store.is_usable()
                with pytest.raises(StoreUnavailableError):
                    client.get(b"a")
                client.begin()
                client.write(put(b"b"))
                client.store.close()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert client.record(b"a") == b"record"
        assert client.store.is_usable()
        client.begin()
        assert client.keys() == [b"a", b"b"]


class TestWaits:
    """Who ends a wait: the system, where that spares a trip two of its four system calls."""

    @pytest.fixture(params=["tcp", "unix"])
    def link(self, request: pytest.FixtureRequest, start: Start, connect: Open) -> RedisLink:
        at = Location("redis", "nova")
        if request.param == "unix":
            path = f"/tmp/rome-{token_hex(8)}.sock"
            start({"unixsocket": path})
            at = with_options(at, unix_socket=path)
        else:
            at = start().location("nova")
        return link_of(connect(with_options(at, read_timeout="2.5")))

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere Python polls")
    def test_socket_of_python_waits_in_the_system(self, link: RedisLink) -> None:
        assert link._connection is not None
        connected = link._connection._sock
        assert connected is not None
        assert connected.gettimeout() is None
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            seconds, microseconds = struct.unpack("ll", connected.getsockopt(socket.SOL_SOCKET, option, 16))
            assert seconds == 2
            assert abs(microseconds - 500_000) <= 10_000  # a tick of the kernel

    @pytest.mark.parametrize("is_early", [True, False], ids=["patched first", "patched after the import"])
    def test_green_threads_run_meanwhile(self, connect: Open, location: Location, is_early: bool) -> None:
        """One waits for what another one sends."""
        connect()
        parts = ["import eventlet\neventlet.monkey_patch()", "from rome.store.redis import RedisStore"]
        script = _GREEN.format("\n".join(parts if is_early else reversed(parts)), location)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False
        )
        assert done.stdout.split() == ["sent", "received"], done.stderr


_GREEN = """
{0}
from rome.store.location import Location

waiting, sending = RedisStore.open({1!r}), RedisStore.open({1!r})

def wait():
    waiting._link.call([(b"BLPOP", b"rome:green", b"0")])
    print("received")

green = eventlet.spawn(wait)
eventlet.sleep(0)
print("sent")
sending._link.call([(b"RPUSH", b"rome:green", b"x")])
green.wait()
"""


class TestRoundTrips:
    def test_opening_takes_one_or_two_for_a_new_database(self, connect: Open) -> None:
        assert connect().store.round_trips == 2
        assert connect().store.round_trips == 1

    def test_client_library_sends_nothing_of_its_own(
        self, connect: Open, admin: redis.Redis, location: Location
    ) -> None:
        connect()
        before = admin.info("commandstats")
        connect()
        after = admin.info("commandstats")
        calls = {
            name.removeprefix("cmdstat_"): stats["calls"] - before.get(name, {"calls": 0})["calls"]
            for name, stats in after.items()
        }
        assert {name: count for name, count in calls.items() if count} == {
            "info": 2,
            "hmget": 1,
        }  # one INFO is ours here

    def test_transaction_takes_its_reads_and_one(self, connect: Open) -> None:
        client = connect()
        client.write(put(b"a"))
        before = client.store.round_trips
        client.store.read(None, [Get(1, (b"a",))], [Reserve(1, 1)])
        client.snapshot = client.store.last_snapshot()
        client.commit(put(b"b", b"2", was=0), sequences={1: 10})
        client.store.release()
        client.store.is_usable()
        assert client.store.round_trips == before + 2


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


class TestAddress:
    def test_refused(self, location: Location) -> None:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        with pytest.raises(StoreUnavailableError, match=f"127.0.0.1:{port}"):
            RedisStore.open(replace(location, port=port))

    def test_no_such_host(self, location: Location) -> None:
        with pytest.raises(StoreUnavailableError, match=r"no-such-host\.invalid"):
            RedisStore.open(replace(location, host="no-such-host.invalid"))

    def test_logical_databases_of_the_server_are_apart(self, connect: Open, location: Location) -> None:
        client, other = connect(), connect(with_options(location, db="1"))
        try:
            client.write(put(b"a"))
            other.begin()
            assert other.keys() == []
        finally:
            RedisStore.drop_database(with_options(location, db="1"))

    @pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")
    def test_ipv6(self, start: Start) -> None:
        server = start({"bind": "127.0.0.1 ::1"})
        url = f"rome+redis://[::1]:{server.port}/nova"
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            connection.execute(sa.text("CREATE TABLE t (a INTEGER PRIMARY KEY)"))
            connection.execute(sa.text("INSERT INTO t VALUES (6)"))
            connection.commit()
        engine.dispose()
        with closing(rome.connect(f"rome+redis://{server.host}:{server.port}/nova")) as connection:
            assert connection.execute("SELECT a FROM t").fetchall() == [(6,)]
        server.stop()
        with pytest.raises(StoreUnavailableError, match=rf"\[::1\]:{server.port}"):
            rome.connect(url)

    def test_unix_socket(self, start: Start, connect: Open, tmp_path: Path) -> None:
        path = f"/tmp/rome-{token_hex(8)}.sock"  # a socket's path is short, and pytest's are not
        server = start({"unixsocket": path})
        client = connect(with_options(Location("redis", "nova"), unix_socket=path))
        client.write(put(b"a"))
        over_tcp = connect(server.location("nova"))
        over_tcp.begin()
        assert over_tcp.keys() == [b"a"]


class TestUsers:
    def test_password(self, start: Start, connect: Open) -> None:
        server = start({"requirepass": "sesame"})
        at = server.location("nova")
        connect(replace(at, password="sesame")).write(put(b"a"))
        for password in (None, "wrong"):
            with pytest.raises(AuthenticationError):
                RedisStore.open(replace(at, password=password))

    def test_password_where_none_is_wanted(self, location: Location) -> None:
        with pytest.raises(AuthenticationError):
            RedisStore.open(replace(location, username="joe", password="sesame"))


class TestServerState:
    @pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
    def test_eviction_is_refused_unless_allowed(self, start: Start, connect: Open, policy: str) -> None:
        server = start({"maxmemory-policy": policy})
        at = server.location("nova")
        with pytest.raises(StoreConfigError, match=f"{policy}.*allow_eviction=true"):
            RedisStore.open(at)
        connect(with_options(at, allow_eviction="true")).write(put(b"a"))

    def test_eviction_of_keys_that_expire_does_not_matter(self, start: Start, connect: Open) -> None:
        connect(start({"maxmemory-policy": "volatile-lru"}).location("nova")).write(put(b"a"))

    def test_newer_format_is_refused(self, connect: Open, admin: redis.Redis, location: Location) -> None:
        client = connect()
        client.begin()
        admin.hset(meta_key(location.database), "format", 2)
        with pytest.raises(FormatError, match="format 2"):
            RedisStore.open(location)
        with pytest.raises(FormatError):
            client.commit(put(b"a", was=0))

    def test_key_of_somebody_else_is_left_alone(self, admin: redis.Redis, location: Location) -> None:
        admin.set(meta_key(location.database), "mine")
        with pytest.raises(CorruptRecordError):
            RedisStore.open(location)
        assert admin.get(meta_key(location.database)) == b"mine"
        admin.delete(meta_key(location.database))

    def test_drop_touches_nothing_else(self, connect: Open, admin: redis.Redis, location: Location) -> None:
        other = f"{location.database}-other"
        mine = f"rome:{{{location.database}}}", f"{location.database}", f"rome:{location.database}:r1"
        for key in mine:
            admin.set(key, b"mine")
        connect().write(put(b"a"))
        connect(replace(location, database=other)).write(put(b"b"))
        RedisStore.drop_database(location)
        assert admin.delete(*mine) == len(mine)
        client = connect(replace(location, database=other))
        client.begin()
        assert client.keys() == [b"b"]
        assert other in RedisStore.list_databases(location)
        assert location.database not in RedisStore.list_databases(location)
        RedisStore.drop_database(replace(location, database=other))

    def test_server_busy_with_a_script_is_busy(self, start: Start, connect: Open) -> None:
        server = start({"busy-reply-threshold": "1"})
        client = connect(server.location("nova"))
        client.write(put(b"a"))
        with admin_of(server) as other, admin_of(server) as killer:
            running = threading.Thread(target=_run_for_ever, args=(other,))
            running.start()
            try:
                _wait_until_busy(killer)
                for use in (client.begin, lambda: client.commit(put(b"b", was=0))):
                    with pytest.raises(StoreBusyError):
                        use()
            finally:
                killer.script_kill()
                running.join()
        client.begin()
        assert client.keys() == [b"a"]

    def test_too_few_replicas_is_said_and_the_version_with_it(self, connect: Open, location: Location) -> None:
        client = connect(with_options(location, wait_replicas="1", wait_timeout="0.05"))
        with pytest.raises(NotReplicatedError, match="0 replicas") as caught:
            client.commit(put(b"a", was=0))
        assert client.begin().version == caught.value.version
        assert client.record(b"a") == b"record"

    def test_commit_whose_answer_was_lost_waits_for_replicas_when_it_is_resolved(
        self, connect: Open, location: Location, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = connect(with_options(location, wait_replicas="1", wait_timeout="0.05"))
        client.begin()
        request = client.request(put(b"a"))
        lose_answers(client, monkeypatch)
        with pytest.raises(CommitUnknownError):
            client.store.commit(request)
        with pytest.raises(NotReplicatedError, match="0 replicas") as caught:
            client.store.resolve(request.transaction_id, request.snapshot.version)
        assert client.begin().version == caught.value.version
        never_sent = client.request(put(b"b"))
        assert client.store.resolve(never_sent.transaction_id, never_sent.snapshot.version) is None

    def test_replicas_that_follow_suffice(self, start: Start, connect: Open) -> None:
        primary = start({"repl-diskless-sync-delay": "0"})
        start({"replicaof": f"{primary.host} {primary.port}"})
        with admin_of(primary) as admin:
            while send(admin, "WAIT", 1, 100) == 0:
                admin.set("try", "again")
        client = connect(with_options(primary.location("nova"), wait_replicas="1", wait_timeout="20"))
        client.write(put(b"a"))


def _run_for_ever(admin: redis.Redis) -> None:
    with pytest.raises(redis.ResponseError, match="killed"):
        admin.eval("while true do end", 0)


def _wait_until_busy(admin: redis.Redis) -> None:
    while True:
        try:
            admin.ping()
        except redis.ResponseError:
            return


class TestHealth:
    @pytest.fixture(autouse=True)
    def _forget(self) -> Iterator[None]:
        health._warned.clear()
        yield
        health._warned.clear()

    def test_no_persistence_is_warned_about_once(self, start: Start) -> None:
        location = start().location("nova")
        with pytest.warns(PersistenceWarning, match="appendonly is off"):
            RedisStore.open(location).close()
        with warnings.catch_warnings(action="error"):
            RedisStore.open(location).close()

    def test_the_warning_is_of_the_line_that_connects(self, start: Start) -> None:
        server = start()
        url = f"rome+redis://{server.host}:{server.port}/nova"
        with pytest.warns(PersistenceWarning) as caught:
            rome.connect(url).close()
        health._warned.clear()
        engine = sa.create_engine(url)
        with pytest.warns(PersistenceWarning) as through_sqlalchemy:
            engine.connect().close()
        engine.dispose()
        assert [each.filename for each in (*caught, *through_sqlalchemy)] == [__file__] * 2

    def test_warning_that_is_an_error_leaves_no_connection(self, start: Start) -> None:
        server = start()
        with warnings.catch_warnings(action="error"), pytest.raises(PersistenceWarning):
            RedisStore.open(server.location("nova"))
        with admin_of(server) as admin:
            assert len(admin.client_list()) == 1

    def test_persistence_is_not_warned_about(self, start: Start) -> None:
        with warnings.catch_warnings(action="error"):
            RedisStore.open(start({"appendonly": "yes"}).location("nova")).close()
            server = start()
            with admin_of(server) as admin:
                admin.set("any", "thing")
                admin.save()
            RedisStore.open(server.location("nova")).close()
            RedisStore.open(server.restart().location("nova")).close()

    @pytest.mark.parametrize(
        ("info", "message"),
        [
            ("run_id:x\r\nmaster_replid:y", "whether anything is persisted"),
            ("aof_enabled:1\r\nrun_id:x", "run id or the replication id"),
        ],
    )
    def test_what_a_managed_server_hides_is_warned_about(self, info: str, message: str) -> None:
        with pytest.warns(PersistenceWarning, match=message):
            Health(info.encode(), "db:6379").warn()

    @pytest.mark.parametrize("version", ["6.2.14", "3.0", ""])
    def test_old_server_is_refused(self, version: str) -> None:
        with pytest.raises(StoreConfigError, match=r"too old; 7\.0 or newer"):
            Health(f"redis_version:{version}".encode(), "db:6379").check(allow_eviction=False)

    @pytest.mark.parametrize("version", ["7.0.0", "7.2.4", "8.0.1", "10.0.0"])
    def test_new_server_is_accepted(self, version: str) -> None:
        with warnings.catch_warnings(action="error"):
            Health(f"redis_version:{version}".encode(), "db:6379").check(allow_eviction=False)


def test_no_command_is_answered_at_once(connect: Open) -> None:
    link = link_of(connect())
    assert link.call([]) == []
    assert link.call([(b"PING",)]) == [b"PONG"]
