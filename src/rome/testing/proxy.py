"""A TCP proxy between clients and a server that delays, counts round trips, and cuts connections on cue.

It keeps the order of bytes and does not limit bandwidth: any amount of data may be under way. A *round trip* is a
request and its answer; the next one begins when the client sends again after the server has. What a server sends before
any request is not counted.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Self

_CHUNK_BYTES = 256 * 1024


class Direction(Enum):
    """The direction in which bytes go."""

    REQUEST = "from the client to the server"
    ANSWER = "from the server to the client"


class Forwarding(Enum):
    """What becomes of bytes that have arrived at the proxy."""

    PASS = "pass them on"
    CUT = "close both ends; these bytes are lost"
    PASS_AND_CUT = "pass them on, then close both ends"
    HOLD = "swallow these and all that follow, and leave both ends open, like a network that silently drops packets"


Judge = Callable[[Direction, bytes], Forwarding]
"""Called for every piece of a stream that arrives, in the thread of its connection."""


def _pass_all(direction: Direction, data: bytes) -> Forwarding:
    return Forwarding.PASS


class Proxy:
    """Listens on 127.0.0.1:`port`, and connects each client to the server.

    Each connection has a thread. It uses select() and not an event loop, since epoll waits for whole milliseconds: half
    of a round trip of 2 ms would take 1 ms or 2.

    Attributes:
        delay_s: the round trip that is added, half of it each way; may change at any time. (TCP's own handshake, which
            would take another round trip, is not delayed, for all servers alike.)
        judge: decides what becomes of the bytes; may be replaced at any time.
        target: (host, port) of the server that later connections go to; may be replaced at any time.
        round_trips: on all connections so far.
    """

    def __init__(self, host: str, port: int, *, delay_s: float = 0.0, judge: Judge = _pass_all) -> None:
        self.delay_s = delay_s
        self.judge = judge
        self.round_trips = 0
        self.target = (host, port)
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="rome-proxy", daemon=True).start()

    def cut(self) -> int:
        """Close all connections, as a failing network does; what is under way is lost. Returns how many there were."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.close()
        return len(connections)

    def close(self) -> None:
        """Stop listening, and close all connections. Idempotent."""
        if self._listener.fileno() >= 0:
            with contextlib.suppress(OSError):  # some systems raise an error, and still do it
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), which close() does not
            self._listener.close()
        self.cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                if self._listener.fileno() < 0:
                    return
                continue  # the client has given up, or there are too many sockets: go on with the next one
            try:
                server = socket.create_connection(self.target)
            except OSError:
                client.close()
                continue
            connection = _Connection(self, client, server)
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), name="rome-proxy", daemon=True).start()

    def _serve(self, connection: _Connection) -> None:
        try:
            connection.relay()
        except (OSError, ValueError):  # an end was reset; ValueError: cut() has closed it while we were waiting
            pass
        finally:
            connection.close()
            with self._lock:
                self._connections.discard(connection)

    def _count(self) -> None:
        with self._lock:
            self.round_trips += 1


class _Piece(NamedTuple):
    """Bytes that are under way until `due`; no bytes if the sender has finished."""

    due: float
    data: bytes


class _Stream:
    """One direction of a connection."""

    def __init__(self, direction: Direction, source: socket.socket, target: socket.socket) -> None:
        self.direction = direction
        self.source, self.target = source, target
        self.under_way: deque[_Piece] = deque()
        self.reading = True
        self.finished = False

    def wait_s(self, now: float) -> float | None:
        """Seconds until its first bytes are due; None if there are none."""
        return max(0.0, self.under_way[0].due - now) if self.under_way else None

    def send(self) -> None:
        """Send the first piece, which is due, or as much of it as the socket takes."""
        due, data = self.under_way.popleft()
        if not data:
            self.finished = True
            self.target.shutdown(socket.SHUT_WR)
            return
        sent = self.target.send(data)
        if sent < len(data):
            self.under_way.appendleft(_Piece(due, data[sent:]))


class _Connection:
    """A client's socket and the socket to the server."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._ends = client, server
        for end in self._ends:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setblocking(False)
        self._streams = (
            _Stream(Direction.REQUEST, client, server),
            _Stream(Direction.ANSWER, server, client),
        )
        self._last: Direction | None = None
        self._holding = self._ending = False

    def relay(self) -> None:
        """Move bytes until both ends have finished, or one of them has failed."""
        while not all(stream.finished for stream in self._streams):
            now = time.perf_counter()
            waits = [wait for stream in self._streams if (wait := stream.wait_s(now)) is not None]
            if self._ending and not waits:
                return
            due = [stream for stream in self._streams if stream.wait_s(now) == 0]
            waits = [wait for wait in waits if wait]
            readable, writable, _ = select.select(
                [stream.source for stream in self._streams if stream.reading],
                [stream.target for stream in due],
                [],
                min(waits, default=None),
            )
            for stream in due:
                if stream.target in writable:
                    stream.send()
            for stream in self._streams:
                if stream.reading and stream.source in readable and not self._take(stream):
                    return

    def _take(self, stream: _Stream) -> bool:
        """Read what has arrived; returns False if the connection is to be cut."""
        data = stream.source.recv(_CHUNK_BYTES)
        due = time.perf_counter() + self._proxy.delay_s / 2
        if not data:
            stream.reading = False
            stream.under_way.append(_Piece(due, b""))
            return True
        verdict = Forwarding.HOLD if self._holding else self._proxy.judge(stream.direction, data)
        if verdict is Forwarding.CUT:
            return False
        if verdict is Forwarding.HOLD:
            self._holding = True
            return True
        if stream.direction is Direction.REQUEST and self._last is not Direction.REQUEST:
            self._proxy._count()
        self._last = stream.direction
        stream.under_way.append(_Piece(due, data))
        if verdict is Forwarding.PASS_AND_CUT:
            self._ending = True
            for each in self._streams:
                each.reading = False
        return True

    def close(self) -> None:
        """Close both sockets. Idempotent; another thread may call it, and the relaying one wakes up."""
        for end in self._ends:
            with contextlib.suppress(OSError):  # it is closed, perhaps by the other side
                end.shutdown(socket.SHUT_RDWR)
            end.close()
