"""The checker finds what a store does wrong that is broken in one place."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from rome.store.spi import CommitRequest, ReadResult, Request, Reserve, Snapshot, Version
from rome.testing.isolation import AnomalyKind, check
from tests.isolation.simulation import Event, Simulation, SteppingStore


class WithoutValidation(SteppingStore):
    """Applies every commit, whatever it had read."""

    def commit(self, request: CommitRequest) -> Version:
        return super().commit(replace(request, points={}, ranges={}))


class WithoutRanges(SteppingStore):
    """Validates rows, but not ranges."""

    def commit(self, request: CommitRequest) -> Version:
        return super().commit(replace(request, ranges={}))


class WithoutSnapshots(SteppingStore):
    """Every read is of the newest version, and commits are not validated."""

    def read(
        self, snapshot: Snapshot | None, requests: Sequence[Request], reserves: Sequence[Reserve] = ()
    ) -> ReadResult:
        return super().read(None, requests, reserves)

    def commit(self, request: CommitRequest) -> Version:
        return super().commit(replace(request, points={}, ranges={}))


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
        rows = {
            table_id: {key: record for key, record in rows.items() if record is not None}
            for table_id, rows in request.rows.items()
        }
        entries = {
            index: {entry: present for entry, present in entries.items() if present}
            for index, entries in request.entries.items()
        }
        return super().commit(replace(request, rows=rows, entries=entries))


class WithoutIds(SteppingStore):
    """Says of every commit whose answer was lost that it was never applied."""

    def resolve(self, transaction_id: bytes, snapshot: Version) -> Version | None:
        super().resolve(transaction_id, snapshot)
        return None


FAULTS: list[tuple[type[SteppingStore], str, str, set[AnomalyKind]]] = [
    (
        WithoutValidation,
        "lists",
        "SERIALIZABLE",
        {AnomalyKind.G0, AnomalyKind.LOST_UPDATE, AnomalyKind.G2_ITEM, AnomalyKind.G2},
    ),
    (WithoutValidation, "lists", "SNAPSHOT", {AnomalyKind.G0, AnomalyKind.LOST_UPDATE}),
    (WithoutValidation, "lists", "READ COMMITTED", {AnomalyKind.G0, AnomalyKind.INCOMPATIBLE_ORDER}),
    (WithoutValidation, "lists", "AUTOCOMMIT", {AnomalyKind.G0, AnomalyKind.STALE_READ}),
    (WithoutValidation, "registers", "SERIALIZABLE", {AnomalyKind.LOST_UPDATE, AnomalyKind.G2_ITEM, AnomalyKind.G2}),
    (WithoutValidation, "registers", "SNAPSHOT", {AnomalyKind.LOST_UPDATE}),
    (WithoutValidation, "sets", "SERIALIZABLE", {AnomalyKind.G2}),
    (WithoutValidation, "counters", "READ COMMITTED", {AnomalyKind.LOST_WRITE, AnomalyKind.STALE_READ}),
    (WithoutValidation, "counters", "AUTOCOMMIT", {AnomalyKind.LOST_WRITE}),
    (WithoutValidation, "bank", "SNAPSHOT", {AnomalyKind.INVARIANT}),
    (WithoutValidation, "stock", "SERIALIZABLE", {AnomalyKind.DOUBLE_REMOVAL, AnomalyKind.G2}),
    (WithoutValidation, "stock", "SNAPSHOT", {AnomalyKind.DOUBLE_REMOVAL}),
    (WithoutValidation, "stock", "READ COMMITTED", {AnomalyKind.DOUBLE_REMOVAL}),
    (WithoutRanges, "lists", "SERIALIZABLE", {AnomalyKind.G2}),
    (WithoutRanges, "sets", "SERIALIZABLE", {AnomalyKind.G2}),
    (WithoutRanges, "stock", "SERIALIZABLE", {AnomalyKind.G2}),
    (WithoutSnapshots, "stock", "READ COMMITTED", {AnomalyKind.G_SINGLE}),
    (WithoutSnapshots, "sets", "SNAPSHOT", {AnomalyKind.G_SINGLE}),
    (WithoutSnapshots, "bank", "SNAPSHOT", {AnomalyKind.G_SINGLE}),
    (Forgetful, "lists", "SERIALIZABLE", {AnomalyKind.STALE_READ}),
    (Forgetful, "sets", "AUTOCOMMIT", {AnomalyKind.STALE_READ}),
    (Forgetful, "stock", "SERIALIZABLE", {AnomalyKind.STALE_READ}),
    (WithoutDeletes, "stock", "SERIALIZABLE", {AnomalyKind.STALE_READ}),
    (WithoutDeletes, "stock", "READ COMMITTED", {AnomalyKind.STALE_READ}),
    (Forgetful, "counters", "READ COMMITTED", {AnomalyKind.LOST_WRITE}),
    (WithoutIds, "lists", "SERIALIZABLE", {AnomalyKind.DUPLICATE}),
    (WithoutIds, "counters", "SNAPSHOT", {AnomalyKind.GARBAGE_READ}),
]
RUNS = 12


@pytest.mark.parametrize(("store", "workload", "level", "kinds"), FAULTS)
def test_fault_is_found(store: type[SteppingStore], workload: str, level: str, kinds: set[AnomalyKind]) -> None:
    found: Counter[AnomalyKind] = Counter()
    for seed in range(RUNS):
        chance = random.Random(seed)
        simulation = Simulation(workload, level, seed=seed, store=store)
        events = [Event.LOSE_ANSWER] if store is WithoutIds else [Event.RUN]
        history = simulation.run([(chance.randrange(3), chance.choice(events)) for _ in range(300)])
        found.update({each.kind for each in check(history).forbidden})
    assert kinds <= found.keys()
