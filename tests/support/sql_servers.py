"""Real PostgreSQL and MariaDB servers for tests: found, started on a free loopback port, stopped.

They are Debian's packages `postgresql`, `mariadb-server-core` and `mariadb-client-core`, whose services need not run.
Each server here has its data in a temporary folder, which goes with it; nothing is written through to the disk.
PostgreSQL does not run as root, who lends it another user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from tests.support.servers import await_start

_PLACES = ("/usr/sbin", "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")


def find_program(name: str) -> str | None:
    """The path of a server's program, which Debian puts beside PATH; None: it is not installed."""
    found = shutil.which(name)
    if found is not None:
        return str(Path(found).resolve())
    return max((str(path) for place in _PLACES for path in Path("/").glob(f"{place[1:]}/{name}")), default=None)


class SqlServer(ABC):
    """One server process on 127.0.0.1:`port`.

    Attributes:
        programs: what it needs; `package` brings them.
    """

    programs: ClassVar[tuple[str, ...]]
    package: ClassVar[str]
    _stop_signal = signal.SIGTERM

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self._user: str | None = None
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def missing(cls) -> str | None:
        """What to install for it; None: nothing."""
        for program in cls.programs:
            if find_program(program) is None:
                return f"no {program}: apt-get install {cls.package}"
        return None

    @property
    @abstractmethod
    def netloc(self) -> str:
        """User, host, port and database, as in a URL."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make the data folder."""

    @abstractmethod
    def _command(self) -> list[str]: ...

    def start(self) -> Self:
        """Start, and wait until it listens.

        Raises:
            RuntimeError: it ended; the message is its log.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="rome-test-"))  # others than root may be led here
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._prepare()
        with socket.socket() as probe:
            probe.bind((self.host, 0))
            self.port = probe.getsockname()[1]
        log = self._folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=self._user,
                cwd=self._folder,
            )
        await_start(self._process, self._listens, log)
        return self

    def stop(self) -> None:
        """End it, and delete its data. Idempotent."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self._stop_signal)
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False, user=self._user, cwd=self._folder)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")

    def _program(self, name: str) -> str:
        found = find_program(name)
        assert found is not None
        return found

    def _listens(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
        except OSError:
            return False
        return True


class PostgreSql(SqlServer):
    programs = ("postgres", "initdb")
    package = "postgresql"
    _stop_signal = signal.SIGINT  # without waiting for clients

    def __init__(self) -> None:
        super().__init__()
        if os.geteuid() == 0:
            names = {user.pw_name for user in pwd.getpwall()}
            self._user = "postgres" if "postgres" in names else "nobody"

    @property
    def netloc(self) -> str:
        return f"postgres@{self.host}:{self.port}/postgres"

    def _prepare(self) -> None:
        data = str(self._folder / "data")
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        self._run([self._program("initdb"), "-D", data, *options])

    def _listens(self) -> bool:
        """It listens before it serves; its file tells when it does."""
        try:
            status = (self._folder / "data" / "postmaster.pid").read_text()
        except OSError:
            return False
        return "ready" in status and super()._listens()

    def _command(self) -> list[str]:
        settings = ["-c", "fsync=off", "-c", "shared_buffers=16MB"]
        place = ["-h", self.host, "-p", str(self.port), "-k", str(self._folder)]
        return [self._program("postgres"), "-D", str(self._folder / "data"), *place, *settings]


class MariaDb(SqlServer):
    programs = ("mariadbd", "mariadb-install-db", "my_print_defaults")
    package = "mariadb-server-core mariadb-client-core"

    @property
    def netloc(self) -> str:
        return f"root@{self.host}:{self.port}/test"

    def _prepare(self) -> None:
        self._run(
            [
                *(self._program("mariadb-install-db"), "--no-defaults", f"--datadir={self._folder / 'data'}"),
                *(f"--user={self._me}", "--auth-root-authentication-method=normal"),
            ]
        )

    def _command(self) -> list[str]:
        place = [f"--bind-address={self.host}", f"--port={self.port}", f"--socket={self._folder / 'socket'}"]
        return [
            *(self._program("mariadbd"), "--no-defaults", f"--datadir={self._folder / 'data'}", f"--user={self._me}"),
            *(f"--pid-file={self._folder / 'pid'}", "--innodb-flush-log-at-trx-commit=0", *place),
        ]

    @property
    def _me(self) -> str:
        return pwd.getpwuid(os.geteuid()).pw_name
