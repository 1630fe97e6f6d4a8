"""One socket to one server. A pipeline of commands is one write and one read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from inspect import signature
from socket import socket
from ssl import SSLCertVerificationError, SSLSocket
from typing import Any, NoReturn

from hiredis import Reader
from redis import exceptions
from redis.backoff import NoBackoff
from redis.connection import (
    AbstractConnection,
    Connection,
    DefaultParser,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.retry import Retry

from rome.errors import StoreUnavailableError
from rome.store.redis.channel import open_channel
from rome.store.redis.failures import checked, translate
from rome.store.redis.settings import RedisSettings
from rome.store.redis.wire import Command, pack

Reply = Any
"""A reply as hiredis parses RESP2: bytes, int, None, or a list of these; or an exceptions.ResponseError."""


_Lost = exceptions.ConnectionError

_INCOMPLETE = object()
"""What the reader gives for a reply of which bytes are missing."""


class _TlsConnection(SSLConnection):
    """Gives the TLS handshake the connect timeout, since it is part of connecting; redis-py gives it the read timeout.

    Each of the handshake's two waits may last for the connect timeout.
    """

    is_shaking_hands = False
    """Whether the sockets are connected, and TLS is not yet."""

    def _wrap_socket_with_ssl(self, sock: socket) -> SSLSocket:
        sock.settimeout(self.socket_connect_timeout)
        self.is_shaking_hands = True
        secure: SSLSocket = super()._wrap_socket_with_ssl(sock)  # type: ignore[no-untyped-call]
        self.is_shaking_hands = False
        secure.settimeout(self.socket_timeout)
        return secure


class RedisLink:
    """A connection that is lost at its first failure, and never used again: whoever wants another one makes it.

    RESP2, since nothing here needs RESP3, and it needs no HELLO. redis-py connects, and closes. Commands and replies go
    over its socket without it: that saves a trip of three commands 4 of 15 µs of CPU. Its own retries are off: it once
    sent one command eleven times, and a commit must not be sent twice by anybody but us.

    Attributes:
        settings: whose host and port are the server's own.
    """

    def __init__(self, settings: RedisSettings) -> None:
        """Connect the socket, without sending anything.

        Raises:
            StoreUnavailableError: there is no answer or no such host, the server refused, or TLS failed.
        """
        self.settings = settings
        self.server = settings.server
        self._pid = os.getpid()
        self._owes = False  # whether replies have not been read yet
        self._connection: Connection | UnixDomainSocketConnection | None = None
        self._reader = Reader(
            protocolError=exceptions.InvalidResponse,
            replyError=DefaultParser.parse_error,
            notEnoughData=_INCOMPLETE,
        )
        connection = _make_connection(settings)
        try:
            connection.connect()  # type: ignore[no-untyped-call]
        except exceptions.RedisError as error:
            failure = translate(error, self.server)
            if isinstance(connection, _TlsConnection) and connection.is_shaking_hands:
                failure.args = (f"{failure}. {_NOT_TRUSTED if _is_distrust(error) else _NO_TLS}",)
            raise failure from error
        self._connection = connection
        self._channel = open_channel(connection, settings.read_timeout_s)

    @property
    def has_sent(self) -> bool:
        """The last byte of what was last called has been sent."""
        return self._channel.has_sent

    def call(self, commands: Sequence[Command]) -> list[Reply]:
        """Send the commands and wait for all replies: one round trip; see exchange()."""
        return self.exchange(b"".join(map(pack, commands)), len(commands))

    def exchange(self, request: bytes, how_many: int) -> list[Reply]:
        """Send so many commands, packed, and wait for all replies. A reply that is an error is in the list.

        Raises:
            StoreUnavailableError: the connection broke; what was sent may have been done. Unless `has_sent`, the last
                command was not.
            StoreBusyError, AuthenticationError: the server will not serve.
        """
        if self._connection is None or self._owes or self._pid != os.getpid():
            self._refuse()
        if not how_many:
            return []
        self._owes = True
        channel, reader = self._channel, self._reader
        replies: list[Reply] = []
        try:
            received = channel.exchange(request)
            while True:
                if not received:
                    raise exceptions.ConnectionError("Connection closed by server.")
                reader.feed(received)
                while len(replies) < how_many:
                    reply = reader.gets()
                    if reply is _INCOMPLETE:
                        break
                    if isinstance(reply, _Lost):  # it serves nobody, or not this user
                        raise reply
                    replies.append(reply)
                else:
                    break
                received = channel.receive()
        except exceptions.RedisError as error:
            self.close()
            raise translate(error, self.server) from error
        except OSError as error:
            self.close()
            lost = self._lost(error)
            raise translate(lost, self.server) from lost
        except BaseException:
            # Of what came between two replies the rest would be taken for those of the next command.
            self.close()
            raise
        self._owes = False
        return replies

    def _lost(self, error: OSError) -> exceptions.RedisError:
        """What redis-py raises when its socket fails."""
        doing = "reading from" if self.has_sent else "writing to"
        if isinstance(error, (TimeoutError, BlockingIOError)):  # the latter from a socket that waits in the system
            return exceptions.TimeoutError(f"Timeout {doing} socket")
        return exceptions.ConnectionError(f"Error while {doing} socket: {error}")

    def _refuse(self) -> NoReturn:
        """Raise why this connection cannot be used."""
        self._channel.has_sent = False
        owes = self._owes and self._pid == os.getpid() and self._connection is not None
        self.close()
        reason = "an exception came before all replies were read" if owes else "the connection is lost"
        raise StoreUnavailableError(f"{self.server}: {reason}")

    def is_usable(self) -> bool:
        """Whether it is not known to be lost. It looks at the socket; no round trip."""
        if self._connection is None or self._owes or os.getpid() != self._pid:
            return False
        # Nothing was asked, so anything that can be read means that the server has closed the connection.
        if not self._channel.is_quiet() or self._reader.has_data():
            self.close()
            return False
        return True

    def close(self) -> None:
        """Close the socket. Idempotent.

        In a forked child the parent's socket is closed and not shut down; redis-py looks at the pid.
        """
        if self._connection is not None:
            self._channel.forget()
            self._connection.disconnect()  # type: ignore[no-untyped-call]
            self._connection = None


_NO_TLS = "The TLS handshake was not completed: if this is a port without TLS, leave out ssl=true"
_NOT_TRUSTED = (
    "ssl_ca_certs=FILE names the authority that the server's certificate is from; ssl_check_hostname=false takes one "
    "that is for another host"
)
_TLS = "The connection was closed before the first answer: if this is a TLS port, write ssl=true in the URL"
_CLOSED = (exceptions.ConnectionError, exceptions.InvalidResponse)


def _is_distrust(error: BaseException | None) -> bool:
    """Whether the cause was a certificate; redis-py raises an error of its own instead."""
    while error is not None and not isinstance(error, SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


def greet_server(settings: RedisSettings, commands: Sequence[Command]) -> tuple[RedisLink, list[Reply]]:
    """Connect, authenticate, and send `commands`: one round trip. Replies that are errors are among the others.

    Raises:
        StoreUnavailableError, StoreBusyError, AuthenticationError: there is no usable connection.
    """
    hello: list[Command] = []
    if settings.username is not None or settings.password is not None:
        hello.append((b"AUTH", settings.username or "default", settings.password or ""))
    if settings.db:
        hello.append((b"SELECT", b"%d" % settings.db))
    link = RedisLink(settings)
    try:
        try:
            replies = link.call([*hello, *commands])
        except StoreUnavailableError as error:
            if settings.tls is None and not settings.unix_socket and isinstance(error.__cause__, _CLOSED):
                error.args = (f"{error}. {_TLS}",)
            raise
        for reply in replies[: len(hello)]:
            checked(reply, link.server)
    except BaseException:
        link.close()
        raise
    return link, replies[len(hello) :]


_NAMELESS: dict[str, None] = (
    {"driver_info": None}
    if "driver_info" in signature(AbstractConnection).parameters
    else {"lib_name": None, "lib_version": None}  # redis-py 6
)
"""Without these, each connection sends the library's name and version to the server. That takes two more round trips,
and redis-py looks the version up in the file system: half of the time that opening a connection takes."""


def _make_connection(settings: RedisSettings) -> Connection | UnixDomainSocketConnection:
    common: dict[str, Any] = {
        "socket_timeout": settings.read_timeout_s,
        "socket_connect_timeout": settings.connect_timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        **_NAMELESS,
    }
    connection: Connection | UnixDomainSocketConnection
    if settings.unix_socket:
        # redis-py's base class declares abstract properties that this subclass lacks.
        connection = UnixDomainSocketConnection(path=settings.unix_socket, **common)  # type: ignore[abstract, no-untyped-call]
    elif settings.tls is not None:
        connection = _TlsConnection(host=settings.host, port=settings.port, **settings.tls, **common)
    else:
        connection = Connection(host=settings.host, port=settings.port, **common)  # type: ignore[no-untyped-call]
    return connection
