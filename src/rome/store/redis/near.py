"""Near reads (`reads=near`): one connection's reads at a replica, while the primary validates and writes.

Invariant: what a replica answers is the database at one version of the primary's present incarnation, which is not
below any version that this process has seen or committed (docs/near-reads.md). Everything else is None, and the caller
asks the primary, which can answer as of every version that the replica had.
"""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from rome.errors import ConflictError, Error, SnapshotLostError, StoreBusyError
from rome.store.location import Location
from rome.store.near import NearServer, clock, first_to_answer, near_server
from rome.store.option_values import Address
from rome.store.redis.health import Health, parse_info
from rome.store.redis.link import Reply
from rome.store.redis.settings import NEAR_OPTIONS, PRIMARY_OPTIONS, RedisSettings
from rome.store.redis.store import RedisStore
from rome.store.redis.wire import pack
from rome.store.seen import newest_version, place_of
from rome.store.spi import ReadResult, Request, Snapshot, Version

FIRST_WAIT_S = 0.001
"""The pause before a replica that lacks what was just committed is asked again; doubled each time."""

WAIT_SHARE, MOST_WAIT_S = 0.5, 0.1
"""How long to wait for it in all: a share of a trip to the primary, which sends to replicas at the moment at which it
answers us; and the most."""

SEARCH_EVERY_S = 30.0
"""After no replica of the primary's could be reached, new connections do not look for one for so long."""

_PING = b"PING\r\n"

_none_until: dict[Hashable, float] = {}
"""By place."""

_ASK_LAG = pack((b"INFO", b"replication"))


class ReplicaStore(RedisStore):
    """A store that only reads: at a replica, which it never changes."""

    only_reads = True

    def __init__(self, location: Location, server: NearServer) -> None:
        super().__init__(location)
        self._near_server = server

    def ask_at(self, snapshot: Snapshot, requests: Sequence[Request]) -> ReadResult:
        """The answers as of a version that another connection has found.

        Raises:
            Error: it does not have that version, or cannot be asked.
        """
        return self._read_as_of(snapshot, requests, ())

    def _exchange(self, request: bytes, how_many: int) -> list[Reply]:
        if not self._near_server.is_look_due():
            return super()._exchange(request, how_many)
        *replies, info = super()._exchange(request + _ASK_LAG, how_many + 1)
        lag_s = _lag_s(parse_info(info)) if isinstance(info, bytes) else 0.0
        if self._near_server.is_behind(lag_s):
            raise StoreBusyError(f"{self._server}: this replica has heard nothing from its primary for {lag_s:g} s")
        return replies

    def _refuse(self, reply: Sequence[Any], version: Version) -> NoReturn:
        if reply[0] == b"dropped":  # or not there yet
            raise SnapshotLostError.of(version)
        super()._refuse(reply, version)


class NearReads:
    """The near side of one RedisStore."""

    def __init__(self, location: Location, settings: RedisSettings) -> None:
        self._location = location
        self._place = place_of(location)
        self._settings = settings
        self._server = None if settings.near is None else self._shared(settings.near)
        self._store: ReplicaStore | None = None
        self._trips_before = 0
        self._lacks = False
        """Whether the replica lacks the present transaction's version."""
        self._waits = True
        """Whether waiting for it paid the last time that it was necessary."""
        self._trip_s = 0.0
        """How long a trip to the primary takes."""

    @property
    def round_trips(self) -> int:
        """To the replica, so far."""
        return self._trips_before + (0 if self._store is None else self._store.round_trips)

    def primary_is(self, incarnation: bytes, health: Health | None = None) -> None:
        """Note what the primary says: the database's incarnation, and its replicas, of which the nearest is taken."""
        if health is not None and self._settings.near is None and (self._server is None or not self._server.is_up()):
            self._choose(health.replicas)
        if self._server is not None:
            self._server.incarnation = incarnation

    def primary_took(self, seconds: float) -> None:
        """Note how long a trip to the primary took."""
        self._trip_s = min(seconds, 2 * self._trip_s or seconds)

    def new_snapshot(self, requests: Sequence[Request], at_least: Snapshot | None, known: Version) -> ReadResult | None:
        """The answers at the replica's newest version; None if the primary must be asked.

        Args:
            at_least: what the snapshot must not be older than, beside what the process has seen; None for nothing.
            known: the same, of this connection.
        """
        self._lacks = False
        server = self._server
        if server is None or not server.is_up():
            return None
        incarnation = server.incarnation
        if at_least is not None:
            if at_least.incarnation != incarnation:
                return None
            known = max(known, at_least.version)
        wait_s, patience_s = FIRST_WAIT_S, min(WAIT_SHARE * self._trip_s, MOST_WAIT_S) if self._waits else 0.0
        while True:
            try:
                result = self._reader(server).read(None, requests)
            except ConflictError:  # it does not have the database yet
                result = None
            except Error:
                self._leave(server)
                return None
            if result is not None:
                server.answered()
                found = result.snapshot
                if found.incarnation != (incarnation or found.incarnation):
                    return None
                if found.version >= max(known, newest_version(found.incarnation)):
                    self._waits = True
                    return result
            if wait_s > patience_s:
                self._waits = False
                return None
            time.sleep(wait_s)
            patience_s -= wait_s
            wait_s *= 2

    def at(self, snapshot: Snapshot, requests: Sequence[Request]) -> ReadResult | None:
        """The answers as of a snapshot; None if the primary must be asked."""
        server = self._server
        if server is None or self._lacks or not server.is_up():
            return None
        try:
            return self._reader(server).ask_at(snapshot, requests)
        except ConflictError:
            self._lacks = True
        except Error:
            self._leave(server)
        return None

    def is_usable(self) -> bool:
        """Whether the connection to the replica is not known to be lost."""
        return self._store is not None and self._store.is_usable()

    def close(self) -> None:
        """Release everything. Idempotent."""
        if self._store is not None:
            self._trips_before += self._store.round_trips
            self._store.close()
            self._store = None

    def _choose(self, replicas: Sequence[Address]) -> None:
        if clock() < _none_until.get(self._place, 0.0):
            return
        found = first_to_answer(replicas, self._settings.near_timeout_s)
        if found is None:
            _none_until[self._place] = clock() + SEARCH_EVERY_S
        self.close()
        self._server = None if found is None else self._shared(found)

    def _shared(self, address: Address) -> NearServer:
        max_lag_s = self._settings.near_max_lag_s
        key = (address, self._place, max_lag_s)
        return near_server(key, lambda: NearServer(address, _PING, max_lag_s))

    def _reader(self, server: NearServer) -> ReplicaStore:
        if self._store is None:
            self._store = ReplicaStore(_at_replica(self._location, server.address, self._settings), server)
        return self._store

    def _leave(self, server: NearServer) -> None:
        self.close()
        server.failed()


def _at_replica(location: Location, address: Address, settings: RedisSettings) -> Location:
    dropped = NEAR_OPTIONS | PRIMARY_OPTIONS
    options = {name: text for name, text in location.options.items() if name not in dropped}
    timeout = str(settings.near_timeout_s)
    host, port = address
    options |= {"connect_timeout": timeout, "read_timeout": timeout}
    return replace(location, host=host, port=port, options=options)


def _lag_s(replication: Mapping[str, str]) -> float:
    """How long ago a replica heard from its primary; 0 for a primary.

    Args:
        replication: what INFO says.
    """
    if replication.get("role") != "slave":
        return 0.0
    since = replication.get("master_link_down_since_seconds", replication.get("master_last_io_seconds_ago", "-1"))
    return float(since) if since.isdigit() else math.inf  # -1: it has never heard of it
