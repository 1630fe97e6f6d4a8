"""A distance between clients and servers, made by delay proxies and checked by an echo."""

from __future__ import annotations

import ctypes
import socket
import threading
import time
from statistics import median

from rome.testing.proxy import Proxy
from romebench.worker import Worker

_PR_SET_TIMERSLACK = 29
_ECHO_BYTES = 200
"""About as much as a short statement and its answer."""
_ECHOES = 200


class Distance:
    """A delay proxy in front of each server.

    A proxy adds the delay that it is asked for, and its own work: system calls and timers, each way. So the delay is
    chosen by what an echo through such a proxy takes; the least distance is that of a proxy without any delay, some
    0.1 ms. Proxies, echo and client are processes of their own, as they are when databases are measured.
    """

    def __init__(self) -> None:
        self._proxies = Worker(_Proxies)
        self._echo = Worker(_Echo)
        port = self.front(self._echo.call("port"))
        self._client = socket.create_connection(("127.0.0.1", port))
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def front(self, port: int) -> int:
        """Put a proxy in front of a server's port; returns the port to use instead."""
        found: int = self._proxies.call("front", port)
        return found

    def set_round_trip(self, seconds: float) -> float:
        """Set the delay so that a round trip takes this long; returns what one takes then."""
        delay = 0.0
        for _ in range(4):
            self._proxies.call("set_delay", delay)
            found = self._round_trip()
            if delay == 0.0 and found >= seconds:
                return found
            delay = max(0.0, delay + seconds - found)
        return found

    def round_trips(self, port: int) -> int:
        """How many round trips went through the proxy of a port so far."""
        found: int = self._proxies.call("round_trips", port)
        return found

    def close(self) -> None:
        """End the processes. Idempotent."""
        self._client.close()
        self._proxies.close()
        self._echo.close()

    def _round_trip(self) -> float:
        found = []
        for _ in range(_ECHOES):
            started = time.perf_counter()
            self._client.sendall(bytes(_ECHO_BYTES))
            self._client.recv(_ECHO_BYTES, socket.MSG_WAITALL)
            found.append(time.perf_counter() - started)
        return median(found)


class _Proxies:
    """In a worker."""

    def __init__(self) -> None:
        # Threads inherit it: timers wake them as soon as the machine can, and not within 50 µs.
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
        self._by_port: dict[int, Proxy] = {}

    def front(self, port: int) -> int:
        if port not in self._by_port:
            self._by_port[port] = Proxy("127.0.0.1", port)
        return self._by_port[port].port

    def set_delay(self, seconds: float) -> None:
        for proxy in self._by_port.values():
            proxy.delay_s = seconds

    def round_trips(self, port: int) -> int:
        return self._by_port[port].round_trips


class _Echo:
    """In a worker: a server that sends back what it receives."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    def port(self) -> int:
        found: int = self._listener.getsockname()[1]
        return found

    def _serve(self) -> None:
        while True:
            client, _ = self._listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := client.recv(_ECHO_BYTES):
                client.sendall(data)
