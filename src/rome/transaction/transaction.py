"""One transaction: reads at its snapshot, and the commit.

States: no snapshot (nothing was read yet) -> a snapshot, fixed by the first read -> ended by commit or rollback.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from operator import attrgetter
from os import urandom
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from rome.errors import (
    CommitAbortedError,
    CommitUnknownError,
    ConflictError,
    Error,
    NotReplicatedError,
    OperationalError,
    SnapshotTooOldError,
    TransactionTooLargeError,
)
from rome.store import keeper
from rome.store.row_block import MANY, RowBlock, joined, record_bytes
from rome.store.seen import VERSIONS, saw
from rome.store.spi import (
    BEYOND,
    ORDER_INDEX,
    Answer,
    Bounds,
    CommitRequest,
    Count,
    Get,
    HeldSnapshot,
    ReadResult,
    Request,
    Reserve,
    Row,
    Scan,
    ScanResult,
    Snapshot,
    Store,
    Version,
)
from rome.transaction.chunked_scan import ChunkedScan
from rome.transaction.history import raise_explained
from rome.transaction.incremental_scan import IncrementalScan
from rome.transaction.memory_budget import MemoryBudget, default_budget
from rome.transaction.read_set import NOTHING, ROWS, ReadSet, Validation
from rome.transaction.reference_tables import SHARED, ReferenceTable, ReferenceTables
from rome.transaction.snapshot_cache import EVERYTHING, SnapshotCache
from rome.transaction.version_token import check_at_least
from rome.transaction.write_set import CommitLimits, WriteSet

RESOLVE_PAUSES_S = [0.01 * 2**attempt for attempt in range(9)]
"""Pauses before the store is asked again what became of a commit: 5 seconds in all."""


_DEFAULT_LIMITS = CommitLimits()

_MAX_RANGE_ROWS = 10_000
"""How many rows of one table COMMIT names at most, if they were streamed; of more, it validates the whole table."""


class ReadRequest(Struct, frozen=True, gc=False):
    """Stored rows that a statement needs: row keys, or ranges of an index; and what of them must not change.

    If `most` is set, no more rows than that are read of each range, to see whether there are more.
    """

    table_id: int
    index_id: int
    keys: tuple[bytes, ...]
    ranges: tuple[Bounds, ...]
    check: Validation
    most: int | None = None


_record = attrgetter("record")

MOST_BYTES_AHEAD = 256 * 1024
"""The most that is kept of what a trip has read ahead: it counts in no budget before it is asked for."""


def merged(wants: Iterable[ReadRequest]) -> list[ReadRequest]:
    """The same keys and ranges, each once and complete, in one request for each index and kind of validation."""
    groups: dict[tuple[int, int, Validation], tuple[dict[bytes, None], dict[Bounds, None]]] = {}
    for want in wants:
        place = (want.table_id, want.index_id, want.check)
        group = groups.get(place)
        if group is None:
            group = groups[place] = ({}, {})
        for key in want.keys:
            group[0][key] = None
        for each in want.ranges:
            group[1][each] = None
    return [
        ReadRequest(table_id, index_id, tuple(keys), tuple(ranges), check)
        for (table_id, index_id, check), (keys, ranges) in groups.items()
    ]


class Transaction(Struct, eq=False):
    """Reads and the commit of one transaction.

    A Struct, because most transactions are short, and creating one makes no Python call.

    Attributes:
        snapshot: None until the first read.
        catalog_version: at the last read; None until then.
        renewed: whether it has had more than one snapshot.
        bytes_read, rows_read: what the store has sent.
        waves: how many times it has read from the store; further chunks of one answer do not count.
        commit_s: how long the store took for the commit, once that has succeeded.
        budget: the memory for the rows in the cache.
        reference_tables: where those are kept.
        references: tables that were read whole, and are kept for others.
        sent: the commit whose outcome is not known, since it is in progress or was interrupted; otherwise None.
        held: what must be kept for it, from its first read on.
    """

    _store: Store
    budget: MemoryBudget = field(default_factory=default_budget)
    reference_tables: ReferenceTables = SHARED
    cache: SnapshotCache = field(default_factory=SnapshotCache)
    read_set: ReadSet = field(default_factory=ReadSet)
    references: dict[int, ReferenceTable] = {}
    snapshot: Snapshot | None = None
    held: HeldSnapshot | None = None
    catalog_version: Version | None = None
    renewed: bool = False
    sent: CommitRequest | None = None
    rows_read: int = 0
    bytes_read: int = 0
    waves: int = 0
    commit_s: float = 0.0
    _known: dict[int, ReferenceTable] = {}
    _ahead: dict[Any, Any] = {}
    """What was read ahead: by table and key a row or None; by table, index and range its rows."""

    @property
    def round_trips(self) -> int:
        """How many times the connection has waited for the store, in all of its transactions."""
        return self._store.round_trips

    @property
    def near_trips(self) -> int:
        """How many of these a near server has answered."""
        return self._store.near_trips

    def new_snapshot(self) -> None:
        """Forget the snapshot, so that the next read fixes a new one (READ COMMITTED, for each statement)."""
        self.snapshot = None
        self.renewed = True
        if not (self.read_set.points or self.read_set.ranges):  # COMMIT needs nothing of before
            self.held = None
        self.forget()

    def check_held(self) -> None:
        """Check that what the transaction needs is still kept, as far as that is known here. No round trip.

        Raises:
            SnapshotTooOldError, or its subclass TransactionTooLongError: it is not.
            SnapshotLostError, CatalogChangedError: it is of no use any more.
        """
        if self.held is not None and self.held.failure is not None:
            raise_explained(self.held.failure, self.held, self._store)

    def forget(self) -> None:
        """Forget what was read. The read set stays."""
        self.cache = SnapshotCache()
        self.references = {}
        self._ahead = {}
        self.budget.clear()

    def fix_snapshot(self) -> None:
        """Take a snapshot if there is none.

        Cost: one round trip if there is none.
        """
        if self.snapshot is None:
            self.ask([])

    def read(
        self,
        wants: Sequence[ReadRequest],
        reserves: Sequence[Reserve] = (),
        incremental: IncrementalScan | None = None,
        counts: Sequence[Count] = (),
        ahead: Sequence[ReadRequest] = (),
    ) -> list[int]:
        """Bring all that is wanted into the cache, in one round trip if nothing is cut short; returns the reserved.

        With `incremental`, go on with that scan, too; `check_scan` in the end. `counts`: sizes to bring, too. `ahead`:
        what may be wanted next, each with a `most`: a trip that is made brings that, too, if it is little, for `admit`.

        The wants enter the read set only by `check_request`: the caller looks at `catalog_version` first.

        Raises:
            ConflictError, StoreUnavailableError: see Store.read.
            OverBudget: more rows than memory may be taken for; what came of them is forgotten.
        """
        requests = self._missing(wants)
        if incremental is not None:
            requests += incremental.scans()
        elif not requests and not reserves:
            return []
        requests += counts
        asked_ahead = self._missing(ahead) if ahead else []
        result = self._read_from_store([*requests, *asked_ahead] if asked_ahead else requests, reserves)
        answers = result.answers
        if asked_ahead:
            self._keep_ahead(asked_ahead, answers[len(requests) :])
            answers = answers[: len(requests)]
        self._keep(requests, answers, incremental)
        return result.reserved

    def fetch(self, want: ReadRequest) -> Sequence[Row] | None:
        """Bring one key or one range into the cache, unless just this has been read, and return its rows.

        That is what most statements want. It does what `read` and then `rows` do, in half of their steps.

        Returns:
            None for other wants, and if there are more rows than one answer has: `read` will do what is left.

        Raises:
            as `read`.

        Cost: one round trip, unless there is another way.
        """
        table_id, cache = want.table_id, self.cache
        if want.most is not None or len(want.keys) + len(want.ranges) != 1:
            return None
        if want.keys:
            if (cache.rows or cache.ranges) and cache.knows(table_id, want.keys[0]):
                row = cache.row(table_id, want.keys[0])
                return [] if row is None else [row]
            (answer,) = self._read_from_store((Get(table_id, want.keys),), ()).answers
            assert isinstance(answer, list)
            rows: Sequence[Row] = [row for row in answer if row is not None]
            self._take(rows, None)
            cache.add_rows(table_id, ((want.keys[0], answer[0]),))
            return rows
        index_id, bounds = want.index_id, want.ranges[0]
        start, stop = bounds
        if cache.ranges and (known := cache.covered(table_id, index_id, start, stop)) is not None:
            is_it = known.block is None and known.start == start and known.stop == stop
            return known.rows if is_it and table_id not in cache.whole else None
        if index_id == ORDER_INDEX and bounds == EVERYTHING:
            return None
        scan = Scan(table_id, index_id, start, stop)
        (answer,) = self._read_from_store((scan,), ()).answers
        assert isinstance(answer, ScanResult)
        rows = answer.rows
        if answer.resume is not None or len(rows) >= MANY:
            self._keep((scan,), (answer,), None)
            return None
        if rows:
            size = 0
            for row in rows:  # most often there is one
                size += len(row.record)
            self.rows_read += len(rows)
            self.bytes_read += size
            self.budget.take(len(rows), size, scan)
        cache.add_range(table_id, index_id, bounds, rows)
        return rows

    def fetch_all(self, wants: Sequence[ReadRequest], ahead: Sequence[ReadRequest] = ()) -> list[Sequence[Row]] | None:
        """Do as `fetch` for several wants that share no key and no range. Of each, all is known, or nothing.

        Args:
            ahead: see `read`.

        Returns:
            the rows of each; None as `fetch`.
        """
        cache = self.cache
        if cache.has_blocks:
            return None
        asks = bool(cache.rows or cache.ranges)
        requests: list[Request] = []
        known: set[int] = set()
        for number, want in enumerate(wants):
            table_id, index_id = want.table_id, want.index_id
            if want.most is not None or bool(want.keys) is bool(want.ranges):
                return None
            if asks and (places := self._known_places(want)):
                if places != len(want.keys) + len(want.ranges):
                    return None
                known.add(number)
                continue
            if want.keys:
                requests.append(Get(table_id, want.keys))
            for start, stop in want.ranges:
                if index_id == ORDER_INDEX and start == b"" and stop == BEYOND:
                    return None
                requests.append(Scan(table_id, index_id, start, stop))
        if not requests:
            return [self.rows(want) for want in wants]
        asked_ahead = self._missing(ahead) if ahead else []
        answers = self._read_from_store([*requests, *asked_ahead] if asked_ahead else requests, ()).answers
        if asked_ahead:
            self._keep_ahead(asked_ahead, answers[len(requests) :])
            answers = answers[: len(requests)]
        brought: list[Sequence[Row]] = []
        for answer in answers:
            if type(answer) is ScanResult:
                if answer.resume is not None or len(answer.rows) >= MANY:
                    self._keep(requests, answers, None)
                    return None
                brought.append(answer.rows)
            else:
                assert type(answer) is list
                brought.append([row for row in answer if row is not None])
        for request, rows in zip(requests, brought):  # noqa: B905  `strict` would take as long as two calls
            if rows:
                size = 0
                for row in rows:
                    size += len(row.record)
                self.rows_read += len(rows)
                self.bytes_read += size
                self.budget.take(len(rows), size, request if type(request) is Scan else None)
        found: list[Sequence[Row]] = []
        at = 0
        for number, want in enumerate(wants):
            if number in known:
                found.append(self.rows(want))
                continue
            rows = brought[at]
            if want.keys:
                answer = answers[at]
                assert type(answer) is list
                cache.add_rows(want.table_id, zip(want.keys, answer))  # noqa: B905
                at += 1
            else:
                cache.add_range(want.table_id, want.index_id, want.ranges[0], rows)
                at += 1
                for bounds in want.ranges[1:]:
                    cache.add_range(want.table_id, want.index_id, bounds, brought[at])
                    rows = [*rows, *brought[at]]
                    at += 1
            found.append(rows)
        return found

    def _known_places(self, want: ReadRequest) -> int:
        """How many of its keys and ranges are known."""
        cache, known = self.cache, 0
        for key in want.keys:
            if cache.knows(want.table_id, key):
                known += 1
        for start, stop in want.ranges:
            if cache.covered(want.table_id, want.index_id, start, stop) is not None:
                known += 1
        return known

    def _keep_ahead(self, requests: Sequence[Request], answers: Sequence[Answer]) -> None:
        """Keep what was read ahead, apart from the cache; except ranges of which there is more, and what is large."""
        room = MOST_BYTES_AHEAD
        for request, answer in zip(requests, answers, strict=True):
            if type(request) is Scan:
                assert isinstance(answer, ScanResult)
                rows = answer.rows
            else:
                assert isinstance(answer, list)
                rows = [row for row in answer if row is not None]
            self._count(rows)
            size = record_bytes(rows)
            if size > room:
                continue
            if type(request) is Scan:
                assert isinstance(answer, ScanResult)
                if answer.resume is None and len(rows) < MANY:
                    self._ahead[request.table_id, request.index_id, (request.start, request.stop)] = rows
                    room -= size
            else:
                assert type(request) is Get
                assert isinstance(answer, list)
                for key, row in zip(request.keys, answer, strict=True):
                    self._ahead[request.table_id, key] = row
                room -= size

    def admit(self, wants: Iterable[ReadRequest]) -> list[ReadRequest]:
        """Bring into the cache what was read ahead of just these keys and ranges. No round trip.

        Returns:
            the wants of which all was read ahead.

        Raises:
            OverBudget: as `read`.
        """
        ahead, cache = self._ahead, self.cache
        admitted = []
        for want in wants:
            table_id = want.table_id
            if all((table_id, key) in ahead for key in want.keys) and all(
                (table_id, want.index_id, bounds) in ahead for bounds in want.ranges
            ):
                admitted.append(want)
            for key in want.keys:
                if (table_id, key) in ahead:
                    row = ahead.pop((table_id, key))
                    if row is not None:
                        self.budget.take(1, len(row.record), None)
                    if not cache.knows(table_id, key):
                        cache.add_rows(table_id, ((key, row),))
            for bounds in want.ranges:
                rows = ahead.pop((table_id, want.index_id, bounds), None)
                if rows is not None:
                    self.budget.take(len(rows), record_bytes(rows), Scan(table_id, want.index_id, *bounds))
                    if cache.covered(table_id, want.index_id, *bounds) is None:
                        cache.add_range(table_id, want.index_id, bounds, rows)
        return admitted

    def drop_ahead(self) -> None:
        """Forget what was read ahead and is not in the cache."""
        self._ahead = {}

    def are_free(
        self, wants: Sequence[ReadRequest], reserves: Sequence[Reserve] = (), others: Sequence[ReadRequest] = ()
    ) -> tuple[bool, list[int]]:
        """Whether there is no row of these requests; and the reserved. The cache and the read set stay as they are.

        Args:
            others: these are brought into the cache on the same trip.

        Cost: one round trip.
        """
        requests: list[Request] = []
        for want in wants:
            if want.keys:
                requests.append(Get(want.table_id, want.keys))
            requests += [Scan(want.table_id, want.index_id, start, stop, None) for start, stop in want.ranges]
        missing = self._missing(others) if others else []
        asked = len(requests)
        if not (requests or missing or reserves):
            return True, []
        result = self._read_from_store([*requests, *missing], reserves)
        if missing:
            self._keep(missing, result.answers[asked:], None)
        rows: list[Row] = []
        cut_short = False
        for answer in result.answers[:asked]:
            if isinstance(answer, ScanResult):
                if answer.rows or answer.resume is not None:
                    rows += answer.rows
                    cut_short = cut_short or answer.resume is not None
            elif isinstance(answer, list):
                rows += filter(None, answer)
        self._count(rows)
        return not (rows or cut_short), result.reserved

    def _read_from_store(self, requests: Sequence[Request], reserves: Sequence[Reserve]) -> ReadResult:
        self.waves += 1
        store = self._store
        try:
            result = store.read(self.snapshot, requests, reserves)
        except SnapshotTooOldError as error:
            raise_explained(error, self.held, store)
        snapshot = result.snapshot
        if self.snapshot is None:
            if store.at_least or VERSIONS.get(snapshot.incarnation, -1) < snapshot.version:
                self._begin_at(snapshot)
            if self.held is None:  # if it was begun just now, `_begin_at` has done this
                self.held = store.held = HeldSnapshot(snapshot, keeper.clock())
                if not store.watched:
                    keeper.KEEPER.watch(store)
        self.snapshot, self.catalog_version = snapshot, result.catalog_version
        return result

    def ask(self, requests: Sequence[Count | Scan]) -> list[int | Sequence[Row]]:
        """Count entries, and read the first rows of ranges. Neither enters the cache or the read set.

        Raises:
            OverBudget: a row does not fit. Rows that came are not kept, and take no memory afterwards.

        Cost: one round trip, and one more each time that the store stops before a scan's limit.
        """
        self.waves += 1
        result = self._read(requests)
        self._begin_at(result.snapshot)
        self.catalog_version = result.catalog_version
        scans, answers = _asked(requests), _scans(result.answers)
        held = self.budget.used_bytes
        try:
            for scan, answer in zip(scans, answers, strict=True):
                self._take(answer.rows, scan)
            found = iter(self._finished(scans, answers))
        finally:
            self.budget.used_bytes = held
        return [answer if isinstance(answer, int) else next(found).rows for answer in result.answers]

    def chunks(self, table_id: int, index_id: int, start: bytes, stop: bytes) -> Iterator[Sequence[Row]]:
        """The rows of a range in order, chunk by chunk, for a statement that does not keep them.

        Cost: one round trip for each chunk, whose size the store chooses.
        """
        self.waves += 1
        resume: bytes | None = start
        while resume is not None:
            self.check_held()
            result = self._read([Scan(table_id, index_id, resume, stop)])
            self._begin_at(result.snapshot)
            self.catalog_version = result.catalog_version
            (found,) = _scans(result.answers)
            resume = found.resume
            self._count(found.rows)
            yield found.rows

    def read_chunk(self, scan: ChunkedScan) -> Sequence[Row]:
        """The next rows of a scan, which are not kept. `check_chunk` enters them into the read set.

        Cost: one round trip.
        """
        self.check_held()
        self.waves += 1
        result = self._read([scan.next_scan()])
        self._begin_at(result.snapshot)
        self.catalog_version = result.catalog_version
        (found,) = _scans(result.answers)
        self._count(found.rows)
        return scan.take(found)

    def beside(self) -> Transaction:
        """A transaction at the same snapshot with a cache of its own, whose reads enter this one's read set.

        It must not be committed.
        """
        made = Transaction(self._store, MemoryBudget(self.budget.max_bytes), self.reference_tables)
        made.snapshot, made.catalog_version, made.read_set = self.snapshot, self.catalog_version, self.read_set
        made.held = self.held
        return made

    def count_reads_of(self, other: Transaction) -> None:
        """Take over what another one, made by `beside`, has counted."""
        self.rows_read += other.rows_read
        self.bytes_read += other.bytes_read
        self.waves += other.waves
        other.rows_read = other.bytes_read = other.waves = 0

    def _read(self, requests: Sequence[Request]) -> ReadResult:
        try:
            return self._store.read(self.snapshot, requests)
        except SnapshotTooOldError as error:
            raise_explained(error, self.held, self._store)

    def _begin_at(self, snapshot: Snapshot) -> None:
        """Take a snapshot, if this is a new one, and note that the process has seen it.

        Raises:
            VersionTokenError, StoreBusyError: it is not what `at_least` asks for.
        """
        if self.snapshot is None:
            store = self._store
            if store.at_least is not None:
                wanted, store.at_least = store.at_least, None
                check_at_least(snapshot, wanted)
            saw(store.place, snapshot)
            self.snapshot = snapshot
            if self.held is None:
                self.held = store.held = HeldSnapshot(snapshot, keeper.clock())
                if not store.watched:
                    keeper.KEEPER.watch(store)

    def _keep(
        self, requests: Sequence[Request], answers: Sequence[Answer], incremental: IncrementalScan | None
    ) -> None:
        """Put what was read into the cache; what the store has cut short is read to its end first."""
        scans: list[Scan] = []
        found: Sequence[ScanResult] = (came := [])
        cut_short = False
        assert len(answers) == len(requests)
        for request, answer in zip(requests, answers):  # noqa: B905  `strict` would take as long as two calls
            if isinstance(answer, ScanResult):
                assert isinstance(request, Scan)
                rows = answer.rows
                if rows:  # most ranges that must be unique have none
                    # As _take does; a call for each read would be one in sixty of a statement.
                    size = rows.record_bytes if type(rows) is RowBlock else sum(map(len, map(_record, rows)))
                    self.rows_read += len(rows)
                    self.bytes_read += size
                    self.budget.take(len(rows), size, request)
                if answer.resume is not None:
                    cut_short = True
                scans.append(request)
                came.append(answer)
            elif isinstance(request, Get):
                assert isinstance(answer, list)
                self._take([*filter(None, answer)], None)
                self.cache.add_rows(request.table_id, zip(request.keys, answer))  # noqa: B905
            else:
                assert isinstance(request, Count)
                assert isinstance(answer, int)
                self.cache.sizes[request] = answer
        if cut_short:
            found = self._finished(scans, came)
        if incremental is not None:
            whole = len(scans) - incremental.width
            self.cache.add_rows(incremental.table_id, _by_key(incremental.take(found[whole:])))
            del scans[whole:]
        for scan, answer in zip(scans, found):  # noqa: B905
            rows = answer.rows
            if answer.resume is not None:
                self.cache.add_rows(scan.table_id, _by_key(rows))
                continue
            bounds = (scan.start, scan.stop)
            if scan.index_id == ORDER_INDEX and bounds == EVERYTHING and scan.limit is None:
                rows = self._reference_rows(scan, answer)
            self.cache.add_range(scan.table_id, scan.index_id, bounds, rows)

    def _reference_rows(self, scan: Scan, found: ScanResult) -> Sequence[Row]:
        """The rows of a table that was read whole, or that need not be sent again."""
        assert self.snapshot is not None
        if found.unchanged:
            table = self._known[scan.table_id]
            self.budget.take_bytes(table.bytes, scan)
        else:
            table = ReferenceTable(self.snapshot, found.rows)
            if not self.reference_tables.keep(scan.table_id, table):
                return found.rows
        self.references[scan.table_id] = table
        return table.rows

    def _finished(self, scans: Sequence[Scan], answers: Sequence[ScanResult]) -> Sequence[ScanResult]:
        """The answers with all rows, up to the scans' limits; those cut short go on together. The first rows are taken.

        Once, with the second chunks, the store is asked how many rows there are in all.
        """
        left: dict[int, Scan] = {}
        for n, answer in enumerate(answers):
            if answer.resume is not None and (rest := _rest(scans[n], answer, answer.resume)) is not None:
                left[n] = rest
        if not left:
            return answers
        finished = list(answers)
        found = {n: [answers[n].rows] for n in left}
        counts = {n: Count(*_place(rest)) for n, rest in left.items() if rest.limit is None}
        while left:
            result = self._read([*left.values(), *counts.values()])
            for n, count in zip(counts, result.answers[len(left) :], strict=True):
                assert isinstance(count, int)
                self.budget.expect(count, left[n], sum(map(len, found[n])))
            counts = {}
            asked = left
            left = {}
            for (n, scan), answer in zip(asked.items(), _scans(result.answers), strict=True):
                self._take(answer.rows, scan)
                found[n].append(answer.rows)
                if answer.resume is not None and (rest := _rest(scan, answer, answer.resume)) is not None:
                    left[n] = rest
                else:
                    finished[n] = ScanResult(joined(found[n]), answer.resume)
        return finished

    def _count(self, rows: Sequence[Row]) -> None:
        """Note rows that were read and are not kept."""
        self.rows_read += len(rows)
        self.bytes_read += record_bytes(rows)

    def _take(self, rows: Sequence[Row], scan: Scan | None) -> None:
        """Note rows that were read, and take memory for them."""
        # By its type: RowBlock is an abstract Sequence's, of which Python is slow to say that a list is none.
        size = rows.record_bytes if type(rows) is RowBlock else sum(map(len, map(_record, rows)))
        self.rows_read += len(rows)
        self.bytes_read += size
        self.budget.take(len(rows), size, scan)

    def _missing(self, wants: Sequence[ReadRequest]) -> list[Request]:
        """What is to be asked for: of what is wanted, all that is not in the cache."""
        keys: dict[int, dict[bytes, None]] = {}
        scans: dict[Request, None] = {}
        cache = self.cache
        for want in wants:
            table_id, index_id = want.table_id, want.index_id
            for key in want.keys:
                if not cache.knows(table_id, key):
                    keys.setdefault(table_id, {})[key] = None
            for bounds in want.ranges:
                if cache.covered(table_id, index_id, *bounds) is None:
                    scan = Scan(table_id, index_id, *bounds, want.most)
                    if index_id == ORDER_INDEX and bounds == EVERYTHING and want.most is None:
                        scan = self._unless_known(scan)
                    scans[scan] = None
        missing: list[Request] = []
        for table_id, wanted in keys.items():
            missing.append(Get(table_id, tuple(wanted)))
        missing += scans
        return missing

    def _unless_known(self, scan: Scan) -> Scan:
        known = self.reference_tables.get(self._store.last_snapshot().incarnation, scan.table_id)
        if known is None:
            return scan
        self._known[scan.table_id] = known
        return replace(scan, known=known.snapshot)

    def has_read(self, want: ReadRequest) -> bool:
        """Whether everything in the request has been read."""
        return not self._missing([want])

    def rows(self, want: ReadRequest) -> Sequence[Row]:
        """The rows of a request that was read. For a range it may return rows outside of the range, too."""
        cache, table_id = self.cache, want.table_id
        keys: Collection[bytes]
        if len(want.ranges) == 1 and not want.keys:
            start, stop = want.ranges[0]
            found = cache.covered(table_id, want.index_id, start, stop)
            if found is None:
                return []
            if found.block is None:
                return found.rows
            keys = cache.covering(table_id, want.index_id, start, stop) or ()
        else:
            keys = dict.fromkeys(want.keys)
            for start, stop in want.ranges:
                keys.update(dict.fromkeys(cache.covering(table_id, want.index_id, start, stop) or ()))
        return list(filter(None, map(cache.rows.get(table_id, {}).get, keys))) if keys else []

    def block(self, want: ReadRequest) -> RowBlock | None:
        """The rows of a request that was read, if they are the many of one range; else None. See `rows`."""
        if want.keys or len(want.ranges) != 1:
            return None
        found = self.cache.covered(want.table_id, want.index_id, *want.ranges[0])
        return None if found is None else found.block

    def check_request(self, want: ReadRequest) -> None:
        """Enter a want that was read into the read set, as far as its `check` says."""
        if want.check is NOTHING:
            return
        table_id = want.table_id
        version = 0 if self.snapshot is None else self.snapshot.version  # unread keys are absent, and need none
        rows = want.check is ROWS
        for key in want.keys:
            row = self.cache.row(table_id, key)
            if row is None:
                self.read_set.add_point(table_id, key, 0)
            elif rows:
                self.read_set.add_point(table_id, key, row.version)
            else:
                self.read_set.add_ranges(table_id, 0, [(key, key + BEYOND)], version, rows=False)
        if want.ranges:
            self.read_set.add_ranges(table_id, want.index_id, want.ranges, version, rows)
            if rows and self._store.capabilities.index_trips > 1 and self._lists_range_rows(table_id, want.index_id):
                for bounds in want.ranges:
                    keys = self.cache.covering(table_id, want.index_id, *bounds)
                    assert keys is not None, "a range that was not read"
                    if keys:
                        self.read_set.add_range_rows(table_id, keys, self.cache.rows[table_id])

    def check_absent(self, want: ReadRequest) -> None:
        """Enter a request that `are_free` has found no row of into the read set: none may have come since."""
        if want.keys:
            self.read_set.add_absent(want.table_id, want.keys)
        if want.ranges:
            version = 0 if self.snapshot is None else self.snapshot.version
            self.read_set.add_ranges(want.table_id, want.index_id, want.ranges, version, rows=False)

    def check_unkept(self, want: ReadRequest) -> None:
        """Do as `check_request` for rows that are not kept, since there are too many.

        Where the store wants to know which they are, COMMIT validates all rows of the table.
        """
        if want.check is Validation.ROWS and self._lists_range_rows(want.table_id, want.index_id):
            self.check_request(ReadRequest(want.table_id, ORDER_INDEX, (), (EVERYTHING,), Validation.ROWS))
        self.check_request(want)

    def _lists_range_rows(self, table_id: int, index_id: int) -> bool:
        """Whether COMMIT must name the rows to which ranges of an index led."""
        if self._store.capabilities.index_trips == 1 or index_id == ORDER_INDEX:
            return False
        return EVERYTHING not in self.read_set.ranges.get((table_id, ORDER_INDEX, True), ())

    def check_scan(self, scan: IncrementalScan, check: Validation) -> None:
        """Add what a scan has covered to the read set, as far as `check` says."""
        if check is not Validation.NOTHING:
            version = 0 if self.snapshot is None else self.snapshot.version
            rows = check is Validation.ROWS
            self.read_set.add_ranges(scan.table_id, scan.index_id, scan.covered, version, rows=rows)
            if rows and scan.rows and self._lists_range_rows(scan.table_id, scan.index_id):
                keys = [row.key for row in scan.rows]
                self.read_set.add_range_rows(scan.table_id, keys, dict(_by_key(scan.rows)))

    def check_chunk(self, scan: ChunkedScan, rows: Sequence[Row], check: Validation) -> None:
        """Add the last chunk of a scan to the read set, as far as `check` says; chunks that touch become one range.

        Where the store wants to know the rows of a range, and there are many, COMMIT validates the whole table.
        """
        if check is Validation.NOTHING:
            return
        table_id, index_id = scan.table_id, scan.index_id
        version = 0 if self.snapshot is None else self.snapshot.version
        self.read_set.grow_range(table_id, index_id, scan.before, scan.whole, version, rows=check is Validation.ROWS)
        if check is Validation.ROWS and self._lists_range_rows(table_id, index_id):
            if len(self.read_set.range_rows.get(table_id, ())) + len(rows) > _MAX_RANGE_ROWS:
                self.read_set.add_ranges(table_id, ORDER_INDEX, (EVERYTHING,), version, rows=True)
            else:
                self.read_set.add_range_rows(table_id, [row.key for row in rows], dict(_by_key(rows)))

    def bound_read_set(self, table_ids: Iterable[int]) -> None:
        """Let COMMIT validate all rows of those tables of which the read set has very many, that it be bounded.

        Only where all reads were at one snapshot, and were to be validated.
        """
        if self.renewed or self.snapshot is None:
            return
        for table_id in table_ids:
            if self.read_set.count(table_id) > _MAX_RANGE_ROWS:
                self.read_set.widen(table_id, ORDER_INDEX, EVERYTHING, self.snapshot.version)

    def check_range(self, table_id: int, index_id: int, start: bytes, stop: bytes, check: Validation) -> None:
        """Add a range whose size was asked to the read set: no entry may come or go, if `check` says so."""
        if check is not Validation.NOTHING:
            version = 0 if self.snapshot is None else self.snapshot.version
            self.read_set.add_ranges(table_id, index_id, [(start, stop)], version, rows=False)

    def commit(self, writes: WriteSet, ticket: bytes = b"", limits: CommitLimits = _DEFAULT_LIMITS) -> Version:
        """Validate the read set and apply the writes, in one atomic step.

        If the answer is lost, the store is asked about the commit, by its id, for some seconds.

        Args:
            ticket: of this transaction's entry in the commit queue; empty without one.

        Raises:
            ConflictError: nothing was written. After a TurnTakenError the same commit may be tried again.
            CommitAbortedError: nothing was written; the connection was lost.
            CommitUnknownError: the store could not be asked about the commit.
            TransactionTooLargeError: nothing was written.

        Cost: one round trip.
        """
        writes.check_size(limits, self._store.capabilities.max_commit_bytes)
        if self.held is not None and self.held.failure is not None:
            self.check_held()
        snapshot = self.snapshot or self._store.last_snapshot()
        oldest = self.read_set.oldest()
        if oldest is not None and oldest < snapshot.version:
            snapshot = replace(snapshot, version=oldest)
        request = CommitRequest(
            transaction_id=urandom(16),
            snapshot=snapshot,
            points=self.read_set.points,
            ranges=self.read_set.ranges,
            rows=writes.rows,
            entries=writes.entries,
            drops=writes.drops,
            sequences=writes.sequences,
            settings=writes.settings,
            ticket=ticket,
            range_rows=self.read_set.range_rows,
        )
        self.sent = request
        began = time.perf_counter()
        try:
            try:
                version = self._store.commit(request)
            except CommitUnknownError as lost:
                version = self._resolve(request, lost)
            self.commit_s = time.perf_counter() - began
            saw(self._store.place, Snapshot(snapshot.incarnation, version))
            return version
        except NotReplicatedError as committed:
            saw(self._store.place, Snapshot(snapshot.incarnation, committed.version))
            self.sent = None
            raise
        except ConflictError as conflict:  # with what is newer than the snapshot, which the next one shall have
            saw(self._store.place, self._store.last_snapshot())
            self.sent = None
            if isinstance(conflict, SnapshotTooOldError):
                raise_explained(conflict, self.held, self._store)
            raise
        except TransactionTooLargeError as refused:
            self.sent = None
            raise writes.beyond_store(str(refused)) from refused
        except Error:  # the caller is told what became of it; after anything else, `settle` finds it out
            self.sent = None
            raise

    def settle(self) -> Version | None:
        """Find out what became of a commit that was interrupted: its version, or None if it will never be applied.

        Raises:
            rome.errors.Error: the store cannot be asked, or no longer knows.

        Cost: one round trip.
        """
        assert self.sent is not None
        return self._store.resolve(self.sent.transaction_id, self.sent.snapshot.version)

    def _resolve(self, request: CommitRequest, lost: CommitUnknownError) -> Version:
        transaction_id, snapshot = request.transaction_id, request.snapshot.version
        for pause_s in (0.0, *RESOLVE_PAUSES_S):
            time.sleep(pause_s)
            try:
                version = self._store.resolve(transaction_id, snapshot)
            except (CommitUnknownError, NotReplicatedError):
                raise
            except OperationalError as error:  # it is down, loading, or a replica for now: all of these may pass
                reason = error
                continue
            if version is None:
                raise CommitAbortedError.after_lost_connection() from lost
            return version
        raise CommitUnknownError.unanswered(
            "the connection broke during COMMIT", reason, transaction_id=transaction_id, snapshot=snapshot
        ) from lost


def _asked(requests: Sequence[Request]) -> list[Scan]:
    return [request for request in requests if isinstance(request, Scan)]


def _scans(answers: Sequence[Answer]) -> list[ScanResult]:
    return [answer for answer in answers if isinstance(answer, ScanResult)]


def _by_key(rows: Sequence[Row]) -> Iterator[tuple[bytes, Row]]:
    return zip(map(_key, rows), rows, strict=True)


_key = attrgetter("key")


def _place(scan: Scan) -> tuple[int, int, bytes, bytes]:
    return scan.table_id, scan.index_id, scan.start, scan.stop


def _rest(scan: Scan, answer: ScanResult, resume: bytes) -> Scan | None:
    """The scan for what is still missing, since the store stopped early; None if it stopped at the limit."""
    limit = None if scan.limit is None else scan.limit - len(answer.rows)
    if limit == 0:
        return None
    start, stop = (scan.start, resume) if scan.reverse else (resume, scan.stop)
    return Scan(scan.table_id, scan.index_id, start, stop, limit, scan.reverse)
