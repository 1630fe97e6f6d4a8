"""The peers' servers, which run on 127.0.0.1, on free ports, with their data in a temporary folder.

Durability is the same for all: either every commit is flushed to disk before it is acknowledged, or none waits for it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path

from romebench.packages import program
from tests.support.servers import Flavour, await_start
from tests.support.servers import Server as KeyValueServer

_HOST = "127.0.0.1"


class Server(ABC):
    """One server process.

    Attributes:
        settings: where it differs from its defaults; shown with the results.
        port: on 127.0.0.1.
    """

    settings: dict[str, str]

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self.folder = folder
        self.port = 0

    @property
    @abstractmethod
    def pid(self) -> int:
        """The id of its main process."""

    @abstractmethod
    def start(self) -> None:
        """Start the server, and wait until it accepts connections.

        Raises:
            MissingProgram: the server's program is not installed.
            RuntimeError: it did not start; the message says why.
        """

    @abstractmethod
    def stop(self) -> None:
        """Stop the server. Idempotent."""

    @abstractmethod
    def version(self) -> str:
        """What the program says of its version."""


class RedisServer(Server):
    """Redis, as the project's tests start it."""

    flavour: Flavour = "redis"

    def __init__(self, folder: Path, *, durable: bool) -> None:
        super().__init__(folder, durable=durable)
        self.settings = {"save": "", "appendonly": "yes", "appendfsync": "always" if durable else "no"}
        self._server = KeyValueServer(self.flavour, folder, self.settings)

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._server.pid

    def start(self) -> None:
        """Start the server, as Server.start says."""
        self._server.start()
        self.port = self._server.port

    def stop(self) -> None:
        """Stop the server. Idempotent."""
        self._server.stop()

    def version(self) -> str:
        """What the program says of its version."""
        return _version_of(self._server.program)


class ValkeyServer(RedisServer):
    """Valkey, as the project's tests start it."""

    flavour = "valkey"


class _SqlServer(Server):
    """MariaDB or PostgreSQL: a server that needs a data folder to be made first."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        super().__init__(folder, durable=durable)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> Path:
        """The file that the server logs to."""
        return self.folder / "server.log"

    def _run(self, command: list[str], user: str | None = None) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False, user=user, cwd=self.folder)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {(done.stderr + done.stdout).strip()[-500:]}")

    def _serve(self, command: list[str], user: str | None = None) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=user, cwd=self.folder
            )
        await_start(self._process, self._listens, self.log)

    def _listens(self) -> bool:
        try:
            socket.create_connection((_HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Stop the server. Idempotent."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self._stop_signal)
            self._process.wait()

    _stop_signal = signal.SIGTERM


class MariaDbServer(_SqlServer):
    """MariaDB with InnoDB, without a binary log."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        super().__init__(folder, durable=durable)
        self.settings = {
            "innodb-flush-log-at-trx-commit": "1" if durable else "0",
            "innodb-buffer-pool-size": "1G",
            "max-connections": "500",
            "character-set-server": "utf8mb3",
            "skip-log-bin": "",
        }

    def start(self) -> None:
        """Make the data folder and start the server, as Server.start says."""
        install = program("mariadb-install-db", ["mariadb-server-core"])
        serve = program("mariadbd", ["mariadb-server-core"])
        data = f"--datadir={self.folder / 'data'}"
        user = pwd.getpwuid(os.geteuid()).pw_name
        normal = "--auth-root-authentication-method=normal"
        self._run([install, "--no-defaults", data, f"--user={user}", normal, "--skip-test-db"])
        self.port = _free_port()
        told = [f"--{name}={value}" if value else f"--{name}" for name, value in self.settings.items()]
        place = [f"--bind-address={_HOST}", f"--port={self.port}", f"--socket={self.folder / 'socket'}"]
        self._serve(
            [serve, "--no-defaults", data, f"--user={user}", f"--pid-file={self.folder / 'pid'}", *place, *told]
        )

    def version(self) -> str:
        """What the program says of its version."""
        return _version_of(program("mariadbd", ["mariadb-server-core"]))


class PostgreSqlServer(_SqlServer):
    """PostgreSQL. It refuses to run as root, so root starts it as another user."""

    _stop_signal = signal.SIGINT  # do not wait for clients

    def __init__(self, folder: Path, *, durable: bool) -> None:
        super().__init__(folder, durable=durable)
        self.settings = {
            "fsync": "on",
            "synchronous_commit": "on" if durable else "off",
            "shared_buffers": "1GB",
            "max_connections": "500",
        }

    def start(self) -> None:
        """Make the data folder and start the server, as Server.start says."""
        make = program("initdb", ["postgresql"])
        serve = program("postgres", ["postgresql"])
        user = None
        if os.geteuid() == 0:
            user = _user_for_postgres()
            shutil.chown(self.folder, user)
        data = str(self.folder / "data")
        self._run([make, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"], user)
        self.port = _free_port()
        told = [word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")]
        place = ["-h", _HOST, "-p", str(self.port), "-k", str(self.folder)]
        self._serve([serve, "-D", data, *place, *told], user)

    def version(self) -> str:
        """What the program says of its version."""
        return _version_of(program("postgres", ["postgresql"]))


def _user_for_postgres() -> str:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL does not run as root, and there is no user postgres or nobody")


def _version_of(path: str) -> str:
    return subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


SERVERS: dict[str, type[Server]] = {
    "mariadb": MariaDbServer,
    "postgresql": PostgreSqlServer,
    "redis": RedisServer,
    "valkey": ValkeyServer,
}
