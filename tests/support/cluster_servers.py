"""Real clusters of Redis or Valkey servers for tests, made by commands of the servers: no redis-cli is needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import redis

from rome.store.location import Location
from tests.support.redis_command import send
from tests.support.servers import Flavour, Server

SLOTS = 16384
WAIT_S = 60.0
"""Generous: it is only ever used up by a cluster that hangs."""


class Cluster:
    """Primaries that share the slots evenly, in the order of `nodes`, followed by their replicas.

    Args:
        directory: the nodes' folders are made in it.
        replicas: of each primary; or how many the first primary has, the second, and so on.
        make_node: makes a server from its folder and number.

    Attributes:
        nodes: all servers; the first `shards` of them were made primaries, and the others follow these.
    """

    def __init__(
        self,
        flavour: Flavour,
        directory: Path,
        shards: int = 3,
        replicas: int | Sequence[int] = 0,
        node_timeout_ms: int = 1000,
        options: Mapping[str, str] | None = None,
        make_node: Callable[[Flavour, Path, Mapping[str, str], int], Server] | None = None,
    ) -> None:
        self.shards = shards
        of_each = [replicas] * shards if isinstance(replicas, int) else [*replicas, *[0] * (shards - len(replicas))]
        self._followed = [primary for primary, count in enumerate(of_each) for _ in range(count)]
        settings = {
            "cluster-enabled": "yes",
            "cluster-node-timeout": str(node_timeout_ms),
            "appendonly": "yes",
            "appendfsync": "no",
            "repl-diskless-sync-delay": "0",
            **(options or {}),
        }
        make = make_node or (lambda flavour, folder, settings, _: Server(flavour, folder, settings))
        self.nodes: list[Server] = []
        for number in range(shards + len(self._followed)):
            folder = directory / f"node{number}"
            folder.mkdir()
            self.nodes.append(make(flavour, folder, settings, number))

    def start(self) -> Self:
        """Start all servers and make them a cluster; returns when every node knows who has which slots."""
        for node in self.nodes:
            node.start()
        for number, node in enumerate(self.nodes):
            send_to(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < self.shards:
                first, stop = (SLOTS * each // self.shards for each in (number, number + 1))
                send_to(node, "CLUSTER", "ADDSLOTSRANGE", first, stop - 1)
            for other in self.nodes[:number]:
                send_to(node, "CLUSTER", "MEET", other.host, other.port)
        self._await(lambda view: len(view) == len(self.nodes) and not any("handshake" in line for line in view))
        for node, primary in zip(self.nodes[self.shards :], self._followed, strict=True):
            send_to(node, "CLUSTER", "REPLICATE", self.id_of(self.nodes[primary]))
        self._await(lambda view: sum("slave" in line for line in view) == len(self.nodes) - self.shards)
        await_that(self.is_healthy)
        return self

    def _await(self, holds: Callable[[list[str]], bool]) -> None:
        await_that(lambda: all(holds(self.view(node)) for node in self.nodes))

    def stop(self) -> None:
        """End all servers. Idempotent."""
        for node in self.nodes:
            node.kill()

    def view(self, node: Server) -> list[str]:
        """The lines of CLUSTER NODES, of the nodes that it knows."""
        return [line for line in text_of(send_to(node, "CLUSTER", "NODES")).splitlines() if line]

    def id_of(self, node: Server) -> str:
        return text_of(send_to(node, "CLUSTER", "MYID"))

    def is_healthy(self) -> bool:
        """Whether every node is up, says that all is well, and follows its primary."""
        for node in self.nodes:
            try:
                state = facts_of(node, "CLUSTER", "INFO")["cluster_state"]
                replication = facts_of(node, "INFO", "replication")
            except redis.RedisError:
                return False
            if state != "ok" or (replication["role"] == "slave" and replication["master_link_status"] != "up"):
                return False
        return True

    def owner(self, slot: int, *, asked: Server | None = None) -> Server | None:
        """Which node has a slot, in the eyes of `asked`, or of the first node that answers; None: none that is up."""
        for node in [asked] if asked is not None else self.nodes:
            try:
                lines = self.view(node)
            except redis.RedisError:
                continue
            for line in lines:
                _, address, flags, *_, slots = *line.split()[:8], line.split()[8:]
                if "master" in flags.split(",") and any(_has(each, slot) for each in slots):
                    port = int(address.partition("@")[0].rpartition(":")[2])
                    host = address.rpartition(":")[0]
                    return next(each for each in self.nodes if (each.host, each.port) == (host, port))
        return None

    def primaries(self) -> list[Server]:
        """The nodes that are primaries now."""
        return [node for node in self.nodes if "master" in facts_of(node, "INFO", "replication")["role"]]

    def location(self, database: str, node: int = 0, **options: str) -> Location:
        """A database, found through one of the nodes."""
        named = self.nodes[node]
        return Location("redis", database, host=named.host, port=named.port, options={"cluster": "on", **options})

    def url(self, database: str, **options: str) -> str:
        """A database, found through any of the nodes."""
        first, *others = (f"{node.host}:{node.port}" for node in self.nodes)
        words = ["cluster=on", *(f"host={other}" for other in others), *(f"{k}={v}" for k, v in options.items())]
        return f"rome+redis://{first}/{database}?{'&'.join(words)}"


def _has(slots: str, slot: int) -> bool:
    first, _, last = slots.partition("-")
    return first.isdigit() and int(first) <= slot <= int(last or first)


@contextmanager
def running(cluster: Cluster) -> Iterator[Cluster]:
    with ExitStack() as stack:
        stack.callback(cluster.stop)
        yield cluster.start()


def send_to(node: Server, *words: bytes | str | int) -> Any:
    """The answer of a node to a command, on a connection of its own."""
    with redis.Redis(node.host, node.port, socket_timeout=2, socket_connect_timeout=2, protocol=2) as client:
        client.response_callbacks.clear()  # as the server says it
        return send(client, *words)


def facts_of(node: Server, *words: str) -> dict[str, str]:
    """An answer that has a `name:value` in each line."""
    lines = (line.partition(":") for line in text_of(send_to(node, *words)).splitlines())
    return {name: value for name, _, value in lines}


def text_of(answer: bytes | str) -> str:
    return answer.decode() if isinstance(answer, bytes) else answer


def await_that(condition: Callable[[], bool], what: str = "it") -> None:
    """Wait until something holds.

    Raises:
        AssertionError: it does not come to it.
    """
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} does not happen"
        time.sleep(0.02)


def addresses_of(nodes: Sequence[Server]) -> str:
    """As the URL option `host` takes them."""
    return ",".join(f"{node.host}:{node.port}" for node in nodes)


class SlotMove:
    """A move of one slot, key by key, as redis-cli makes it; by steps, so that tests can look in between."""

    def __init__(self, cluster: Cluster, slot: int, source: Server, target: Server) -> None:
        self.source, self.target = source, target
        self._slot = slot
        self._ids = {node: cluster.id_of(node) for node in (source, target)}
        self._others = [node for node in cluster.nodes if node not in (source, target)]

    def begin(self) -> Self:
        send_to(self.target, "CLUSTER", "SETSLOT", self._slot, "IMPORTING", self._ids[self.source])
        send_to(self.source, "CLUSTER", "SETSLOT", self._slot, "MIGRATING", self._ids[self.target])
        return self

    def keys(self) -> list[bytes]:
        """Those that the source still has."""
        keys: list[bytes] = send_to(self.source, "CLUSTER", "GETKEYSINSLOT", self._slot, 100_000)
        return keys

    def move(self, *keys: bytes) -> None:
        if keys:
            send_to(self.source, "MIGRATE", self.target.host, self.target.port, "", 0, 10_000, "KEYS", *keys)

    def finish(self) -> None:
        """Move the rest, and tell all primaries who has the slot."""
        self.move(*self.keys())
        for node in (self.target, self.source, *self._others):
            if "master" in facts_of(node, "INFO", "replication")["role"]:
                send_to(node, "CLUSTER", "SETSLOT", self._slot, "NODE", self._ids[self.target])

    def undo(self) -> None:
        """Leave the slot where it was, before any key was moved."""
        for node in (self.source, self.target):
            send_to(node, "CLUSTER", "SETSLOT", self._slot, "STABLE")


def move_slot(cluster: Cluster, slot: int, target: Server | None = None) -> Server:
    """Move a slot with all that is in it, key by key; returns where it is now, by default another node than before."""
    source = cluster.owner(slot)
    assert source is not None
    target = target or next(node for node in cluster.primaries() if node is not source)
    SlotMove(cluster, slot, source, target).begin().finish()
    await_that(lambda: all(cluster.owner(slot, asked=node) is target for node in cluster.nodes))
    return target


def move_slot_at_once(cluster: Cluster, slot: int, target: Server | None = None) -> Server:
    """The same as one step, as Valkey 9 does it."""
    source = cluster.owner(slot)
    assert source is not None
    target = target or next(node for node in cluster.primaries() if node is not source)
    command = ("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", cluster.id_of(target))
    send_to(source, *command)
    deadline = time.monotonic() + WAIT_S
    while cluster.owner(slot, asked=source) is not target:
        assert time.monotonic() < deadline, "the slot does not move"
        if _state_of_last_move(source) in ("failed", "cancelled"):  # a server gives up what takes it too long
            send_to(source, *command)
        time.sleep(0.02)
    return target


def _state_of_last_move(source: Server) -> str:
    moves = send_to(source, "CLUSTER", "GETSLOTMIGRATIONS")
    if not moves:
        return ""
    words = [text_of(word) for word in moves[0] if isinstance(word, bytes | str)]
    return words[words.index("state") + 1]
