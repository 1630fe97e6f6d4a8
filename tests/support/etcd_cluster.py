"""A cluster of etcd members that fail: killed, paused, cut off from each other, removed and added again.

Members reach each other through proxies, one before each member. A connection between peers says in its first bytes
which member has opened it (etcd's header X-Server-From), so that a proxy can cut off one member and leave the others
alone.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

from rome.errors import StoreUnavailableError
from rome.store.etcd.client import EtcdClient
from rome.store.etcd.driver import EtcdDriver
from rome.store.etcd.messages import MEMBER_LIST, STATUS, MemberListRequest, Method, StatusRequest
from rome.store.ordered.driver import DriverTransaction, Put
from rome.store.ordered.layout import Layout
from rome.testing.proxy import Direction, Forwarding, Proxy
from tests.support.etcd_servers import Member, settings
from tests.support.servers import free_port

_SENDER = re.compile(rb"X-Server-From: ([0-9a-f]+)\r\n")


class _Post:
    """The judge of the proxy before one member: what becomes of its peers' connections.

    Each connection of a proxy has a thread, so a thread's own attribute is a connection's.
    """

    def __init__(self) -> None:
        self.severed: set[int] = set()
        """Ids of members that do not reach this one, nor it them."""
        self.loss = Forwarding.HOLD
        self._connection = threading.local()

    def __call__(self, direction: Direction, data: bytes) -> Forwarding:
        if direction is Direction.REQUEST and (sender := _SENDER.search(data)):
            self._connection.sender = int(sender[1], 16)
        return self.loss if getattr(self._connection, "sender", 0) in self.severed else Forwarding.PASS


class EtcdCluster:
    """Members named m0, m1, ..; they elect a leader within about a second after its loss.

    Args:
        options: of all members, as on etcd's command line.
    """

    def __init__(self, directory: Path, size: int = 3, options: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        defaults = {
            "heartbeat-interval": "100",
            "election-timeout": "1000",
            "strict-reconfig-check": "false",  # it wants a cluster that has been whole for 5 s
            "snapshot-count": "500",  # so that members drop their log's beginning, and send snapshots to those behind
        }
        self._options = {**defaults, **(options or {})}
        self._cleanup = ExitStack()
        self._posts: dict[str, _Post] = {}
        self._proxies: dict[str, Proxy] = {}
        listens = {f"m{number}": free_port() for number in range(size)}
        for name, port in listens.items():
            self._proxies[name] = self._cleanup.enter_context(Proxy("127.0.0.1", port))
            self._posts[name] = self._proxies[name].judge = _Post()
        self._peers = {name: proxy.port for name, proxy in self._proxies.items()}
        self._listens = listens
        self._ids: dict[str, int] = {}
        self._user = ""
        self.members = [self._member(name) for name in listens]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._cleanup.close()

    def start(self) -> None:
        """Start all members, which do not run."""
        for member in self.members:
            member.start(wait=False)
        for member in self.members:
            member.await_start()

    def kill(self) -> None:
        """Kill all members."""
        for member in self.members:
            member.kill()

    def copy(self, folder: Path) -> None:
        """Copy the data of all members, which do not run."""
        for member in self.members:
            shutil.copytree(member.directory / "data", folder / member.name)

    def restore(self, folder: Path) -> None:
        """Put what `copy` has copied in the place of the data of all members, which do not run."""
        for member in self.members:
            shutil.rmtree(member.directory / "data")
            shutil.move(folder / member.name, member.directory / "data")

    def require_password(self, database: str) -> None:
        """Let nobody in without one. The URLs of this database have it from now on."""
        leader = self.leader()
        for user in ("root", "rome"):
            gateway(leader, "auth/user/add", name=user, password="secret")
            gateway(leader, "auth/role/add", name=user)
            gateway(leader, "auth/user/grant", user=user, role=user)
        start, stop = (base64.b64encode(key).decode() for key in Layout(database).everything)
        gateway(leader, "auth/role/grant", name="rome", perm={"permType": "READWRITE", "key": start, "range_end": stop})
        gateway(leader, "auth/enable")
        self._user = "rome:secret@"

    def url(self, database: str, first: int = 0, **options: str) -> str:
        """The URL of a database, with all members as its hosts, beginning with one of them."""
        ports = [member.port for member in [*self.members[first:], *self.members[:first]]]
        return url_of(ports, database, **options).replace("://", f"://{self._user}")

    def leader(self) -> Member:
        """The member that all who answer take for the leader, when a majority does; waits until there is one."""
        while True:
            seen = [self._status(member) for member in self.members]
            leaders = [status.leader for status in seen if status is not None and status.leader]
            for member, status in zip(self.members, seen, strict=True):
                if status is None or leaders.count(status.header.member_id) <= len(self.members) // 2:
                    continue
                return member

    def follower(self, number: int = 0) -> Member:
        """One of the members that do not lead."""
        leader = self.leader()
        others = [member for member in self.members if member is not leader]
        return others[number % len(others)]

    def await_all(self) -> None:
        """Wait until every member has a leader, and has applied all that the leader had committed when it was asked."""
        last = max(status.raft_index for status in map(self._status, self.members) if status is not None)
        for member in self.members:
            member.await_start()
            while (status := self._status(member)) is None or status.raft_applied_index < last:
                pass

    def cut_off(self, member: Member, loss: Forwarding = Forwarding.HOLD) -> None:
        """Nothing passes between this member and its peers; clients still reach it. HOLD: as on a network that loses
        everything; CUT: connections break."""
        lone = self.id(member)
        for other in self.members:
            post = self._posts[other.name]
            post.loss = loss
            post.severed = {self.id(each) for each in self.members if each is not other} if other is member else {lone}

    def heal(self) -> None:
        """Let everything pass again; connections that have lost bytes are closed."""
        for post in self._posts.values():
            post.severed = set()
        for proxy in self._proxies.values():
            proxy.cut()

    def id(self, member: Member) -> int:
        """The number by which the cluster knows a member."""
        if member.name not in self._ids:
            self._ids = {each.name: each.id for each in self._listed()}
        return self._ids[member.name]

    def outgrow_logs(self) -> None:
        """Write so much that a member without data gets a snapshot: members keep 5,000 entries of their logs for it."""
        driver = EtcdDriver(EtcdClient(settings(self.leader())))
        for _ in range(60):
            driver.run([DriverTransaction(writes=[Put(b"filler", b"")])] * 100)
        driver.close()

    def replace(self, member: Member) -> Member:
        """Put a new member without data in the place of one that has lost its own: etcd's procedure for that."""
        lost, url = self.id(member), f"http://127.0.0.1:{self._peers[member.name]}"
        member.kill()
        shutil.rmtree(member.directory / "data")
        while any(each.id == lost for each in self._listed()):
            self._try("remove", ID=str(lost))
        while all(url not in each.peer_urls for each in self._listed()):
            self._try("add", peerURLs=[url])
        now = {each.id for each in self._listed()}
        for other in self.members:  # the new one ends at once where a member that it asks does not expect it yet
            while other is not member and {each.id for each in self._listed(other)} != now:
                time.sleep(0.05)
        self._ids = {}
        new = self._member(member.name, {"initial-cluster-state": "existing"})
        new.port = member.port
        self.members[self.members.index(member)] = new
        return new.start()

    def _listed(self, by: Member | None = None) -> Sequence[Any]:
        """What a member knows of the members; without one the leader."""
        while True:
            with suppress(StoreUnavailableError):
                members: Sequence[Any] = ask(by or self.leader(), MEMBER_LIST, MemberListRequest()).members
                return members

    def _try(self, change: str, **message: object) -> None:
        """Change the members; the answer may be lost when another leader is elected meanwhile."""
        with suppress(OSError):
            gateway(self.leader(), f"cluster/member/{change}", **message)

    def _member(self, name: str, options: Mapping[str, str] | None = None) -> Member:
        directory = self._directory / name
        directory.mkdir(exist_ok=True)
        return Member(
            directory,
            name,
            self._peers,
            {**self._options, **(options or {})},
            peer_port=self._listens[name],
            to_kill=True,
        )

    def _status(self, member: Member) -> Any:
        """None: it does not answer, or knows no leader."""
        try:
            return ask(member, STATUS, StatusRequest())
        except StoreUnavailableError:
            return None


def url_of(ports: Sequence[int], database: str, **options: str) -> str:
    """The URL of a database whose members are at these ports of this machine, to be tried in this order."""
    first, *others = (f"127.0.0.1:{port}" for port in ports)
    rest = [*(f"host={host}" for host in others), *(f"{name}={value}" for name, value in options.items())]
    return f"rome+etcd://{first}/{database}?{'&'.join(rest)}"


def ask(member: Member, method: Method, message: Any) -> Any:
    """One call of one member.

    Raises:
        StoreUnavailableError: it does not answer within a second.
    """
    client = EtcdClient(settings(member))
    try:
        [answer] = client.call([(method, message)], timeout_s=1.0).messages
        return answer
    finally:
        client.close()


def gateway(member: Member, path: str, **message: object) -> None:
    """Calls of the API that Rome has no need of, by the server's JSON gateway."""
    request = urllib.request.Request(
        f"http://{member.host}:{member.port}/v3/{path}", json.dumps(message).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()
