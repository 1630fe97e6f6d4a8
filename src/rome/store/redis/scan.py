"""Find the databases on a server by a scan: the only command of Rome's that sees other applications' keys."""

from __future__ import annotations

from collections.abc import Iterator

from rome.store.redis.failures import checked
from rome.store.redis.link import RedisLink
from rome.store.redis.names import PATTERN, DatabaseName, database_of

KEYS_PER_SCAN = 1_000


def databases_at(link: RedisLink) -> set[DatabaseName]:
    """The databases on one server.

    SCAN and not a registry: a registry would be in another slot than the databases, so that it could not be updated
    together with them.

    Cost: a round trip for every thousand keys of the server.
    """
    return {found for key in _meta_keys(link) if (found := database_of(key)) is not None}


def _meta_keys(link: RedisLink) -> Iterator[bytes]:
    cursor = b"0"
    while True:
        command = (b"SCAN", cursor, b"MATCH", PATTERN, b"COUNT", b"%d" % KEYS_PER_SCAN, b"TYPE", b"hash")
        cursor, keys = checked(link.call([command])[0], link.server)
        yield from keys
        if cursor == b"0":
            return
