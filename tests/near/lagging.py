"""The engine of ordered keys in memory, with a near member that is as far behind as a test wants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

from rome.store.location import Location
from rome.store.ordered.driver import Driver, DriverTransaction, Revision, RevisionAheadError, TransactionOutcome
from rome.store.ordered.memory import MemoryDriver, MemoryEngine
from rome.store.ordered.store import OrderedStore
from rome.store.spi import Capabilities


class LaggingEngine(MemoryEngine):
    """With a member that has nothing beyond `member_has`; None: it has everything."""

    def __init__(self) -> None:
        super().__init__()
        self.member_has: Revision | None = None

    def run_at_member(self, transaction: DriverTransaction) -> TransactionOutcome:
        newest = self.revision
        self.revision = newest if self.member_has is None else min(newest, self.member_has)
        try:
            return self.run(transaction)
        finally:
            self.revision = newest


class LaggingDriver(MemoryDriver):
    """As EtcdDriver does: what need not be fresh is asked of the member, unless that lacks what we were told of."""

    reads_near = True

    def __init__(self, engine: LaggingEngine) -> None:
        super().__init__(engine)
        self._lagging = engine
        self._newest: Revision = 0

    def run(
        self, transactions: Sequence[DriverTransaction], aside: Sequence[DriverTransaction] = (), *, fresh: bool = True
    ) -> list[TransactionOutcome]:
        outcomes = None if fresh or any(each.writes for each in transactions) else self._run_at_member(transactions)
        if outcomes is None:
            outcomes = super().run(transactions, aside)
        self._newest = max(self._newest, *(outcome.revision for outcome in outcomes))
        return outcomes

    def _run_at_member(self, transactions: Sequence[DriverTransaction]) -> list[TransactionOutcome] | None:
        self.trips += 1
        self.near_trips += 1
        with self._lagging.lock:
            try:
                outcomes = [self._lagging.run_at_member(transaction) for transaction in transactions]
            except RevisionAheadError:
                return None
        return None if any(outcome.revision < self._newest for outcome in outcomes) else outcomes


lagging_engines: defaultdict[str, LaggingEngine] = defaultdict(LaggingEngine)


class LaggingStore(OrderedStore):
    """All databases are in one engine, which the location's host names."""

    capabilities = Capabilities(durable=False, shared=False, network=False, index_trips=2, pins=True)
    options = frozenset()

    @classmethod
    def connect(cls, location: Location) -> Driver:
        return LaggingDriver(lagging_engines[location.host or ""])

    @classmethod
    def engine(cls, location: Location) -> Hashable:
        return location.host
