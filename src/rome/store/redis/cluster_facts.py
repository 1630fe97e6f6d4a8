"""What the nodes of a cluster say of it: who has which slots, who is up, what is moved, and where the databases are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Self

from redis import exceptions

from rome.errors import DatabaseError
from rome.store.option_values import Address
from rome.store.redis.cluster import SlotRange, ask_slots, at
from rome.store.redis.health import parse_info
from rome.store.redis.link import greet_server
from rome.store.redis.names import DatabaseName
from rome.store.redis.scan import databases_at
from rome.store.redis.settings import RedisSettings

CONFIG = ("cluster-node-timeout", "cluster-require-full-coverage", "cluster-allow-reads-when-down")


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """A line of CLUSTER NODES.

    Attributes:
        name: its address, as the other nodes know it.
        moves: the slots that it gives to others, or takes from others, key by key: "6000 to <id of the node>".
    """

    id: str
    name: str
    flags: frozenset[str]
    primary_id: str
    has_slots: bool
    moves: tuple[str, ...]

    @classmethod
    def read(cls, line: str) -> Self:
        """The node of a line."""
        id_, address, flags, primary_id, _, _, _, _, *slots = line.split()
        moves = [slot.strip("[]").replace("->-", " to ").replace("-<-", " from ") for slot in slots if slot[0] == "["]
        owned = any(slot[0] != "[" for slot in slots)
        return cls(id_, address.partition("@")[0], frozenset(flags.split(",")), primary_id, owned, tuple(moves))

    @property
    def is_primary(self) -> bool:
        """Whether it is a primary, with or without slots."""
        return "master" in self.flags

    @property
    def is_up(self) -> bool:
        """Whether the node that was asked finds it so."""
        return not self.flags & {"fail", "fail?", "noaddr", "handshake"}


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What could be found out.

    Attributes:
        info: CLUSTER INFO of the first node that answered; config, in the same way, may be empty.
        nodes: as that node sees them; empty if the user may not ask.
        moves: of all nodes that answer, since only the two of a move know of it.
        unreachable: {a node to which clients are sent: why it cannot be reached from here}.
        databases: {a primary: the databases on it}.
    """

    info: Mapping[str, str]
    config: Mapping[str, str]
    nodes: Sequence[ClusterNode]
    moves: Mapping[str, Sequence[str]]
    ranges: Sequence[SlotRange]
    unreachable: Mapping[str, str]
    databases: Mapping[str, Sequence[DatabaseName]]


def ask_cluster(settings: RedisSettings) -> ClusterFacts:
    """Ask one node of the URL about the cluster, and every node of the cluster whether it can be reached.

    Raises:
        DatabaseError: no node of the URL answers.

    Cost: a connection to every node, and a scan of every primary.
    """
    hasty = replace(settings, read_timeout_s=min(settings.connect_timeout_s, settings.read_timeout_s))
    failure: DatabaseError | None = None
    ranges: list[SlotRange] | None = None
    for address in settings.nodes:
        try:
            ranges = ask_slots(settings, address)
            break
        except DatabaseError as error:
            failure = error
    if ranges is None:
        assert failure is not None
        raise failure
    info, config, nodes = _ask_node(hasty, address)
    moves: dict[str, Sequence[str]] = {}
    unreachable: dict[str, str] = {}
    databases: dict[str, Sequence[DatabaseName]] = {}
    primaries = {shard.primary for shard in ranges}
    for each in sorted(primaries | {replica for shard in ranges for replica in shard.replicas}):
        server = at(hasty, each)
        try:
            _, _, seen = _ask_node(hasty, each)
            if each in primaries:
                with suppress(exceptions.ResponseError), closing(greet_server(server, [])[0]) as link:
                    databases[server.server] = sorted(databases_at(link), key=str)
        except DatabaseError as error:
            unreachable[server.server] = str(error)
            continue
        moves |= {node.name: node.moves for node in seen if "myself" in node.flags and node.moves}
    return ClusterFacts(info, config, nodes, moves, ranges, unreachable, databases)


def _ask_node(
    settings: RedisSettings, address: Address
) -> tuple[Mapping[str, str], Mapping[str, str], list[ClusterNode]]:
    commands = [(b"CLUSTER", b"INFO"), (b"CONFIG", b"GET", *CONFIG), (b"CLUSTER", b"NODES")]
    link, replies = greet_server(at(settings, address), commands)
    link.close()
    info, config, nodes = [None if isinstance(reply, exceptions.RedisError) else reply for reply in replies]
    words = [word.decode("utf-8", "replace") for word in config or ()]
    lines = (nodes or b"").decode("utf-8", "replace").splitlines()
    return (
        parse_info(info or b""),
        dict(zip(words[::2], words[1::2], strict=True)),
        [ClusterNode.read(line) for line in lines if line],
    )
