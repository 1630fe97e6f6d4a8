"""One HTTP/2 connection to one member of an etcd cluster: calls of gRPC, side by side on one blocking socket.

grpcio would do the same in threads of its own, which stop every green thread of eventlet while they wait. Here only a
plain socket waits, so waiting is cooperative wherever the socket is.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Sequence

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from msgspec import Struct

from rome.store.option_values import Address, shown

_hpack = logging.getLogger("hpack")
if _hpack.level == logging.NOTSET:  # at DEBUG it logs each byte of the headers, tokens included
    _hpack.setLevel(logging.INFO)

WINDOW_BYTES = 2**30
"""How much of an answer the server may send before it waits for us: more than any answer has."""

READ_BYTES = 256 * 1024


class LinkLostError(Exception):
    """The connection broke, or nothing came in time.

    Attributes:
        sent: whether the last call may have reached the server, which may have done it.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Call(Struct, frozen=True, gc=False):
    """`path` names the method; `body` is the message, encoded."""

    path: str
    body: bytes


class EtcdReply(Struct, gc=False):
    """`status` is gRPC's: 0 when all is well, and then `body` is the message."""

    status: int = -1
    message: str = ""
    body: bytes = b""
    frames: list[bytes] = []
    """The part of the body that has arrived so far."""


class EtcdLink:
    """A connection that is lost at its first failure and never used again; the caller then opens another one."""

    def __init__(self, address: Address, tls: ssl.SSLContext | None, timeout_s: float) -> None:
        """Connect; sends no call.

        Raises:
            LinkLostError: no answer, refused, no such host, TLS failed.
        """
        self.server = shown(address)
        self.token: str | None = None
        self._pid = os.getpid()
        self._scheme = "http" if tls is None else "https"
        self._is_open = False
        self._owes = False  # an exception came before all answers were read
        try:
            self._socket = socket.create_connection(address, timeout_s)
        except OSError as error:
            raise LinkLostError(f"{self.server}: {error}", sent=False) from error
        self._is_open = True
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                self._socket = tls.wrap_socket(self._socket, server_hostname=address[0])
            self._http = _new_http()
            self._socket.sendall(self._http.data_to_send())
        except OSError as error:
            self.close()
            raise LinkLostError(f"{self.server}: {_reason(error, tls)}", sent=False) from error
        except BaseException:
            self.close()
            raise

    def call(self, calls: Sequence[Call], timeout_s: float) -> list[EtcdReply]:
        """Send all calls at once and wait for all replies: one round trip.

        Raises:
            LinkLostError: the connection is lost, and is closed.
        """
        if not self.is_open or self._owes:
            self.close()
            raise LinkLostError(f"{self.server}: the connection is lost", sent=False)
        self._owes = True
        deadline = time.monotonic() + timeout_s
        self._sent = False
        try:
            replies = self._exchange(calls, deadline)
        except (OSError, ProtocolError, EOFError) as error:
            self.close()
            raise LinkLostError(f"{self.server}: {_reason(error, None)}", sent=self._sent) from error
        except BaseException:  # after Ctrl-C between two replies, later replies would belong to no call
            self.close()
            raise
        self._owes = False
        return replies

    def listen(self, call: Call, timeout_s: float, take: Callable[[bytes], bool]) -> bool:
        """Send a call whose reply has many messages, and end it when `take`, which gets each of them, returns True.

        Returns:
            Whether it did. If not, the server has ended the reply.

        Raises:
            LinkLostError: the connection is lost, or nothing came in time; it is closed.
        """
        if not self.is_open or self._owes:
            self.close()
            raise LinkLostError(f"{self.server}: the connection is lost", sent=False)
        self._owes = True
        try:
            took = self._listen(call, time.monotonic() + timeout_s, take)
        except (OSError, ProtocolError, EOFError) as error:
            self.close()
            raise LinkLostError(f"{self.server}: {_reason(error, None)}", sent=False) from error
        except BaseException:
            self.close()
            raise
        self._owes = False
        return took

    @property
    def is_open(self) -> bool:
        """Whether the connection can be used: it has not failed, and this process opened it."""
        return self._is_open and os.getpid() == self._pid

    def is_usable(self) -> bool:
        """Return False if the connection is known to be lost. Looks at the socket; no round trip."""
        if not self.is_open or self._owes:
            return False
        try:
            self._socket.settimeout(0)
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            data = b""
        try:
            if data and not any(isinstance(event, ConnectionTerminated) for event in self._http.receive_data(data)):
                self._socket.settimeout(1.0)
                self._socket.sendall(self._http.data_to_send())
                return True
        except (OSError, ProtocolError):
            pass
        self.close()
        return False

    def close(self) -> None:
        """Close the connection. Idempotent. A forked child closes its copy and leaves the parent's connection alone."""
        if self._is_open:
            self._is_open = False
            self._socket.close()

    def _exchange(self, calls: Sequence[Call], deadline: float) -> list[EtcdReply]:
        waiting: dict[int, EtcdReply] = {}
        replies = []
        for call in calls:
            stream = self._http.get_next_available_stream_id()
            waiting[stream] = reply = EtcdReply()
            replies.append(reply)
            self._http.send_headers(stream, self._headers(call.path, deadline))
            self._send_body(stream, b"\0" + len(call.body).to_bytes(4, "big") + call.body, waiting, deadline)
        self._flush(deadline)
        self._sent = True
        while waiting:
            self._receive(waiting, deadline)
        return replies

    def _listen(self, call: Call, deadline: float, take: Callable[[bytes], bool]) -> bool:
        stream, reply = self._http.get_next_available_stream_id(), EtcdReply()
        waiting = {stream: reply}
        self._http.send_headers(stream, self._headers(call.path, deadline))
        self._send_body(stream, b"\0" + len(call.body).to_bytes(4, "big") + call.body, waiting, deadline)
        self._flush(deadline)
        while stream in waiting:
            self._receive(waiting, deadline)
            arrived, position = b"".join(reply.frames), 0
            while len(arrived) >= (end := position + 5 + int.from_bytes(arrived[position + 1 : position + 5], "big")):
                message, position = arrived[position + 5 : end], end
                if take(message):
                    self._http.reset_stream(stream, ErrorCodes.CANCEL)
                    self._flush(deadline)
                    return True
            reply.frames = [arrived[position:]]
        return False

    def _send_body(self, stream: int, body: bytes, waiting: dict[int, EtcdReply], deadline: float) -> None:
        position = 0
        while position < len(body):
            if stream not in waiting:  # refused before it was complete
                return
            size = min(
                self._http.local_flow_control_window(stream), self._http.max_outbound_frame_size, len(body) - position
            )
            if size <= 0:
                self._flush(deadline)
                self._receive(waiting, deadline)
                continue
            position += size
            self._http.send_data(stream, body[position - size : position], end_stream=position == len(body))

    def _headers(self, path: str, deadline: float) -> list[tuple[str, str]]:
        headers = [
            (":method", "POST"),
            (":scheme", self._scheme),
            (":path", path),
            (":authority", self.server),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-timeout", f"{max(1, round((deadline - time.monotonic()) * 1000))}m"),
        ]
        if self.token is not None:
            headers.append(("token", self.token))
        return headers

    def _flush(self, deadline: float) -> None:
        data = self._http.data_to_send()
        if data:
            self._set_timeout(deadline)
            self._socket.sendall(data)

    def _receive(self, waiting: dict[int, EtcdReply], deadline: float) -> None:
        """Take in what has arrived; finished streams leave `waiting`."""
        self._set_timeout(deadline)
        data = self._socket.recv(READ_BYTES)
        if not data:
            raise EOFError("the server closed the connection")
        for event in self._http.receive_data(data):
            match event:
                case DataReceived():
                    self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    if reply := waiting.get(event.stream_id):
                        reply.frames.append(event.data)
                case ResponseReceived() | TrailersReceived():
                    if reply := waiting.get(event.stream_id):
                        _take_headers(reply, event.headers)
                case StreamEnded():
                    if reply := waiting.pop(event.stream_id, None):
                        _finish(reply)
                case StreamReset():
                    if reply := waiting.pop(event.stream_id, None):
                        reply.status, reply.message = _of_reset(event.error_code)
                case ConnectionTerminated():
                    raise EOFError("the server ends the connection")
        self._flush(deadline)

    def _set_timeout(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        self._socket.settimeout(left)


UNAVAILABLE, UNKNOWN = 14, 2
"""The two of gRPC's status codes that this module needs; the others are in failures.py."""


def _of_reset(code: ErrorCodes | int | None) -> tuple[int, str]:
    if code in (ErrorCodes.REFUSED_STREAM, ErrorCodes.ENHANCE_YOUR_CALM):
        return UNAVAILABLE, "the server refused the stream"
    return UNKNOWN, f"the server reset the stream ({code})"


def _take_headers(reply: EtcdReply, headers: Sequence[tuple[bytes, bytes]]) -> None:
    for name, value in headers:
        if name == b"grpc-status":
            reply.status = int(value)
        elif name == b"grpc-message":
            reply.message = value.decode(errors="replace").replace("%25", "%")


def _finish(reply: EtcdReply) -> None:
    """Take a message out of its frame."""
    if reply.status < 0:
        reply.status, reply.message = UNKNOWN, "an answer without a status: this is not gRPC"
    elif reply.status == 0:
        reply.body = b"".join(reply.frames)
        reply.frames = []
        if len(reply.body) < 5 or reply.body[0] or int.from_bytes(reply.body[1:5], "big") != len(reply.body) - 5:
            reply.status, reply.message = UNKNOWN, "an answer that is not one whole message"
        reply.body = reply.body[5:]


def _new_http() -> H2Connection:
    # We write the request's headers ourselves, and only look through the server's: validating them costs a fifth of a
    # call.
    http = H2Connection(
        H2Configuration(
            client_side=True,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
        )
    )
    http.local_settings = Settings(
        client=True,
        initial_values={SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES, SettingCodes.ENABLE_PUSH: 0},
    )
    http.initiate_connection()
    http.increment_flow_control_window(WINDOW_BYTES)
    return http


def _reason(error: Exception, tls: ssl.SSLContext | None) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if tls is not None and isinstance(error, ssl.SSLCertVerificationError):
        return f"{error}: the certificate is not trusted; ssl_ca_certs names the file of the authority that signed it"
    if tls is not None:
        return f"{error}: does the server speak TLS on this port?"
    return str(error) or type(error).__name__
