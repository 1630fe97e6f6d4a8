"""An engine of ordered keys in this process: the simplest form of a driver, for tests and as a model."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from threading import Lock

from rome.errors import StoreUnavailableError
from rome.store.ordered.driver import (
    Condition,
    Delete,
    Driver,
    DriverCompare,
    DriverTransaction,
    Pair,
    Put,
    Raise,
    Range,
    RangeResult,
    Revision,
    RevisionAheadError,
    RevisionGoneError,
    TransactionOutcome,
)


class MemoryEngine:
    """The map, with its whole history. Callers of every method hold `lock`."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.revision: Revision = 1
        self.discarded: Revision = 0
        """Revisions below this one are not readable."""
        self._keys: list[bytes] = []
        self._past: dict[bytes, list[tuple[Revision, Pair | None]]] = {}
        """Each key's values and their revisions, oldest first; None if it was deleted."""

    def run(self, transaction: DriverTransaction) -> TransactionOutcome:
        for each in (*transaction.then, *transaction.otherwise):
            if each.revision > self.revision:
                raise RevisionAheadError(f"revision {each.revision} is ahead of {self.revision}")
            if 0 < each.revision < self.discarded:
                raise RevisionGoneError(f"revision {each.revision} was discarded")
        held = all(self._holds(compare) for compare in transaction.conditions)
        found = [self._find(each) for each in (transaction.then if held else transaction.otherwise)]
        deleted: list[int] = []
        if held and transaction.writes:
            self.revision += 1
            for write in transaction.writes:
                match write:
                    case Put():
                        self._put(write.key, write.value)
                    case Raise():
                        before = self._at(write.key, self.revision)
                        if before is None or before.value < write.value:
                            self._put(write.key, write.value)
                    case Delete():
                        present = [pair.key for pair in self._pairs(write.start, write.stop, self.revision)]
                        for key in present:
                            self._past[key].append((self.revision, None))
                        deleted.append(len(present))
        return TransactionOutcome(self.revision, held, found, deleted)

    def changes(
        self, start: bytes, stop: bytes, since: Revision, until: Revision
    ) -> list[tuple[Revision, bytes]] | None:
        if since < self.discarded:
            return None
        keys = self._keys[bisect_left(self._keys, start) : bisect_left(self._keys, stop)]
        return sorted((at, key) for key in keys for at, _ in self._past[key] if since <= at <= until)

    def discard(self, revision: Revision) -> None:
        self.discarded = max(self.discarded, min(revision, self.revision))

    def _put(self, key: bytes, value: bytes) -> None:
        before = self._at(key, self.revision)
        created = self.revision if before is None else before.created
        if key not in self._past:
            insort(self._keys, key)
        self._past.setdefault(key, []).append((self.revision, Pair(key, value, created, self.revision)))

    def _at(self, key: bytes, revision: Revision) -> Pair | None:
        for changed, pair in reversed(self._past.get(key, ())):
            if changed <= revision:
                return pair
        return None

    def _pairs(self, start: bytes, stop: bytes | None, revision: Revision) -> Iterator[Pair]:
        within = None if stop is None else self._keys[bisect_left(self._keys, start) : bisect_left(self._keys, stop)]
        for key in [start] if within is None else within:
            pair = self._at(key, revision)
            if pair is not None:
                yield pair

    def _find(self, asked: Range) -> RangeResult:
        pairs = [
            pair
            for pair in self._pairs(asked.start, asked.stop, asked.revision or self.revision)
            if pair.modified > asked.modified_after and pair.created > asked.created_after
        ]
        count = len(pairs)
        if asked.reverse:
            pairs.reverse()
        if asked.limit:
            pairs = pairs[: asked.limit]
        if asked.count_only:
            pairs = []
        if asked.keys_only:
            pairs = [Pair(pair.key, b"", pair.created, pair.modified) for pair in pairs]
        return RangeResult(pairs, count, 0 < asked.limit < count)

    def _holds(self, compare: DriverCompare) -> bool:
        pairs = list(self._pairs(compare.start, compare.stop, self.revision))
        operand = compare.operand
        if isinstance(operand, bytes):
            if compare.condition is Condition.VALUE_IS:
                return any(pair.value == operand for pair in pairs)
            return any(pair.value < operand for pair in pairs)
        match compare.condition:
            case Condition.MODIFIED_UP_TO:
                return all(pair.modified <= operand for pair in pairs)
            case Condition.CREATED_UP_TO:
                return all(pair.created <= operand for pair in pairs)
            case Condition.MODIFIED_SINCE:
                return any(pair.modified >= operand for pair in pairs)
            case _:
                return (pairs[0].modified if pairs else 0) == operand


class MemoryDriver(Driver):
    """One call counts as one round trip."""

    def __init__(self, engine: MemoryEngine) -> None:
        self.trips = 0
        self._engine = engine
        self._is_closed = False

    @property
    def server(self) -> str:
        return "this process"

    def run(
        self, transactions: Sequence[DriverTransaction], aside: Sequence[DriverTransaction] = (), *, fresh: bool = True
    ) -> list[TransactionOutcome]:
        if self._is_closed:
            raise StoreUnavailableError("the connection is closed")
        self.trips += 1
        with self._engine.lock:
            for transaction in aside:
                self._engine.run(transaction)
            return [self._engine.run(transaction) for transaction in transactions]

    @property
    def was_sent(self) -> bool:
        return False

    def changes(
        self, start: bytes, stop: bytes, since: Revision, until: Revision
    ) -> list[tuple[Revision, bytes]] | None:
        self.trips += 1
        with self._engine.lock:
            return self._engine.changes(start, stop, since, until)

    def discard(self, revision: Revision) -> None:
        with self._engine.lock:
            self._engine.discard(revision)

    def is_usable(self) -> bool:
        return not self._is_closed

    def close(self) -> None:
        self._is_closed = True
