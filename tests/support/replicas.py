"""A primary and a replica near us, whose link can be slowed down and stopped."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Self

import redis

from rome.testing.proxy import Direction, Forwarding, Proxy
from tests.support.servers import Server

SYNC_TIMEOUT_S = 30.0


class NearReplica:
    """A replica of `primary`, which it follows by way of a proxy.

    Attributes:
        link: the proxy between the two; `link.delay_s` is how far the replica is behind, twice.
    """

    def __init__(self, primary: Server, start: Callable[[Mapping[str, str]], Server]) -> None:
        self.primary = primary
        self.link = Proxy(primary.host, primary.port)
        options = {
            "appendonly": "yes",
            "appendfsync": "no",
            "replicaof": f"127.0.0.1 {self.link.port}",
            "repl-diskless-load": "disabled",
        }
        self.server = start(options)
        self.await_all()

    def url(self, database: str, **options: str) -> str:
        """Of a database at the primary, which is read at the replica; with time for a machine that does much else."""
        options = {"near_timeout": "2", **options}
        more = "".join(f"&{name}={value}" for name, value in options.items())
        near = f"{self.server.host}:{self.server.port}"
        return f"rome+redis://{self.primary.host}:{self.primary.port}/{database}?reads=near&near={near}{more}"

    def await_all(self) -> None:
        """Wait until the replica has all that the primary has."""
        with redis.Redis(self.primary.host, self.primary.port) as primary, self.client() as replica:
            deadline = time.monotonic() + SYNC_TIMEOUT_S
            while time.monotonic() < deadline:
                there, here = primary.info("replication"), replica.info("replication")
                if (
                    here.get("master_link_status") == "up"
                    and here.get("slave_repl_offset") == there["master_repl_offset"]
                    and there["connected_slaves"]
                ):
                    return
                time.sleep(0.01)
        raise AssertionError("the replica does not follow")

    @contextmanager
    def behind(self) -> Iterator[None]:
        """Inside the block the replica gets nothing new, and does not know it."""
        before, self.link.judge = self.link.judge, _hold_answers
        self.await_silence()
        try:
            yield
        finally:
            self.link.judge = before
            self.link.cut()

    def await_silence(self) -> None:
        """Have the proxy swallow a piece of the stream, so that it swallows all that follows."""
        with redis.Redis(self.primary.host, self.primary.port) as primary:
            primary.execute_command("PUBLISH", "rome-test", "hold")
        time.sleep(0.05)

    def client(self) -> redis.Redis:
        return redis.Redis(self.server.host, self.server.port)

    def pause(self) -> None:
        """It keeps its connections and answers nothing, until `resume`."""
        os.kill(self.server.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.server.pid, signal.SIGCONT)

    def restore(self) -> None:
        """Both run, and the replica follows at once and is up to date, whatever a test has done to them."""
        self.link.delay_s = 0.0
        for server in (self.primary, self.server):
            if server.is_running():
                os.kill(server.pid, signal.SIGCONT)
            else:
                server.start()
        with self.client() as client:
            client.replicaof("127.0.0.1", self.link.port)
        self.await_all()


class ReplicationStream:
    """What a primary sends to its replicas from now on: a replica that only listens."""

    def __init__(self, primary: Server) -> None:
        self._socket = socket.create_connection((primary.host, primary.port), timeout=SYNC_TIMEOUT_S)
        self._file = self._socket.makefile("rb")
        self._socket.sendall(b"SYNC\r\n")
        head = b"\n"
        while head == b"\n":  # it says so that it is still there
            head = self._file.readline()
        assert head.startswith(b"$"), head
        if head.startswith(b"$EOF:"):
            mark, read = head[5:].strip(), b""
            while not read.endswith(mark):
                read += self._file.read(1)
        else:
            self._file.read(int(head[1:]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def commands_up_to(self, last: str) -> list[str]:
        """The names of the commands, until the one of this name."""
        names: list[str] = []
        while not names or names[-1] != last:
            count = int(self._file.readline()[1:])
            words = [self._file.read(int(self._file.readline()[1:]) + 2)[:-2] for _ in range(count)]
            names.append(words[0].decode().upper())
        return names


def _hold_answers(direction: Direction, data: bytes) -> Forwarding:
    return Forwarding.HOLD if direction is Direction.ANSWER else Forwarding.PASS


def await_that(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds, which takes as long as it takes on a busy machine."""
    deadline = time.monotonic() + SYNC_TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
