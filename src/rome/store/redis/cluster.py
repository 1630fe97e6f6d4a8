"""Ask the nodes of a cluster which server has which slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from redis import exceptions

from rome.errors import StoreConfigError
from rome.store.option_values import Address
from rome.store.redis.failures import checked
from rome.store.redis.health import parse_info
from rome.store.redis.link import Reply, greet_server
from rome.store.redis.settings import RedisSettings
from rome.store.redis.wire import Command

SLOTS: Command = (b"CLUSTER", b"SLOTS")
"""And not CLUSTER SHARDS, which tells the ports for TLS beside the others, and leaves the choice to the client."""


@dataclass(frozen=True, slots=True)
class SlotRange:
    """The slots from `first` to `last`, and who has them."""

    first: int
    last: int
    primary: Address
    replicas: tuple[Address, ...]

    @classmethod
    def read(cls, reply: Reply, asked: Address) -> Self:
        """One element of the answer to CLUSTER SLOTS."""
        first, last, *nodes = reply
        primary, *replicas = [_address(node, asked) for node in nodes]
        return cls(first, last, primary, tuple(replicas))


def _address(node: Sequence[Reply], asked: Address) -> Address:
    """Where a node is. One that does not know its own address leaves it out: it is where it was asked."""
    return (bytes(node[0]).decode() if node[0] else asked[0]), int(node[1])


def at(settings: RedisSettings, address: Address) -> RedisSettings:
    """The settings for one server of a cluster."""
    host, port = address
    return replace(settings, host=host, port=port, cluster=False)


def ask_slots(settings: RedisSettings, node: Address) -> list[SlotRange]:
    """What one node knows of who has which slots. It waits for the connect timeout only, as there are other nodes.

    Raises:
        StoreConfigError: it is not a node of a cluster.
        StoreUnavailableError, StoreBusyError, AuthenticationError: it cannot be asked.

    Cost: one round trip on a connection of its own.
    """
    hasty = replace(at(settings, node), read_timeout_s=min(settings.connect_timeout_s, settings.read_timeout_s))
    link, (slots, info) = greet_server(hasty, [SLOTS, (b"INFO", b"cluster")])
    link.close()
    if not isinstance(info, exceptions.RedisError) and parse_info(info).get("cluster_enabled") == "0":
        raise StoreConfigError(
            f"{link.server} is not a node of a cluster: leave out cluster=on, or set cluster-enabled yes"
        )
    return [SlotRange.read(each, node) for each in checked(slots, link.server)]
