"""The socket of a link: a request goes out, and what comes back is handed on as bytes."""

from __future__ import annotations

import _socket
import select
import struct
import sys
from collections.abc import Callable
from socket import SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET, socket
from ssl import SSLSocket
from typing import cast

from redis import exceptions
from redis.connection import Connection, UnixDomainSocketConnection

from rome.compiled.channels import Channel, compiled_channel

_timeval = struct.Struct("ll")
"""How long a socket waits, as the system takes it: seconds and microseconds."""
_HAS_TIMEVAL = sys.platform == "linux" and _timeval.size == 16

_RECEIVED_BYTES = 64 * 1024
"""The most that is taken from the socket at a time; channel.c takes as much."""


def open_channel(connection: Connection | UnixDomainSocketConnection, timeout_s: float) -> Channel:
    """The way to use a connection's socket: compiled where that is there, and the socket is Python's own."""
    connected = cast(socket, connection._sock)
    make_channel = compiled_channel() if _let_system_wait(connected, timeout_s) else None
    return SocketChannel(connection, connected) if make_channel is None else make_channel(connected.fileno())


class SocketChannel:
    """A channel in Python, for every kind of socket. Its methods are described at `Channel`."""

    def __init__(self, connection: Connection | UnixDomainSocketConnection, connected: socket) -> None:
        self.has_sent = False
        self._connection = connection
        self._connected = connected
        self._poll: Callable[[int], object] | None = None
        if hasattr(select, "poll"):  # eventlet takes it away
            poll = select.poll()
            poll.register(connected, select.POLLIN)
            self._poll = poll.poll
        self._pending = connected.pending if isinstance(connected, SSLSocket) else None

    def exchange(self, request: bytes) -> bytes:
        """Send, then receive."""
        self.has_sent = False
        self._connected.sendall(request)
        self.has_sent = True
        return self._connected.recv(_RECEIVED_BYTES)

    def receive(self) -> bytes:
        """Receive more."""
        return self._connected.recv(_RECEIVED_BYTES)

    def is_quiet(self) -> bool:
        """Ask the system, and TLS for what it has taken from the system."""
        try:
            readable = self._poll(0) if self._poll is not None else self._connection.can_read(timeout=0)
        except exceptions.RedisError:
            return False
        return not readable and not (self._pending is not None and self._pending())

    def forget(self) -> None:
        """Python's socket knows by itself that it has been closed."""


def _let_system_wait(connected: socket, timeout_s: float) -> bool:
    """Let the system end a wait of this socket, and not Python, if the socket is Python's own; whether it is.

    Python polls such a socket before each call: each of the two polls of a trip is a system call, in which other
    threads may take the interpreter, and keep it for 5 ms. A wait that is too long then raises BlockingIOError; after
    a signal that Python handles it begins anew. TLS and green threads have sockets that wait in another way.
    """
    kind = type(connected)
    if not _HAS_TIMEVAL or (kind.recv, kind.sendall) != (_socket.socket.recv, _socket.socket.sendall):
        return False
    microseconds = max(1, round(timeout_s * 1_000_000))
    limit = _timeval.pack(*divmod(microseconds, 1_000_000))
    connected.setsockopt(SOL_SOCKET, SO_RCVTIMEO, limit)
    connected.setsockopt(SOL_SOCKET, SO_SNDTIMEO, limit)
    connected.settimeout(None)
    return True
