"""Real servers that refuse: what each refusal becomes, and that nothing was written and the same connection goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import redis

from rome.errors import (
    AuthenticationError,
    Error,
    StoreBusyError,
    StoreConfigError,
    StoreFullError,
    StoreReadOnlyError,
)
from rome.store.redis import RedisStore
from rome.testing.harness import SnapshotClient, put
from tests.store.redis.kit import Open, Start, admin_of, dump
from tests.support.redis_command import send
from tests.support.servers import Server


def _fill(client: SnapshotClient) -> None:
    client.write(put(b"a", b"before"))
    client.begin()


def _fail_to_save(server: Server, admin: redis.Redis) -> None:
    (server.directory / "dump.rdb" / "x").mkdir(parents=True)  # which fails for root, too
    admin.config_set("save", "3600 1")
    admin.bgsave()
    while admin.info("persistence")["rdb_last_bgsave_status"] == "ok":
        time.sleep(0.01)


def _become_replica(server: Server, admin: redis.Redis) -> None:
    send(admin, "REPLICAOF", "127.0.0.1", 1)  # where there is no server


REFUSALS: dict[str, tuple[Callable[[Server, redis.Redis], object], Callable[[redis.Redis], object], type[Error]]] = {
    "MISCONF": (
        _fail_to_save,
        lambda admin: admin.config_set("stop-writes-on-bgsave-error", "no"),
        StoreReadOnlyError,
    ),
    "NOREPLICAS": (
        lambda _, admin: admin.config_set("min-replicas-to-write", 1),
        lambda admin: admin.config_set("min-replicas-to-write", 0),
        StoreReadOnlyError,
    ),
    "OOM": (
        lambda _, admin: admin.config_set("maxmemory", 1),
        lambda admin: admin.config_set("maxmemory", 0),
        StoreFullError,
    ),
    "READONLY": (
        _become_replica,
        lambda admin: send(admin, "REPLICAOF", "NO", "ONE"),
        StoreReadOnlyError,
    ),
}
"""How a server is made to refuse writes, and then to take them again; what its refusal becomes."""


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refused_commit_wrote_nothing_and_the_next_one_is_taken(start: Start, connect: Open, refusal: str) -> None:
    refuse, mend, expected = REFUSALS[refusal]
    server = start()
    location = server.location("nova")
    client = connect(location)
    _fill(client)
    with admin_of(server) as admin:
        before = dump(admin, location)
        client.begin()
        request = client.request(put(b"a", b"refused"))
        refuse(server, admin)
        with pytest.raises(expected) as caught:
            client.store.commit(request)
        assert type(caught.value) is expected
        assert str(server.port) in str(caught.value)
        assert dump(admin, location) == before
        client.begin()
        assert client.record(b"a") == b"before"  # reading goes on meanwhile
        mend(admin)
    client.begin()
    client.commit(put(b"a", b"after"))
    client.begin()
    assert client.record(b"a") == b"after"
    server.kill()  # some would not end without having saved


def test_replica_without_its_primary_is_busy(start: Start) -> None:
    """MASTERDOWN"""
    server = start({"replica-serve-stale-data": "no"})
    with admin_of(server) as admin:
        _become_replica(server, admin)
    with pytest.raises(StoreBusyError, match="MASTER"):
        RedisStore.open(server.location("nova"))


def test_node_of_a_cluster_without_slots_is_busy(start: Start) -> None:
    """CLUSTERDOWN"""
    server = start({"cluster-enabled": "yes"})
    with pytest.raises(StoreBusyError, match="Hash slot not served"):
        RedisStore.open(server.location("nova"))


def test_node_of_a_cluster_that_has_not_the_slot(start: Start) -> None:
    """MOVED"""
    server = start({"cluster-enabled": "yes", "cluster-require-full-coverage": "no"})
    other = start({"cluster-enabled": "yes", "cluster-require-full-coverage": "no"})
    with admin_of(server) as admin, admin_of(other) as owner:
        send(owner, "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        send(admin, "CLUSTER", "MEET", other.host, other.port)
        deadline = time.monotonic() + 60
        while "MOVED" not in _answer(admin) and time.monotonic() < deadline:
            time.sleep(0.05)
    with pytest.raises(StoreConfigError):
        RedisStore.open(server.location("nova"))


def _answer(admin: redis.Redis) -> str:
    try:
        return str(send(admin, "GET", "any"))
    except redis.exceptions.MovedError:
        return "MOVED"
    except redis.RedisError as error:
        return str(error)


def test_server_that_loads_its_data_is_busy(start: Start) -> None:
    """LOADING"""
    server = start()
    with admin_of(server) as admin:
        for number in range(500):
            admin.set(f"key {number}", "x" * 100)
        admin.save()
    server.stop()
    # 500 keys of 2 ms each: longer than anybody takes to ask, and it serves between them.
    server.options |= {"key-load-delay": "2000", "loading-process-events-interval-bytes": "1024"}
    starting = threading.Thread(target=server.start)
    starting.start()
    try:
        deadline = time.monotonic() + 60
        error: Error | None = None
        while not isinstance(error, StoreBusyError) and time.monotonic() < deadline:
            with pytest.raises(Error) as caught:  # at first it does not listen
                RedisStore.open(server.location("nova"))
            error = caught.value
        assert "loading" in str(error)
    finally:
        starting.join()


@pytest.mark.parametrize("password", [None, "wrong"])
def test_server_that_wants_another_password(start: Start, password: str | None) -> None:
    """NOAUTH and WRONGPASS"""
    server = start({"requirepass": "sesame"})
    with pytest.raises(AuthenticationError):
        RedisStore.open(replace(server.location("nova"), password=password))


@pytest.mark.parametrize("command", ["evalsha", "hset"])
def test_permission_that_is_taken_away_later(start: Start, connect: Open, command: str) -> None:
    """NOPERM, of a command and of what a script runs"""
    server = start()
    with admin_of(server) as admin:
        send(admin, "ACL", "SETUSER", "joe", "on", ">pw", "~*", "+@all")
        location = server.location("nova")
        client = connect(replace(location, username="joe", password="pw"))
        _fill(client)
        client.begin()
        request = client.request(put(b"a", b"refused"))
        send(admin, "ACL", "SETUSER", "joe", f"-{command}")
        before = dump(admin, location)
        with pytest.raises(AuthenticationError):
            client.store.commit(request)
        assert dump(admin, location) == before
