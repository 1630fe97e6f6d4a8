"""Whether a near server answers: shared by all connections of the process that read there (`reads=near`).

A call that fails there goes to the primary, and so do later ones for a while. Then a probe asks whether the near server
answers again. It never waits: it sends a greeting, and looks at each later call whether an answer has come. So a server
that is down, cut off or paused costs one call its timeout, and later calls nothing.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from threading import Lock

from rome.store.option_values import Address

PAUSE_S = 1.0, 30.0
"""How long a near server is left alone after a failure: at first, and at most; each further failure doubles it."""

LOOK_EVERY_S = 1.0
"""How often a call also asks how far behind the near server is."""

clock = time.monotonic


class NearServer:
    """One near server of one database, as this process knows it.

    Attributes:
        address: its host and port.
        incarnation: of the database, as the primary said last; None before that. What has another one is not read.
    """

    def __init__(self, address: Address, greeting: bytes, max_lag_s: float) -> None:
        self.address = address
        self.incarnation: bytes | None = None
        self._greeting = greeting
        self._max_lag_s = max_lag_s
        self._lock = Lock()
        self._answers = True
        self._pause_s = PAUSE_S[0]
        self._again_at = 0.0
        self._probe: _Probe | None = None
        self._look_at = 0.0
        self._cut_off_since: float | None = None

    def is_up(self) -> bool:
        """Whether to read there now. Never waits."""
        if self._answers:
            return True
        now = clock()
        if now < self._again_at or not self._lock.acquire(blocking=False):
            return False
        try:
            if self._probe is None:
                self._probe = _Probe(self.address, self._greeting)
            answer = self._probe.answer()
            if answer is None and now < self._again_at + self._pause_s:
                return False
            self._probe.close()
            self._probe = None
            if answer:
                self._look_at = 0.0  # it may be behind still
                self._answers = True
            else:
                self._leave_alone(now)
            return self._answers
        finally:
            self._lock.release()

    def failed(self) -> None:
        """A call has failed there, or it is too far behind."""
        with self._lock:
            if self._answers:
                self._answers = False
                self._leave_alone(clock())

    def _leave_alone(self, now: float) -> None:
        self._again_at = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, PAUSE_S[1])

    def answered(self) -> None:
        """A call has succeeded there."""
        self._pause_s = PAUSE_S[0]

    def is_look_due(self) -> bool:
        """Whether this call should also ask how far behind it is; True for one call in LOOK_EVERY_S."""
        now = clock()
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_EVERY_S
        return True

    def is_behind(self, lag_s: float) -> bool:
        """Whether a server that has heard nothing for so long is too far behind to be read."""
        return lag_s > self._max_lag_s

    def is_cut_off(self, *, has_leader: bool) -> bool:
        """The same for one that only knows whether it has a leader now."""
        if has_leader:
            self._cut_off_since = None
            return False
        now = clock()
        if self._cut_off_since is None:
            self._cut_off_since = now
        return self.is_behind(now - self._cut_off_since)


class _Probe:
    """A connection on which nobody waits, to see whether a server answers."""

    def __init__(self, address: Address, greeting: bytes) -> None:
        self._unsent = greeting
        self._failed = False
        self._socket: socket.socket | None = None
        try:
            family, kind, protocol, _, found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
            self._socket = socket.socket(family, kind, protocol)
            self._socket.setblocking(False)
            self._socket.connect(found)
        except BlockingIOError:
            pass
        except OSError:
            self._failed = True

    def answer(self) -> bool | None:
        """Whether the server answers; None if that is not known yet. If it hangs up, it is there: it may want TLS."""
        if self._failed or self._socket is None:
            return False
        try:
            if self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
            self._socket.recv(1)
        except (BlockingIOError, InterruptedError):
            return None
        except ConnectionResetError:
            return True
        except OSError:
            return False
        return True

    def close(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()


def first_to_answer(addresses: Sequence[Address], timeout_s: float) -> Address | None:
    """The server to which a connection is made soonest; None if that is none of them in time.

    Cost: the way there and back, once.
    """
    waiting: dict[socket.socket, Address] = {}
    try:
        for address in addresses:
            with suppress(OSError):
                family, kind, protocol, _, found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
                connecting = socket.socket(family, kind, protocol)
                waiting[connecting] = address
                connecting.setblocking(False)
                with suppress(BlockingIOError):
                    connecting.connect(found)
        deadline = clock() + timeout_s
        while waiting and (left_s := deadline - clock()) > 0:
            _, ready, _ = select.select([], list(waiting), [], left_s)
            for connected in ready:
                if not connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    return waiting[connected]
                del waiting[connected]
                connected.close()
        return None
    finally:
        for connecting in waiting:
            connecting.close()


_servers: dict[Hashable, NearServer] = {}
_servers_lock = Lock()


def near_server(key: Hashable, make: Callable[[], NearServer]) -> NearServer:
    """The near server under this key, which all connections of the process share; made if there is none."""
    with _servers_lock:
        found = _servers.get(key)
        if found is None:
            found = _servers[key] = make()
        return found
