"""The keeper's thread, and what becomes of pins whose process or server goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

import rome
from rome.dbapi import Connection
from rome.dbapi.admin import pins
from rome.errors import ConflictError, Error, PersistenceWarning, SnapshotLostError, StoreUnavailableError
from rome.store import keeper
from tests.store.redis.kit import admin_of
from tests.support.databases import Connect, database, on
from tests.support.servers import Server

RETENTION_S = 0.3

CHILD = """
import sys
import rome
from rome.store import keeper
keeper.LEAST_LEASE_S = 0.5
connection = rome.connect(sys.argv[1])
connection.execute("SELECT n FROM t WHERE id = 1").fetchall()
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=on("memory", "lmdb", "redis"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def writer(url: str, connect: Connect) -> Connection:
    filler = connect()
    filler.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
    filler.execute("INSERT INTO t VALUES (1, 0), (2, 0)")
    filler.commit()
    rome.set_retention(url, seconds=RETENTION_S)
    return connect()


def overwrite(writer: Connection) -> None:
    for _ in range(3):
        writer.execute("UPDATE t SET n = n + 1")
        writer.commit()


def until(holds: Callable[[], bool]) -> None:
    """Wait for what happens in another thread or process."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "nothing happens"
        time.sleep(0.02)


def test_thread_pins_a_transaction_that_makes_no_statement(url: str, writer: Connection, connect: Connect) -> None:
    long = connect()
    assert long.execute("SELECT n FROM t WHERE id = 1").fetchall() == [(0,)]
    until(lambda: bool(pins(url)))
    overwrite(writer)
    time.sleep(2 * RETENTION_S)
    rome.trim(url)
    assert long.execute("SELECT n FROM t WHERE id = 2").fetchall() == [(0,)]
    long.rollback()
    until(lambda: not pins(url))


def test_thread_goes_on_after_a_fork_and_the_child_has_none(url: str, writer: Connection, connect: Connect) -> None:
    long = connect()
    long.execute("SELECT n FROM t WHERE id = 1").fetchall()
    until(lambda: bool(pins(url)))
    pid = os.fork()
    if pid == 0:
        idle = not keeper.KEEPER._thread.is_running and not keeper.KEEPER._stores and not keeper.KEEPER._pinned
        os._exit(0 if idle else 1)
    assert os.waitpid(pid, 0)[1] == 0
    overwrite(writer)
    time.sleep(2 * RETENTION_S)
    rome.trim(url)
    assert long.execute("SELECT n FROM t WHERE id = 2").fetchall() == [(0,)]


def test_killed_process_loses_its_pin_at_the_deadline(url: str, writer: Connection) -> None:
    if "memory" in url:
        pytest.skip("one process only")
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        until(lambda: bool(pins(url)))
        assert pins(url)[0].owner.startswith(f"{child.pid}@")
        overwrite(writer)
        child.send_signal(signal.SIGKILL)
        child.wait()
    until(lambda: not pins(url))
    time.sleep(RETENTION_S)
    assert rome.trim(url) > 0


def test_process_that_ends_takes_its_pin_along(url: str, writer: Connection) -> None:
    if "memory" in url:
        pytest.skip("one process only")
    child = CHILD.replace("keeper.LEAST_LEASE_S = 0.5", "keeper.LEAST_LEASE_S = 600.0")
    with subprocess.Popen(
        [sys.executable, "-c", child, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        until(lambda: bool(pins(url)))
        process.communicate()
    assert pins(url) == []


@pytest.mark.redis
@pytest.mark.parametrize("keeps_writes", [True, False])
def test_restarted_server_has_no_pins_and_refuses_the_transactions(tmp_path: Path, keeps_writes: bool) -> None:
    """Also if it comes back without its last commits: what it then has at these versions is another history."""
    options = {"appendonly": "yes", "appendfsync": "always"} if keeps_writes else {"save": ""}
    server = Server("redis", tmp_path, options).start()
    try:
        url = f"rome+redis://{server.host}:{server.port}/nova"
        with nullcontext() if keeps_writes else pytest.warns(PersistenceWarning):
            writer = rome.connect(url)
        writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
        writer.execute("INSERT INTO t VALUES (1, 0), (2, 0)")
        writer.commit()
        rome.set_retention(url, seconds=RETENTION_S)
        if not keeps_writes:
            with admin_of(server) as admin:
                admin.save()
        long = rome.connect(url, max_replays=0, isolation_level="SNAPSHOT")
        long.execute("SELECT n FROM t WHERE id = 1").fetchall()
        long.execute("UPDATE t SET n = 100 WHERE id = 1")
        until(lambda: bool(pins(url)))
        overwrite(writer)
        if keeps_writes:
            server.restart()
        else:
            server.kill()
            server.start()
        with closing(rome.connect(url)) as other:
            assert other.execute("SELECT count(*) FROM t").fetchall() == [(2,)]
        assert pins(url) == []
        with pytest.raises(Error) as caught:
            long.execute("SELECT n FROM t WHERE id = 2")
        assert isinstance(caught.value, ConflictError | StoreUnavailableError)
        with pytest.raises(Error):
            long.commit()
        long.close()
        writer.close()
    finally:
        server.stop()


@pytest.mark.redis
def test_keeper_tells_an_idle_transaction_of_a_new_history(
    redis_server: Server, request: pytest.FixtureRequest
) -> None:
    with database("redis", request) as url:
        writer = rome.connect(url)
        writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
        writer.commit()
        rome.set_retention(url, seconds=RETENTION_S)
        long = rome.connect(url, max_replays=0)
        long.execute("SELECT n FROM t WHERE id = 2").fetchall()
        with admin_of(redis_server) as admin:  # as if another server had served meanwhile
            [key] = admin.keys(f"rome:{{{url.rpartition('/')[2]}}}:m")
            admin.hset(key, "incarnation", b"another history!")
        store = long.session._context.store
        until(lambda: store.held is not None and store.held.failure is not None)
        before = store.round_trips
        with pytest.raises(SnapshotLostError):
            long.execute("SELECT n FROM t WHERE id = 2")
        assert store.round_trips == before, "it fails without asking"
        long.close()
        writer.close()
