"""The store of ordered keys on the engine in memory, and what the conformance suite must know of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

from rome.store.location import Location
from rome.store.ordered.driver import Driver
from rome.store.ordered.memory import MemoryDriver, MemoryEngine
from rome.store.ordered.store import OrderedStore
from rome.store.spi import Capabilities

engines: defaultdict[str, MemoryEngine] = defaultdict(MemoryEngine)


class OrderedMemoryStore(OrderedStore):
    """All databases are in one engine, which the location's host names."""

    capabilities = Capabilities(durable=False, shared=False, network=False, index_trips=2, pins=True)
    options = frozenset()

    @classmethod
    def connect(cls, location: Location) -> Driver:
        return MemoryDriver(engines[location.host or ""])

    @classmethod
    def engine(cls, location: Location) -> Hashable:
        return location.host
