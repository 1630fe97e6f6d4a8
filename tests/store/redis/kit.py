"""What the redis store's tests share beside their fixtures."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Self

import pytest
import redis
from hiredis import Reader

from rome.errors import StoreUnavailableError
from rome.store.location import Location
from rome.store.redis import RedisStore
from rome.store.redis.link import RedisLink, Reply
from rome.store.redis.names import meta_key
from rome.store.redis.wire import Command
from rome.testing.harness import SnapshotClient
from tests.support.cluster_servers import Cluster
from tests.support.redis_command import send
from tests.support.servers import Server

Open = Callable[..., SnapshotClient]
"""The fixture `connect`: opens a client of a database, by default the test's own on the shared server."""

Start = Callable[..., Server]
"""The fixture `start`: starts a server of the test's own: start(options, environment)."""


StartCluster = Callable[..., Cluster]
"""The fixture `start_cluster`: starts a cluster of the test's own; takes what Cluster takes after its folder."""


def with_options(location: Location, **options: str) -> Location:
    """The same place with more URL options."""
    return replace(location, options={**location.options, **options})


def link_of(client: SnapshotClient) -> RedisLink:
    """The client's connection, to be tampered with."""
    assert isinstance(client.store, RedisStore)
    assert client.store._link is not None
    return client.store._link


def commands_of(request: bytes) -> list[Command]:
    """The commands of a request, as the server reads them."""
    reader = Reader()
    reader.feed(request)
    commands = []
    while (words := reader.gets()) is not False:
        commands.append(tuple(words))
    return commands


def lose_answers(client: SnapshotClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break the client's connection when the server has answered what it sends next."""
    link = link_of(client)
    call = link.call

    def lose(commands: Sequence[Command]) -> list[Reply]:
        replies = call(commands)
        if not isinstance(replies[0], list):
            return replies  # it lacks the script, and is sent it next
        link.close()
        raise StoreUnavailableError("lost")

    monkeypatch.setattr(link, "call", lose)


def admin_of(server: Server) -> redis.Redis:
    """redis-py's own client of a server; for a with statement."""
    return redis.Redis(server.host, server.port)


def keys_of(admin: redis.Redis, location: Location) -> list[bytes]:
    """All keys of a database, sorted."""
    prefix = meta_key(location.database)[:-1].decode()
    return sorted(admin.scan_iter(match=re.sub(r"([\[\]*?\\])", r"\\\1", prefix) + "*", count=1000))


def dump(admin: redis.Redis, location: Location) -> dict[bytes, object]:
    """All of a database; see content()."""
    return {key: content(admin, key) for key in keys_of(admin, location)}


def content(admin: redis.Redis, key: bytes, *, asking: bool = False) -> object:
    """What is stored under a key: equal states are equal.

    The fields of a hash have no order: that of DUMP changes while the server makes the hash larger.

    Args:
        asking: the key is being imported by a node, which shows it only to who says so.
    """

    def ask(command: str) -> object:
        if asking:
            send(admin, "ASKING")
        return send(admin, command, key)

    try:
        pairs = ask("HGETALL")
    except redis.ResponseError:
        return ask("DUMP")
    if isinstance(pairs, dict):
        return pairs
    assert isinstance(pairs, list)
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


class Listener:
    """Takes connections on a free port; by itself it says nothing to anybody."""

    def __init__(self) -> None:
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]

    def serve(self, taken: socket.socket) -> None:
        """What to do with a connection; it is closed afterwards."""
        with suppress(OSError):
            while taken.recv(65_536):
                pass

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                taken, _ = self._socket.accept()
                self.connections += 1
                self._threads.append(threading.Thread(target=self._serve, args=(taken,)))
                self._threads[-1].start()

    def _serve(self, taken: socket.socket) -> None:
        with taken:
            self.serve(taken)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        """Waits for all connections to be closed by the other side."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join()
