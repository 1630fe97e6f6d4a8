"""Find the primary of a database: at the URL's own address, where Sentinels say that it is, or where a cluster says.

Whoever promotes a replica or moves a slot, a connection to the old place ends or is told so, and the next connection
asks anew. Where the primary is, is not remembered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from redis import exceptions

from rome.errors import OperationalError, StoreBusyError, StoreUnavailableError
from rome.store.option_values import Address
from rome.store.redis.cluster import SlotRange, ask_slots, at
from rome.store.redis.failures import translate
from rome.store.redis.link import RedisLink, Reply, greet_server
from rome.store.redis.sentinel import ask_sentinels
from rome.store.redis.settings import RedisSettings
from rome.store.redis.wire import Command

MOST_MOVES = 5
"""How often one connection follows MOVED: nodes that send a client to each other are not agreed yet."""

_PASSING = (StoreUnavailableError, StoreBusyError)

_first: dict[tuple[Address, ...], Address] = {}
"""{the nodes of a URL: which of them led to a primary last}. It is asked first, since a node that is cut off makes each
connection wait for the connect timeout."""


def greet(settings: RedisSettings, slot: int, commands: Sequence[Command]) -> tuple[RedisLink, list[Reply]]:
    """Connect to the primary, and send `commands`. Replies that are errors are among the others.

    Args:
        slot: where the database is, if the server is part of a cluster.

    Raises:
        StoreUnavailableError, StoreBusyError, AuthenticationError: there is no usable connection.
        StoreConfigError: cluster=on, and no cluster.

    Cost: one round trip; with Sentinels two or three more. In a cluster one more, and one for each node that does not
    answer or does not know the primary.
    """
    if settings.sentinel is not None:
        return greet_server(ask_sentinels(settings), commands)
    if not settings.cluster:
        return greet_server(settings, commands)
    failures: list[OperationalError] = []
    tried: set[Address] = set()
    for node in sorted(settings.nodes, key=lambda node: node != _first.get(settings.nodes)):
        try:
            owner = _owner(ask_slots(settings, node), slot)
            if owner is None:
                raise StoreBusyError(f"{node[0]}:{node[1]}: no node has slot {slot} of the cluster")
            if owner not in tried:
                tried.add(owner)
                found = _greet_owner(settings, owner, commands)
                _first[settings.nodes] = node
                return found
        except _PASSING as error:
            failures.append(error)
    busy = [error for error in failures if isinstance(error, StoreBusyError)]
    last = (busy or failures)[-1]
    raise type(last)(f"{settings.server}: none of these leads to the primary of slot {slot}. {last}") from last


def _owner(ranges: Sequence[SlotRange], slot: int) -> Address | None:
    return next((each.primary for each in ranges if each.first <= slot <= each.last), None)


def _greet_owner(settings: RedisSettings, owner: Address, commands: Sequence[Command]) -> tuple[RedisLink, list[Reply]]:
    """Connect to the server that is said to have the slot, or to the one that it names instead.

    Raises:
        StoreBusyError: no server has it now.
    """
    for _ in range(MOST_MOVES):
        link, replies = greet_server(at(settings, owner), commands)
        refusal = next((reply for reply in replies if isinstance(reply, _NOT_HERE)), None)
        if refusal is None:
            return link, replies
        link.close()
        if not isinstance(refusal, exceptions.MovedError):
            raise translate(refusal, link.server) from refusal
        owner = (refusal.host or owner[0], refusal.port)
    raise StoreBusyError(f"{link.server}: the nodes of the cluster do not agree yet on which of them has the database")


_NOT_HERE = (exceptions.MovedError, exceptions.ClusterDownError)


def every_primary(settings: RedisSettings) -> Iterator[RedisSettings]:
    """All primaries, of which each may have databases: one, unless it is a cluster.

    Raises:
        StoreUnavailableError, StoreBusyError, AuthenticationError, StoreConfigError: nobody tells.
    """
    if settings.sentinel is not None:
        yield ask_sentinels(settings)
    elif not settings.cluster:
        yield settings
    else:
        for address in sorted({each.primary for each in every_range(settings)}):
            yield at(settings, address)


def every_range(settings: RedisSettings) -> list[SlotRange]:
    """What the first node of a cluster that answers knows of who has which slots."""
    failure: OperationalError | None = None
    for node in settings.nodes:
        try:
            return ask_slots(settings, node)
        except _PASSING as error:
            failure = error
    assert failure is not None
    raise failure
