"""A TCP proxy between a client and a server: delays, counts round trips, cuts connections on cue.

It keeps the order of bytes and adds no limit of bandwidth: what is under way is as much as was sent. A *round trip* is
a request and its answer: the client sends again after the server has. What the server says first is no request.
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
    """Which way bytes go."""

    REQUEST = "from the client to the server"
    ANSWER = "from the server to the client"


class Forwarding(Enum):
    """What becomes of bytes that have arrived at the proxy."""

    PASS = "pass them on"
    CUT = "close both ends; these bytes are lost"
    PASS_AND_CUT = "pass them on, then close both ends"
    HOLD = "swallow these and all that follow, and leave both ends open, as a network does that has lost its way"


Judge = Callable[[Direction, bytes], Forwarding]
"""Asked about every piece of a stream that arrives, in the thread of its connection."""


def _pass_all(direction: Direction, data: bytes) -> Forwarding:
    return Forwarding.PASS


class Proxy:
    """Listens on 127.0.0.1:`port`, and connects each client to the server.

    One thread per connection. select() and not an event loop: epoll waits whole milliseconds, and half of a round
    trip of 2 ms would become 1 or 2.

    Attributes:
        delay_s: round trip that is added, half of it each way; may change at any time. (That TCP's own handshake
            would take another one is left out, for all servers alike.)
        judge: decides what becomes of the bytes; may be replaced at any time.
        target: the server that later connections go to, (host, port); may be replaced at any time.
        round_trips: of all connections so far.
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
        """Stop listening, and cut. Idempotent."""
        if self._listener.fileno() >= 0:
            with contextlib.suppress(OSError):  # some systems refuse it, and do it
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
                continue  # the client has given up, or there are too many sockets: the next one may be luckier
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
    """Bytes that are under way until `due`; empty: the sender has finished."""

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
        """Until its first bytes are due; None: there are none."""
        return max(0.0, self.under_way[0].due - now) if self.under_way else None

    def send(self) -> None:
        """Send some of the first piece, which is due, as much as there is room for."""
        due, data = self.under_way.popleft()
        if not data:
            self.finished = True
            self.target.shutdown(socket.SHUT_WR)
            return
        sent = self.target.send(data)
        if sent < len(data):
            self.under_way.appendleft(_Piece(due, data[sent:]))


class _Connection:
    """A client's socket and its server's."""

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
        """Move bytes until both ends have finished, or one has failed."""
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
        """Read what has arrived; False when the connection is to be cut."""
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
        """Idempotent; may be called by another thread, which it wakes."""
        for end in self._ends:
            with contextlib.suppress(OSError):  # it is closed, or the other side was first
                end.shutdown(socket.SHUT_RDWR)
            end.close()
