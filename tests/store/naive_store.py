"""The simplest store that keeps the contract, as a model for the memory store: a whole copy of everything per version.

It forgets nothing, so it has no retention.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from rome.errors import CatalogChangedError, CommitAbortedError, ConflictError, IdsExhaustedError, TurnTakenError
from rome.store.location import Location
from rome.store.spi import (
    MAX_NUMBER,
    ORDER_INDEX,
    Answer,
    Capabilities,
    Claim,
    CommitRequest,
    Get,
    ReadResult,
    Request,
    Reserve,
    Retention,
    Row,
    Scan,
    ScanResult,
    Snapshot,
    Store,
    Version,
)
from rome.testing.harness import RangeCheck

INCARNATION = b"naive"


@dataclass
class _State:
    rows: dict[tuple[int, bytes], Row] = field(default_factory=dict)
    entries: set[tuple[int, int, bytes, bytes]] = field(default_factory=set)
    """Table, index, index key + row key, row key."""
    catalog_version: Version = 0

    def range(self, table_id: int, index_id: int, start: bytes, stop: bytes) -> list[tuple[bytes, bytes]]:
        """Entries and their row keys, in order."""
        if index_id == ORDER_INDEX:
            return sorted((key, key) for table, key in self.rows if table == table_id and start <= key < stop)
        return sorted(
            (entry, key)
            for table, index, entry, key in self.entries
            if (table, index) == (table_id, index_id) and start <= entry < stop
        )

    def changed(self, request: CommitRequest, version: Version) -> _State:
        def kept(table: int, index: int | None = None) -> bool:
            return all(drop.table_id != table or drop.index_id not in (None, index) for drop in request.drops)

        rows = {place: row for place, row in self.rows.items() if kept(place[0], ORDER_INDEX)}
        entries = {entry for entry in self.entries if kept(entry[0], entry[1])}
        catalog_version = self.catalog_version
        for table, written in request.rows.items():
            if table == 0:
                catalog_version = version
            for key, record in written.items():
                if record is None:
                    rows.pop((table, key), None)
                else:
                    rows[table, key] = Row(key, version, record)
        for (table, index), changed in request.entries.items():
            for (index_key, row_key), present in changed.items():
                entry = (table, index, index_key + row_key, row_key)
                (entries.add if present else entries.discard)(entry)
        return _State(rows, entries, catalog_version)


class _Database:
    def __init__(self) -> None:
        self.states = [_State()]
        self.outcomes: dict[bytes, Version | None] = {}
        self.sequences: dict[int, int] = {}
        self.line: dict[bytes, Sequence[Claim]] = {}
        """Ticket -> claims, first come first. Nobody's time is ever over."""

    def answer(self, request: Request, version: Version) -> Answer:
        state = self.states[version]
        if isinstance(request, Get):
            return [state.rows.get((request.table_id, key)) for key in request.keys]
        found = state.range(request.table_id, request.index_id, request.start, request.stop)
        if not isinstance(request, Scan):
            return len(found)
        if request.reverse:
            found.reverse()
        page = found[: request.limit]
        rows = [state.rows[request.table_id, key] for _, key in page]
        if len(page) == len(found):
            return ScanResult(rows, None)
        return ScanResult(rows, page[-1][0] if request.reverse else found[len(page)][0])

    def valid(self, check: RangeCheck) -> bool:
        place = (check.table_id, check.index_id, check.start, check.stop)
        then, *later = (state.range(*place) for state in self.states[check.version :])
        if any(found != then for found in later):
            return False
        now = self.states[-1].rows
        return not check.rows or all(now[check.table_id, key].version <= check.version for _, key in then)

    def check_catalog(self, snapshot: Snapshot) -> None:
        if snapshot.version < self.states[-1].catalog_version:
            raise CatalogChangedError("the catalog changed")


_databases: dict[str, _Database] = {}


class NaiveStore(Store):
    capabilities = Capabilities(durable=False, shared=False, network=False)
    options = frozenset()

    def __init__(self, database: _Database) -> None:
        self.round_trips = 0
        self._database = database

    @classmethod
    def open(cls, location: Location) -> Self:
        return cls(_databases.setdefault(location.database, _Database()))

    @classmethod
    def list_databases(cls, location: Location) -> list[str]:
        return sorted(_databases)

    @classmethod
    def drop_database(cls, location: Location) -> None:
        _databases.pop(location.database, None)

    def read(
        self, snapshot: Snapshot | None, requests: Sequence[Request], reserves: Sequence[Reserve] = ()
    ) -> ReadResult:
        snapshot = snapshot or self.last_snapshot()
        self._database.check_catalog(snapshot)
        answers = [self._database.answer(request, snapshot.version) for request in requests]
        return ReadResult(snapshot, self._database.states[-1].catalog_version, answers, list(map(self._take, reserves)))

    def _take(self, reserve: Reserve) -> int:
        last = max(self._database.sequences.get(reserve.sequence, 0), reserve.above)
        if last + reserve.size > MAX_NUMBER:
            raise IdsExhaustedError.of(f"sequence {reserve.sequence}")
        self._database.sequences[reserve.sequence] = last + reserve.size
        return last + 1

    def release(self) -> None: ...

    def last_snapshot(self) -> Snapshot:
        return Snapshot(INCARNATION, len(self._database.states) - 1)

    def commit(self, request: CommitRequest) -> Version:
        database = self._database
        now = database.states[-1]
        if request.transaction_id in database.outcomes:
            version = database.outcomes[request.transaction_id]
            if version is None:
                raise CommitAbortedError("aborted")
            return version
        database.check_catalog(request.snapshot)
        for table, points in request.points.items():
            for key, version in points.items():
                row = now.rows.get((table, key))
                if version != (row.version if row else 0):
                    raise ConflictError("a row changed", table=table, key=key)
        for (table, index, rows), ranges in request.ranges.items():
            for (start, stop), version in ranges.items():
                if not database.valid(RangeCheck(table, index, start, stop, version, rows)):
                    raise ConflictError("a range changed", table=table, key=start)
        for ticket, claims in database.line.items():
            if ticket == request.ticket:
                break
            for table, written in request.rows.items():
                for key in written:
                    if Claim(table, key) in claims or Claim(table, None) in claims:
                        raise TurnTakenError("somebody comes first", table=table, key=key)
        if request.writes():
            database.line.pop(request.ticket, None)
            database.states.append(now.changed(request, len(database.states)))
            database.outcomes[request.transaction_id] = len(database.states) - 1
            for sequence, number in request.sequences.items():
                database.sequences[sequence] = max(number, database.sequences.get(sequence, 0))
        return len(database.states) - 1

    def resolve(self, transaction_id: bytes, snapshot: Version) -> Version | None:
        return self._database.outcomes.setdefault(transaction_id, None)

    def join_queue(self, ticket: bytes, claims: Sequence[Claim], lease_s: float) -> int:
        self._database.line[ticket] = claims
        ahead = 0
        for other, theirs in self._database.line.items():
            if other == ticket:
                break
            ahead += any(
                a.table_id == b.table_id and (a.key == b.key or a.key is None or b.key is None)
                for a in theirs
                for b in claims
            )
        return ahead

    def leave_queue(self, ticket: bytes) -> None:
        self._database.line.pop(ticket, None)

    def trim(self) -> int:
        return 0

    def retention(self) -> Retention:
        return Retention()

    def set_retention(self, retention: Retention) -> None: ...

    def pin(self, ticket: bytes, snapshot: Snapshot, lease_s: float, *, owner: str, age_s: float) -> Version:
        self._database.check_catalog(snapshot)
        return 0

    def unpin(self, ticket: bytes) -> None:
        pass

    def is_usable(self) -> bool:
        return True

    def close(self) -> None: ...
