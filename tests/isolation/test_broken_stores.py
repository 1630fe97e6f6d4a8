"""The checker finds what a store does wrong that is broken in one place."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from isolation.simulation import Event, Simulation, SteppingStore
from rome.store.spi import CommitRequest, ReadResult, Request, Reserve, Snapshot, Version
from rome.testing.isolation import Kind, check


class WithoutValidation(SteppingStore):
    """Applies every commit, whatever it had read."""

    def commit(self, request: CommitRequest) -> Version:
        return super().commit(replace(request, points=(), ranges=()))


class WithoutRanges(SteppingStore):
    """Validates rows, but not ranges."""

    def commit(self, request: CommitRequest) -> Version:
        return super().commit(replace(request, ranges=()))


class WithoutSnapshots(SteppingStore):
    """Every read is of the newest version, and commits are not validated."""

    def read(
        self, snapshot: Snapshot | None, requests: Sequence[Request], reserves: Sequence[Reserve] = ()
    ) -> ReadResult:
        return super().read(None, requests, reserves)

    def commit(self, request: CommitRequest) -> Version:
        return super().commit(replace(request, points=(), ranges=()))


class Forgetful(SteppingStore):
    """Acknowledges every third commit without applying it."""

    commits = 0

    def commit(self, request: CommitRequest) -> Version:
        self.commits += 1
        if self.commits % 3 == 0:
            return request.snapshot.version + 1
        return super().commit(request)


class WithoutDeletes(SteppingStore):
    """Acknowledges deletes, and keeps the rows."""

    def commit(self, request: CommitRequest) -> Version:
        rows = tuple(row for row in request.rows if row.record is not None)
        return super().commit(replace(request, rows=rows, entries=tuple(e for e in request.entries if e.present)))


class WithoutIds(SteppingStore):
    """Says of every commit whose answer was lost that it was never applied."""

    def resolve(self, transaction_id: bytes, snapshot: Version) -> Version | None:
        super().resolve(transaction_id, snapshot)
        return None


FAULTS: list[tuple[type[SteppingStore], str, str, set[Kind]]] = [
    (WithoutValidation, "lists", "SERIALIZABLE", {Kind.G0, Kind.LOST_UPDATE, Kind.G2_ITEM, Kind.G2}),
    (WithoutValidation, "lists", "SNAPSHOT", {Kind.G0, Kind.LOST_UPDATE}),
    (WithoutValidation, "lists", "READ COMMITTED", {Kind.G0, Kind.INCOMPATIBLE_ORDER}),
    (WithoutValidation, "lists", "AUTOCOMMIT", {Kind.G0, Kind.STALE_READ}),
    (WithoutValidation, "registers", "SERIALIZABLE", {Kind.LOST_UPDATE, Kind.G2_ITEM, Kind.G2}),
    (WithoutValidation, "registers", "SNAPSHOT", {Kind.LOST_UPDATE}),
    (WithoutValidation, "sets", "SERIALIZABLE", {Kind.G2}),
    (WithoutValidation, "counters", "READ COMMITTED", {Kind.LOST_WRITE, Kind.STALE_READ}),
    (WithoutValidation, "counters", "AUTOCOMMIT", {Kind.LOST_WRITE}),
    (WithoutValidation, "bank", "SNAPSHOT", {Kind.INVARIANT}),
    (WithoutValidation, "stock", "SERIALIZABLE", {Kind.DOUBLE_REMOVAL, Kind.G2}),
    (WithoutValidation, "stock", "SNAPSHOT", {Kind.DOUBLE_REMOVAL}),
    (WithoutValidation, "stock", "READ COMMITTED", {Kind.DOUBLE_REMOVAL}),
    (WithoutRanges, "lists", "SERIALIZABLE", {Kind.G2}),
    (WithoutRanges, "sets", "SERIALIZABLE", {Kind.G2}),
    (WithoutRanges, "stock", "SERIALIZABLE", {Kind.G2}),
    (WithoutSnapshots, "stock", "READ COMMITTED", {Kind.G_SINGLE}),
    (WithoutSnapshots, "sets", "SNAPSHOT", {Kind.G_SINGLE}),
    (WithoutSnapshots, "bank", "SNAPSHOT", {Kind.G_SINGLE}),
    (Forgetful, "lists", "SERIALIZABLE", {Kind.STALE_READ}),
    (Forgetful, "sets", "AUTOCOMMIT", {Kind.STALE_READ}),
    (Forgetful, "stock", "SERIALIZABLE", {Kind.STALE_READ}),
    (WithoutDeletes, "stock", "SERIALIZABLE", {Kind.STALE_READ}),
    (WithoutDeletes, "stock", "READ COMMITTED", {Kind.STALE_READ}),
    (Forgetful, "counters", "READ COMMITTED", {Kind.LOST_WRITE}),
    (WithoutIds, "lists", "SERIALIZABLE", {Kind.DUPLICATE}),
    (WithoutIds, "counters", "SNAPSHOT", {Kind.GARBAGE_READ}),
]
RUNS = 12


@pytest.mark.parametrize(("store", "workload", "level", "kinds"), FAULTS)
def test_fault_is_found(store: type[SteppingStore], workload: str, level: str, kinds: set[Kind]) -> None:
    found: Counter[Kind] = Counter()
    for seed in range(RUNS):
        chance = random.Random(seed)
        simulation = Simulation(workload, level, seed=seed, store=store)
        events = [Event.LOSE_ANSWER] if store is WithoutIds else [Event.RUN]
        history = simulation.run([(chance.randrange(3), chance.choice(events)) for _ in range(300)])
        found.update({each.kind for each in check(history).forbidden})
    assert kinds <= found.keys()
