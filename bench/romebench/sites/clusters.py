"""The databases that span the sites: what is started at which site, and the URL for a client at each.

All are durable: a server flushes a commit to its disk before it acknowledges it. Where a product's documentation has
advice for wide area networks, it is followed; `settings` says how.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from romebench.packages import MissingProgram, install, program
from romebench.sites.network import Site
from tests.support.etcd_servers import LIMITS, find_etcd
from tests.support.servers import await_start, find_server

_HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever the environment says
_START_TIMEOUT_S = 60.0
_PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")
_PROGRAMS = Path(__file__).parent / "programs"


class SiteProgram:
    """A server process at a site."""

    def __init__(self, site: Site, folder: Path, command: Sequence[str], serves: Callable[[], bool]) -> None:
        self.site = site
        self._log = folder / "server.log"
        self._command = [*site.prefix, *command]
        self._folder = folder
        self._serves = serves
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start it, without waiting for it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )

    def wait(self) -> None:
        """Wait until it serves.

        Raises:
            RuntimeError: it does not; the message is its log.
        """
        assert self._process is not None
        await_start(self._process, self._serves, self._log)

    def stop(self) -> None:
        """End it. Idempotent."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Cluster(ABC):
    """Servers at several sites that hold one database.

    Attributes:
        settings: where it differs from its defaults; shown with the results.
        port: on which a client connects to each of them.
        peer_ports: on which they connect to each other.
    """

    port: ClassVar[int]
    peer_ports: ClassVar[frozenset[int]] = frozenset()
    settings: ClassVar[Mapping[str, str]]

    def __init__(self, sites: Sequence[Site], folder: Path) -> None:
        self.sites = list(sites)
        self._folder = folder
        self._programs: list[SiteProgram] = []

    def _place(self, site: Site) -> Path:
        folder = self._folder / f"site{site.number}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _add(self, site: Site, command: Sequence[str], serves: Callable[[], bool] | None = None) -> SiteProgram:
        listens = serves or (lambda: _listens(site, self.port))
        self._programs.append(SiteProgram(site, self._place(site), command, listens))
        return self._programs[-1]

    @abstractmethod
    def start(self) -> None:
        """Start all servers, and wait until they serve.

        Raises:
            MissingProgram, FileNotFoundError: a program is not installed.
            RuntimeError: one did not start; the message says why.
        """

    @abstractmethod
    def url(self, site: Site, **options: str) -> str:
        """A URL with {db}, for a client at this site, or for one that goes to this site's server."""

    @abstractmethod
    def version(self) -> str:
        """What the program says of its version."""

    def stop(self) -> None:
        """Stop all servers. Idempotent."""
        for started in reversed(self._programs):
            started.stop()


class EtcdCluster(Cluster):
    """One member of etcd at each site."""

    port = 2379
    peer_ports = frozenset({2380})
    settings: ClassVar[Mapping[str, str]] = {
        **LIMITS,
        # etcd's tuning guide: a heartbeat of 0.5 to 1.5 round trips, an election after ten round trips or more. These
        # are the defaults; they suit distances up to 100 ms.
        "heartbeat-interval": "100",
        "election-timeout": "1000",
        "pre-vote": "true",  # a member that comes back does not depose the leader; the default from 3.5 on
    }

    def start(self) -> None:
        """As Cluster.start says."""
        etcd = find_etcd(to_kill=True)
        members = ",".join(f"m{site.number}=http://{site.host}:2380" for site in self.sites)
        for site in self.sites:
            options = {
                "name": f"m{site.number}",
                "data-dir": str(self._place(site) / "data"),
                "listen-client-urls": f"http://{site.host}:2379",
                "advertise-client-urls": f"http://{site.host}:2379",
                "listen-peer-urls": f"http://{site.host}:2380",
                "initial-advertise-peer-urls": f"http://{site.host}:2380",
                "initial-cluster": members,
                "logger": "zap",
                "log-level": "warn",
                **self.settings,
            }
            self._add(site, [etcd, *(f"--{name}={value}" for name, value in options.items())], self._leads_at(site))
        for member in self._programs:
            member.start()
        for member in self._programs:
            member.wait()

    def _leads_at(self, site: Site) -> Callable[[], bool]:
        def leads() -> bool:
            try:
                return bool(self._status(site).get("leader", "0") != "0")
            except OSError:
                return False

        return leads

    def url(self, site: Site, **options: str) -> str:
        """A URL with {db} for a client at a site: its own member first, then the others."""
        others = [f"host={other.host}:{self.port}" for other in self.sites if other != site]
        told = [f"{name}={value}" for name, value in options.items()]
        return f"rome+etcd://{site.host}:{self.port}/{{db}}?{'&'.join([*others, *told])}"

    def lead(self, site: Site) -> None:
        """Make the member at a site the leader.

        Raises:
            RuntimeError: it does not become the leader.
        """
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            wanted = self._status(site)
            if wanted["leader"] == wanted["header"]["member_id"]:
                return
            leader = self._leader(wanted["leader"])
            if leader is not None:
                self._ask(leader, "transfer-leadership", {"targetID": wanted["header"]["member_id"]})
            time.sleep(0.3)
        raise RuntimeError(f"the member of etcd at site {site.number} does not become the leader")

    def _leader(self, member: str) -> Site | None:
        for site in self.sites:
            if self._status(site)["header"]["member_id"] == member:
                return site
        return None

    def _status(self, site: Site) -> dict[str, Any]:
        return self._ask(site, "status", {})

    def _ask(self, site: Site, what: str, body: Mapping[str, str]) -> dict[str, Any]:
        url = f"http://{site.host}:{self.port}/v3/maintenance/{what}"
        with _HTTP.open(urllib.request.Request(url, json.dumps(body).encode()), timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def version(self) -> str:
        """What the program says of its version."""
        return _version(find_etcd(to_kill=True))


class RedisSites(Cluster):
    """A primary at the first of its sites, and a replica at each other one."""

    port = 6379
    settings: ClassVar[Mapping[str, str]] = {
        "save": "",
        "appendonly": "yes",
        "appendfsync": "always",
        "repl-diskless-sync-delay": "0",
        "repl-backlog-size": "64mb",  # a site that comes back after a while need not copy everything
    }

    def start(self) -> None:
        """As Cluster.start says."""
        primary = self.sites[0]
        for site in self.sites:
            options = {"bind": site.host, "port": str(self.port), "dir": str(self._place(site)), "protected-mode": "no"}
            told = [word for name, value in {**options, **self.settings}.items() for word in (f"--{name}", value)]
            follow = [] if site is primary else ["--replicaof", f"{primary.host} {self.port}"]
            self._add(site, [find_server("redis"), *told, *follow], self._follows(site, follows=site is not primary))
        for server in self._programs:
            server.start()
        for server in self._programs:
            server.wait()

    def _follows(self, site: Site, *, follows: bool) -> Callable[[], bool]:
        def ready() -> bool:
            try:
                with socket.create_connection((site.host, self.port), timeout=1) as connection:
                    connection.sendall(b"INFO replication\r\n")
                    found = connection.recv(4096)
            except OSError:
                return False
            return b"master_link_status:up" in found if follows else b"role:master" in found

        return ready

    def url(self, site: Site, **options: str) -> str:
        """A URL with {db} for a client; it reads near from this site's server."""
        if options.get("reads") == "near":
            options["near"] = f"{site.host}:{self.port}"
        told = "&".join(f"{name}={value}" for name, value in options.items())
        return f"rome+redis://{self.sites[0].host}:{self.port}/{{db}}{'?' if told else ''}{told}"

    def version(self) -> str:
        """What the program says of its version."""
        return _version(find_server("redis"))


_MARIADB_PACKAGES = ["mariadb-server-core"]


class _MariaDbServers(Cluster):
    """What a MariaDB and a Galera cluster have in common."""

    port = 3306

    def _make_data(self, site: Site) -> None:
        """A data folder in which root may connect from anywhere."""
        install = program("mariadb-install-db", _MARIADB_PACKAGES)
        serve = program("mariadbd", _MARIADB_PACKAGES)
        data = [f"--datadir={self._place(site) / 'data'}", f"--user={_user()}"]
        normal = "--auth-root-authentication-method=normal"
        _run([install, "--no-defaults", *data, normal, "--skip-test-db", "--skip-name-resolve"])
        grant = "FLUSH PRIVILEGES;\nCREATE USER root@'%';\nGRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;\n"
        _run([serve, "--no-defaults", *data, "--bootstrap"], grant)

    def _command(self, site: Site, settings: Mapping[str, str]) -> list[str]:
        folder = self._place(site)
        place = [f"--datadir={folder / 'data'}", f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}"]
        told = [f"--{name}={value}" if value else f"--{name}" for name, value in settings.items()]
        serve = program("mariadbd", _MARIADB_PACKAGES)
        return [serve, "--no-defaults", f"--user={_user()}", f"--bind-address={site.host}", *place, *told]

    def url(self, site: Site, **options: str) -> str:
        """A URL with {db} for a client of the server at a site."""
        told = "&".join(f"{name}={value}" for name, value in options.items())
        return f"mysql+pymysql://root@{site.host}:{self.port}/{{db}}{'?' if told else ''}{told}"

    def version(self) -> str:
        """What the program says of its version."""
        return _version(program("mariadbd", _MARIADB_PACKAGES))


_MARIADB = {
    "innodb-flush-log-at-trx-commit": "1",
    "innodb-buffer-pool-size": "256M",
    "max-connections": "500",
    "character-set-server": "utf8mb3",
    "skip-name-resolve": "",
}


class RemoteMariaDb(_MariaDbServers):
    """One MariaDB, at the first of its sites, without a binary log."""

    settings: ClassVar[Mapping[str, str]] = {**_MARIADB, "skip-log-bin": ""}

    def start(self) -> None:
        """As Cluster.start says."""
        [site] = self.sites
        self._make_data(site)
        server = self._add(site, self._command(site, self.settings))
        server.start()
        server.wait()


WAN_ADVICE = {
    "evs.keepalive_period": "PT3S",
    "evs.suspect_timeout": "PT30S",
    "evs.inactive_timeout": "PT1M",
    "evs.install_timeout": "PT1M",
}
"""Galera's knowledge base, "WAN Replication": tolerates 30 seconds without the network."""


class GaleraCluster(_MariaDbServers):
    """One node of a Galera cluster at each site. Each site is a segment; reads do not wait (wsrep_sync_wait=0)."""

    peer_ports = frozenset({4567, 4568})

    settings: ClassVar[Mapping[str, str]] = {
        **_MARIADB,
        "binlog-format": "ROW",
        "innodb-autoinc-lock-mode": "2",
        "default-storage-engine": "InnoDB",
        "wsrep-on": "ON",
        "wsrep-provider": str(_PROVIDER),
        "wsrep-cluster-name": "sites",
        "wsrep-slave-threads": "4",
        "wsrep-sync-wait": "0",
        "wsrep-sst-method": "seed",  # all begin with the same data: see the program
    }

    def __init__(self, sites: Sequence[Site], folder: Path, options: Mapping[str, str] | None = None) -> None:
        """`options` are of the provider, besides its segments and windows."""
        super().__init__(sites, folder)
        self._options = {
            # For WAN, MariaDB's reference has these "considerably higher" than the defaults, such as 512.
            "evs.send_window": "1024",
            "evs.user_send_window": "512",
            "gcache.size": "256M",
            **(options or {}),
        }

    def start(self) -> None:
        """As Cluster.start says. The nodes join one by one."""
        galera_provider()
        environment = {"PATH": f"{_PROGRAMS}:{os.environ.get('PATH', '')}", "SEED_FOLDER": str(self._folder)}
        first = self.sites[0]
        self._make_data(first)
        alone = self._node(first, new=True)  # writes its position into the data, which the others get a copy of
        alone.start(environment)
        alone.wait()
        alone.stop()
        for site in self.sites[1:]:
            shutil.copytree(self._place(first) / "data", self._place(site) / "data")
        for site in self.sites:
            node = self._node(site, new=site is first)
            node.start(environment)
            node.wait()

    def _node(self, site: Site, *, new: bool) -> SiteProgram:
        options = {"gmcast.segment": str(site.number), "gmcast.listen_addr": f"tcp://{site.host}:4567"}
        told = ";".join(f"{name}={value}" for name, value in {**options, **self._options}.items())
        own = {
            "wsrep-node-address": site.host,
            "wsrep-node-name": f"n{site.number}",
            "wsrep-cluster-address": "gcomm://" + ",".join(each.host for each in self.sites),
        }
        command = self._command(site, {**self.settings, **own, "wsrep-provider-options": told})
        return self._add(site, [*command, *(["--wsrep-new-cluster"] if new else [])], lambda: self._synced(site))

    def _synced(self, site: Site) -> bool:
        return self._status(site, "wsrep_local_state_comment") == "Synced"

    def replicated(self, site: Site) -> int:
        """How many write sets the node at a site has sent to the others so far."""
        return int(self._status(site, "wsrep_replicated") or 0)

    def _status(self, site: Site, name: str) -> str | None:
        import pymysql  # noqa: PLC0415 (only here is it known that this peer is wanted)

        try:
            with pymysql.connect(host=site.host, port=self.port, user="root", connect_timeout=1) as connection:
                cursor = connection.cursor()
                cursor.execute(f"SHOW STATUS LIKE '{name}'")
                found = cursor.fetchone()
        except (pymysql.Error, OSError):
            return None
        return None if found is None else str(found[1])

    def version(self) -> str:
        """What the program says of its version."""
        return f"{super().version()}, galera-4"


def galera_provider() -> str:
    """The path of Galera's library. As root on Debian, it is installed if it is missing.

    Raises:
        MissingProgram: it is missing and could not be installed.
    """
    if not _PROVIDER.exists():
        install(["galera-4"])
    if not _PROVIDER.exists():
        raise MissingProgram(f"no {_PROVIDER}: install galera-4 (as root, on Debian: it is done for you)")
    return str(_PROVIDER)


def _listens(site: Site, port: int) -> bool:
    try:
        socket.create_connection((site.host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _run(command: Sequence[str], text: str | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, input=text)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {(done.stderr + done.stdout).strip()[-500:]}")


def _version(path: str) -> str:
    return subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
