"""OrderedStore: implements rome.store.spi on an engine that a Driver reaches.

Invariant: a commit that returns was one transaction of the engine, at its own revision, whose conditions ensured that
everything in its read set still held; and every read sees one revision. docs/ordered-store.md explains why.

A snapshot takes no resources of the engine: it is a revision, and the engine keeps what was superseded since.
"""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from typing import NoReturn, Self

from msgspec.structs import replace

from rome.errors import (
    CatalogChangedError,
    CommitAbortedError,
    CommitUnknownError,
    ConflictError,
    CorruptRecordError,
    Error,
    FormatError,
    SnapshotLostError,
    SnapshotTooOldError,
    StoreBusyError,
    StoreUnavailableError,
    TurnTakenError,
)
from rome.store.commit_queue import CommitQueue
from rome.store.location import Location
from rome.store.ordered import committing, trimming
from rome.store.ordered.discarding import databases, horizon_of, pinned_revision
from rome.store.ordered.driver import (
    Condition,
    Delete,
    Driver,
    DriverCompare,
    DriverTransaction,
    Put,
    Range,
    RangeResult,
    Revision,
    RevisionAheadError,
    RevisionGoneError,
    TransactionOutcome,
    Write,
)
from rome.store.ordered.head import Head, read_head
from rome.store.ordered.hints import Hints, hints_of
from rome.store.ordered.layout import (
    FORMAT,
    CommitRecord,
    Description,
    Layout,
    commit_name,
    decode_record,
    encode,
    encode_retention,
    number8,
    number_value,
)
from rome.store.ordered.numbers import Taking, plan_taking, settle_taking
from rome.store.ordered.reading import MAX_OPERATIONS, SCAN_ROWS, Reading
from rome.store.ordered.surveying import survey
from rome.store.ordered.usage import usage_of, usage_ranges, with_rows
from rome.store.pins import Pins
from rome.store.seen import newest_snapshot, place_of, saw
from rome.store.spi import (
    CATALOG_TABLE,
    Bounds,
    Claim,
    CommitRequest,
    PinnedSnapshot,
    ReadResult,
    Request,
    Reserve,
    Retention,
    Scan,
    Snapshot,
    Store,
    StoreUsage,
    Version,
)

DISCARD_EVERY_S = 30.0
"""How often a committing connection lets the engine discard old revisions, at one more trip each time."""

TRIM_SHARE = 1 / 8
"""A connection that has written this share of the retention's bytes trims the database: commits forget by age alone."""

MAX_ATTEMPTS = 50
"""How often an operation is tried again because another client was faster, without waiting in between."""


class OrderedStore(Store):
    """A connection to one database. A subclass says how to reach the engine."""

    def __init__(self, location: Location) -> None:
        self.place = place_of(location)
        self._location = location
        self._database = location.database
        self._layout = Layout(location.database)
        self._driver = self.connect(location)
        self._engine = self.engine(location)
        self._forgetting = trimming.Forgetting(self._layout)
        self._head: Head | None = None
        self._retention = Retention()
        self._hints = Hints()
        self._closed = False
        self._snapshot: Snapshot | None = None
        self._position: Revision = 0
        """The revision at which the snapshot is read. The engine may serve others, so that it is later than the last
        commit to this database: that one may be discarded at any time."""
        self._last_snapshot = Snapshot(b"", 0)
        self._discarded_s = committing.clock()
        self._written_bytes = 0
        """Since this connection has trimmed."""
        self._may_arrive = False
        """Whether a sending of the current commit had no answer, and may still be done."""

    @classmethod
    @abstractmethod
    def connect(cls, location: Location) -> Driver:
        """Return a driver that connects to the engine, now or with its first call."""

    @classmethod
    @abstractmethod
    def engine(cls, location: Location) -> Hashable:
        """What distinguishes this engine from others used by this process."""

    @property
    def round_trips(self) -> int:  # type: ignore[override]  # the interface has an attribute, which is only read
        return self._driver.trips

    @property
    def near_trips(self) -> int:  # type: ignore[override]
        """How many of the trips a near server has answered."""
        return self._driver.near_trips

    @classmethod
    def open(cls, location: Location) -> Self:
        store = cls(location)
        try:
            store._open()
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def list_databases(cls, location: Location) -> list[str]:
        driver = cls.connect(location)
        try:
            return databases(driver)
        finally:
            driver.close()

    @classmethod
    def database_exists(cls, location: Location) -> bool:
        driver = cls.connect(location)
        try:
            [outcome] = driver.run(
                [DriverTransaction(then=[Range(Layout(location.database).description, keys_only=True)])]
            )
            return bool(outcome.found[0].pairs)
        finally:
            driver.close()

    @classmethod
    def drop_database(cls, location: Location) -> None:
        layout = Layout(location.database)
        driver = cls.connect(location)
        try:
            [outcome] = driver.run([DriverTransaction(then=[Range(layout.description, keys_only=True)])])
            # On condition: if this is sent again, the first sending may arrive after the database was made anew.
            modified = max((pair.modified for pair in outcome.found[0].pairs), default=0)
            same = DriverCompare(Condition.MODIFIED_AT, modified, layout.description)
            driver.run([DriverTransaction([same], [Delete(*layout.everything)])])
        finally:
            driver.close()

    def read(
        self, snapshot: Snapshot | None, requests: Sequence[Request], reserves: Sequence[Reserve] = ()
    ) -> ReadResult:
        if snapshot is None:
            self._snapshot = None
        elif snapshot != self._snapshot:
            raise SnapshotLostError.of_another(snapshot.version)
        while True:
            head = self._known_head()
            # Numbers come from the leader: what wants some reads there, too, beside.
            near = snapshot is None and self._driver.reads_near and not reserves and self._driver.is_near()
            try:
                result = self._read(head, snapshot, requests, reserves, fresh=snapshot is None and not near)
                if near and (result is None or self._is_too_old(result.snapshot) or not self._driver.is_near()):
                    # It is behind, or was lost, so that another member has answered, which may be behind by any time.
                    result = self._read(self._known_head(), snapshot, requests, reserves, fresh=True)
            except RevisionGoneError as error:
                head = self._ask_head()
                if snapshot is None or snapshot.version >= head.floor:
                    raise SnapshotTooOldError.discarded(self._driver.server, head.retention.seconds) from error
                raise SnapshotTooOldError.of() from error
            except RevisionAheadError as error:
                self._ask_head()  # which looks whether the engine was restored
                raise SnapshotLostError.of(0 if snapshot is None else snapshot.version) from error
            except StoreUnavailableError:
                self._snapshot = None
                raise
            if result is not None:
                if snapshot is None:
                    self._snapshot = result.snapshot
                    if self._driver.reads_near:
                        saw(self.place, result.snapshot)
                return result

    def release(self) -> None:
        self._snapshot = self.held = None

    def last_snapshot(self) -> Snapshot:
        return self._last_snapshot

    def commit(self, request: CommitRequest) -> Version:
        self._snapshot = None
        head = self._known_head()
        if not self._is_known(request.snapshot, head) and not self._is_known(request.snapshot, self._ask_head()):
            raise SnapshotLostError.of(request.snapshot.version)
        record = self._layout.record(commit_name(request.snapshot.version, request.transaction_id))
        self._may_arrive = False
        try:
            return self._commit(request, record)
        except CommitUnknownError:
            raise
        except (ConflictError, CommitAbortedError) as refusal:
            # An unanswered earlier sending may still arrive, and succeed if a row was added and removed: forbid it.
            if self._may_arrive and not isinstance(refusal, CommitAbortedError):
                version = self._resolve_sent(request)
                if version is not None:
                    return version
            raise
        except Error as error:
            if self._may_arrive:
                raise _unknown(request, error) from error
            raise

    def resolve(self, transaction_id: bytes, snapshot: Version) -> Version | None:
        head = self._known_head()
        record = self._layout.record(commit_name(snapshot, transaction_id))
        aborted = CommitRecord(False, committing.now_in_ms(), 0, [])
        writes = [Put(record, encode(aborted)), Put(self._layout.version, b"")]
        for _ in range(MAX_ATTEMPTS):
            conditions = [
                self._layout.exists(head.stored),
                DriverCompare(Condition.VALUE_BELOW, number8(snapshot + 1), self._layout.floor),
                DriverCompare(Condition.MODIFIED_AT, 0, record),
            ]
            outcome = self._run(DriverTransaction(conditions, writes, otherwise=[Range(record), *self._head_range()]))
            if outcome.held:
                return None
            found, about = outcome.found
            if found.pairs:
                pair = found.pairs[0]
                return pair.modified - head.base if decode_record(pair.value).applied else None
            head = self._take_head(about)
            if head.floor > snapshot:
                raise CommitUnknownError.trimmed(transaction_id, snapshot)
        raise self._too_busy()

    def join_queue(self, ticket: bytes, claims: Sequence[Claim], lease_s: float) -> int:
        for _ in range(MAX_ATTEMPTS):
            queue = CommitQueue(self._known_head().queue, committing.clock())
            if self._change_queue(queue, queue.take(ticket, claims, lease_s)):
                return queue.ahead(ticket)
        raise self._too_busy()

    def leave_queue(self, ticket: bytes) -> None:
        for _ in range(MAX_ATTEMPTS):
            queue = CommitQueue(self._known_head().queue, committing.clock())
            if self._change_queue(queue, queue.leave(ticket)):
                return
        raise self._too_busy()

    def trim(self) -> int:
        head = self._ask_head()
        past: list[trimming.Past] = []
        start, stop = self._layout.commits
        while True:
            outcome = self._run(DriverTransaction(then=[Range(start, stop, limit=trimming.PAGE)]))
            past += self._past(outcome.found[0], head.base)
            if not outcome.found[0].more:
                break
            start = past[-1].key + b"\x00"
        left = trimming.expired(past, head.retention, trimming.oldest_pin(head))
        trimmed = 0
        while left:
            transaction, chosen = trimming.forget(self._layout, head, left, MAX_OPERATIONS)
            outcome = self._run(transaction)
            if not outcome.held:
                self._ask_head()
                break
            records = {each.key for each in chosen if self._layout.commit_of(each.key)[1] == 0}
            deletes = [write for write in transaction.writes if isinstance(write, Delete)]
            trimmed += sum(
                count for write, count in zip(deletes, outcome.deleted, strict=True) if write.start in records
            )
            left = left[len(chosen) :]
        self._written_bytes = 0
        outcome = self._run(DriverTransaction(then=self._head_range()))
        self._discard(self._take_head(outcome.found[0]), outcome.revision)
        return trimmed

    def retention(self) -> Retention:
        return self._ask_head().retention

    def set_retention(self, retention: Retention) -> None:
        for _ in range(MAX_ATTEMPTS):
            head = self._known_head()
            same = DriverCompare(Condition.MODIFIED_AT, head.retention_modified, self._layout.retention)
            conditions = [self._layout.exists(head.stored), same]
            writes = [Put(self._layout.retention, encode_retention(retention))]
            outcome = self._run(DriverTransaction(conditions, writes, otherwise=self._head_range()))
            if outcome.held:
                self._head = None
                return
            self._take_head(outcome.found[0])
        raise self._too_busy()

    def usage(self, recent: int = 0) -> StoreUsage:
        transaction = DriverTransaction(then=[self._layout.head_range(), *usage_ranges(self._layout, recent)])
        about, *found = self._run(transaction).found
        head = self._take_head(about)
        try:
            usage = usage_of(self._layout, head, found, recent)
            if usage.recent:
                since, until = (head.base + usage.recent[n].version for n in (-1, 0))
                changes = self._driver.changes(*self._layout.version_and_rows, since, until)
                if changes is not None:
                    usage = replace(usage, recent=with_rows(self._layout, head.base, usage.recent, changes))
        except (ValueError, IndexError) as error:
            raise self._damaged("a commit's record", error) from error
        return replace(usage, used_bytes=self._driver.used_bytes())

    def known_retention(self) -> Retention:
        return self._retention

    def pin(self, ticket: bytes, snapshot: Snapshot, lease_s: float, *, owner: str, age_s: float) -> Version:
        head = self._known_head()
        for _ in range(MAX_ATTEMPTS):
            if snapshot.incarnation != head.incarnation:
                raise SnapshotLostError.of(snapshot.version)
            pins = Pins(head.pins, committing.clock())
            pins.put(ticket, snapshot.version, lease_s, age_s=age_s, owner=owner)
            conditions = [
                *committing.reached(self._layout, head, snapshot.version),
                DriverCompare(Condition.VALUE_BELOW, number8(snapshot.version + 1), self._layout.floor),
                DriverCompare(Condition.MODIFIED_UP_TO, head.base + snapshot.version, self._layout.mark(CATALOG_TABLE)),
            ]
            now = self._change_pins(head, pins, conditions)
            if now is None:
                return head.floor
            head = now
            if snapshot.incarnation != head.incarnation or snapshot.version > head.version:
                raise SnapshotLostError.of(snapshot.version)
            if snapshot.version < head.catalog_version:
                raise CatalogChangedError.since(snapshot.version, head.catalog_version)
            if snapshot.version < head.floor:
                return head.floor
        raise self._too_busy()

    def unpin(self, ticket: bytes) -> None:
        head: Head | None = self._ask_head()
        for _ in range(MAX_ATTEMPTS):
            if head is None:
                return
            pins = Pins(head.pins, committing.clock())
            if not pins.remove(ticket):
                return
            head = self._change_pins(head, pins, [])
        raise self._too_busy()

    def pins(self) -> list[PinnedSnapshot]:
        return Pins(self._ask_head().pins, committing.clock()).shown()

    def another(self) -> Self:
        return type(self)(self._location)

    def _change_pins(self, head: Head, pins: Pins, conditions: Sequence[DriverCompare]) -> Head | None:
        """Store these pins; return None, or the present head if something does not hold."""
        same = DriverCompare(Condition.MODIFIED_AT, head.pins_modified, self._layout.pins)
        key = self._layout.pins
        writes: list[Write] = [Put(key, encode(pins.stored)) if pins.stored else Delete(key)]
        checks = [self._layout.exists(head.stored), same, *conditions]
        outcome = self._run(DriverTransaction(checks, writes, otherwise=self._head_range()))
        if outcome.held:
            self._head = None
            return None
        return self._take_head(outcome.found[0])

    def mark_restored(self) -> None:
        self._keep(self._renewed(self._ask_head()))

    def is_usable(self) -> bool:
        return not self._closed and self._driver.is_usable()

    def close(self) -> None:
        self._closed = True
        self._snapshot = self.held = None
        self._driver.close()

    def _discard(self, head: Head, newest: Revision) -> None:
        """Let the engine discard what no snapshot of any database needs any more. `newest`: its newest revision."""
        horizon = horizon_of(self._engine)
        horizon.saw(newest)
        if not head.floor:
            return
        self._discarded_s = committing.clock()
        horizon.look(self._driver)
        # Before the pins are read: one that is made later is of a snapshot that is not older than the retention then.
        revision = horizon.discardable(head.base + head.floor, head.retention.seconds)
        if revision is None:
            return
        try:
            pinned = pinned_revision(self._driver, [name for name in horizon.databases if name != self._database])
        except (Error, ValueError):
            return
        self._driver.discard(revision if pinned is None else min(revision, pinned))

    # Reading

    def _is_too_old(self, near: Snapshot) -> bool:
        """Whether the process has seen something newer than what a near server has shown, or wants it."""
        seen = newest_snapshot(self.place) or near
        wanted = self.at_least or near
        return not near.incarnation == seen.incarnation == wanted.incarnation or near.version < max(
            seen.version, wanted.version, self._last_snapshot.version
        )

    def _read(
        self,
        head: Head,
        snapshot: Snapshot | None,
        requests: Sequence[Request],
        reserves: Sequence[Reserve],
        *,
        fresh: bool,
    ) -> ReadResult | None:
        """Do one read; None if the database was not the one we assumed, which we now know."""
        layout, base = self._layout, head.base
        revision = 0 if snapshot is None else self._position
        for request in requests:
            if isinstance(request, Scan) and request.start < request.stop and self._hints.strides.wants_survey(request):
                self._survey(request, revision)
        reading = Reading(layout, self._hints, requests)
        known, conditions = self._unless_known(requests, head, revision)
        whole = reading.ranges(revision)
        short = reading.ranges(revision, known) if known else whole
        taking = plan_taking(layout, head.stored, reserves, self._hints) if reserves else None
        first = DriverTransaction(
            conditions,
            then=[layout.head_range(), *short[:MAX_OPERATIONS]],
            otherwise=[layout.head_range(), *whole[:MAX_OPERATIONS]] if known else (),
        )
        # More than one transaction takes: beside it where the revision is known already, else after it.
        beside = _reads(whole[MAX_OPERATIONS:]) if revision and not known else []
        takings = [taking.transaction] if taking is not None else []
        outcomes = self._run_all([first, *beside, *takings], fresh=fresh)
        if known and outcomes[0].held and outcomes[0].revision < base + _newest_known(requests, known):
            # A member that is behind what the caller knows cannot tell whether it is unchanged.
            outcomes = [*self._run_all([first]), *outcomes[1:]]
        about, *found = outcomes[0].found
        skipped = known if outcomes[0].held else frozenset()
        now = self._take_head(about)
        if snapshot is not None:
            self._check_snapshot(snapshot, now)
        elif (now.incarnation, now.base) != (head.incarnation, head.base):
            return None
        else:
            snapshot = Snapshot(now.incarnation, now.version)
            self._position = revision = outcomes[0].revision
        more = outcomes[1 : 1 + len(beside)]
        if not beside:
            more = self._run_some(_reads(reading.ranges(revision, skipped)[MAX_OPERATIONS:]))
        for outcome in more:
            found += outcome.found
        reading.take(found, skipped)
        self._bring_missing(reading, revision)
        try:
            answers = reading.answers(base)
        except (ValueError, IndexError) as error:
            raise self._damaged("an index entry", error) from error
        reserved = [] if taking is None else self._reserved(taking, outcomes[-1], reserves)
        return ReadResult(snapshot, now.catalog_version, answers, reserved)

    def _unless_known(
        self, requests: Sequence[Request], head: Head, revision: Revision
    ) -> tuple[frozenset[int], list[DriverCompare]]:
        """Return the scans whose rows the caller knows, and the conditions under which they need not be sent."""
        known: set[int] = set()
        conditions = []
        for number, request in enumerate(requests):
            if isinstance(request, Scan) and request.known and request.known.incarnation == head.incarnation:
                known.add(number)
                since = head.base + request.known.version
                until = min(since, revision) if revision else since
                conditions.append(DriverCompare(Condition.MODIFIED_UP_TO, until, self._layout.mark(request.table_id)))
        return frozenset(known), conditions

    def _survey(self, scan: Scan, revision: Revision) -> None:
        def count(bands: Sequence[Bounds]) -> list[int]:
            spans = [self._layout.span(scan.table_id, scan.index_id, *band) for band in bands]
            ranges = [Range(start, stop, revision, count_only=True) for start, stop in spans]
            return [found.count for outcome in self._run_some(_reads(ranges)) for found in outcome.found]

        strides = self._hints.strides
        strides.surveyed(scan, survey(scan, strides.known(scan), scan.limit or SCAN_ROWS, count))

    def _bring_missing(self, reading: Reading, revision: Revision) -> None:
        missing = list(reading.missing())
        ranges = [Range(self._layout.row(table, key), None, revision) for table, key in missing]
        outcomes = self._run_some(_reads(ranges))
        reading.take_rows(missing, (found for outcome in outcomes for found in outcome.found))

    def _check_snapshot(self, snapshot: Snapshot, head: Head) -> None:
        if snapshot.incarnation != head.incarnation:
            raise SnapshotLostError.of(snapshot.version)
        if snapshot.version < head.catalog_version:
            raise CatalogChangedError.since(snapshot.version, head.catalog_version)
        if snapshot.version < head.floor:
            raise SnapshotTooOldError.of()

    def _reserved(self, taking: Taking, outcome: TransactionOutcome, reserves: Sequence[Reserve]) -> list[int]:
        for _ in range(MAX_ATTEMPTS):
            numbers = settle_taking(taking, outcome, self._hints)
            if numbers is not None:
                return numbers
            head = self._take_head(outcome.found[0])
            taking = plan_taking(self._layout, head.stored, reserves, self._hints)
            outcome = self._run(taking.transaction)
        raise self._too_busy()

    # Committing

    def _is_known(self, snapshot: Snapshot, head: Head) -> bool:
        """Whether a snapshot belongs to the history that we know, and is not newer than what we have heard of."""
        return snapshot.incarnation == head.incarnation and snapshot.version <= self._last_snapshot.version

    def _commit(self, request: CommitRequest, record: bytes) -> Version:
        writes = request.writes()
        for _ in range(MAX_ATTEMPTS):
            head = self._known_head()
            conditions = committing.standing_conditions(self._layout, head, request, record)
            taken = self._turn_taken(head, request)
            if writes:
                conditions.append(DriverCompare(Condition.MODIFIED_AT, head.queue_modified, self._layout.queue))
            rests = committing.read_set(self._layout, head, request)
            if len(conditions) + len(rests.conditions) <= MAX_OPERATIONS:
                conditions += rests.conditions
            else:
                conditions += self._validated(rests)
            effects: list[Write] = []
            if writes and taken is None:
                effects = committing.effects(self._layout, head, request)
            outcome = self._send_commit(head, request, conditions, effects, record)
            if outcome.held:
                if taken is not None:
                    raise taken
                if not effects:
                    return self._take_head(outcome.found[0]).version
                return self._committed(head, request, outcome)
            found, about = outcome.found
            if found.pairs:
                return self._repeated(head, request, found)
            queue_modified = head.queue_modified
            head = self._take_head(about)
            self._check_snapshot(request.snapshot, head)
            if head.queue_modified == queue_modified:
                self._find_conflict(rests)
        raise self._too_busy()

    def _send_commit(
        self, head: Head, request: CommitRequest, conditions: list[DriverCompare], effects: list[Write], record: bytes
    ) -> TransactionOutcome:
        look = [self._forgetting.look()] if effects else self._head_range()
        transaction = DriverTransaction(conditions, effects, look, [Range(record), *self._head_range()])
        aside = self._forgetting.send(head, MAX_OPERATIONS) if effects else []
        try:
            [outcome] = self._driver.run([transaction], aside)
        finally:
            self._may_arrive |= self._driver.was_sent and bool(effects)
        return outcome

    def _committed(self, head: Head, request: CommitRequest, outcome: TransactionOutcome) -> Version:
        version = outcome.revision - head.base
        self._heard_of(Snapshot(head.incarnation, version))
        if self._driver.reads_near:
            saw(self.place, self._last_snapshot)
        try:
            self._forgetting.saw(outcome.found[0].pairs, head)
        except (ValueError, IndexError) as error:
            raise self._damaged("a commit's record", error) from error
        if any(place.ticket == request.ticket for place in head.queue):
            self._head = None  # we wrote the rest of the queue, at a revision that we could also tell
        for (table, index), entries in request.entries.items():
            self._hints.add(
                table, index, ((key + row_key, row_key) for (key, row_key), present in entries.items() if present)
            )
            for (key, row_key), present in entries.items():
                if not present:
                    self._hints.remove(table, index, key + row_key)
        self._written_bytes += sum(len(record or b"") for rows in request.rows.values() for record in rows.values())
        if self._written_bytes > head.retention.max_bytes * TRIM_SHARE:
            with suppress(Error):  # it is tried again; this commit is done
                self.trim()
        elif committing.clock() - self._discarded_s > DISCARD_EVERY_S:
            self._discard(head, outcome.revision)
        for sequence, last in request.settings.items():
            self._hints.numbers[sequence] = number_value(last) if last else b""
        for sequence, last in request.sequences.items():
            if last:
                self._hints.numbers[sequence] = max(number_value(last), self._hints.numbers.get(sequence, b""))
        return version

    def _repeated(self, head: Head, request: CommitRequest, found: RangeResult) -> Version:
        pair = found.pairs[0]
        if not decode_record(pair.value).applied:
            raise CommitAbortedError.of(request.transaction_id)
        version = pair.modified - head.base
        self._heard_of(Snapshot(head.incarnation, version))
        return version

    def _turn_taken(self, head: Head, request: CommitRequest) -> TurnTakenError | None:
        if head.queue:
            try:
                CommitQueue(head.queue, committing.clock()).check(request)
            except TurnTakenError as taken:
                return taken
        return None

    def _validated(self, rests: committing.RequestedReads) -> list[DriverCompare]:
        """Check that everything read is unchanged, and return the conditions for it to stay so. One round trip.

        For read sets larger than a transaction may be: one condition per table says that nobody has written it since.
        """
        revision = self._find_conflict(rests)
        marks = [self._layout.mark(table) for table in rests.tables]
        return [DriverCompare(Condition.MODIFIED_UP_TO, revision, mark) for mark in marks]

    def _find_conflict(self, rests: committing.RequestedReads) -> Revision:
        """Raise the ConflictError of the first change found; if there is none, return the revision of the check."""
        if not rests.probes:
            return self._run(DriverTransaction(then=self._head_range())).revision
        outcomes = self._run_all(_reads([probe.asked for probe in rests.probes]))
        found = (found for outcome in outcomes for found in outcome.found)
        for probe, answer in zip(rests.probes, found, strict=True):
            if probe.has_changed(answer):
                raise probe.conflict()
        return min(outcome.revision for outcome in outcomes)

    def _resolve_sent(self, request: CommitRequest) -> Version | None:
        try:
            return self.resolve(request.transaction_id, request.snapshot.version)
        except CommitUnknownError:
            raise
        except Error as error:
            raise _unknown(request, error) from error

    def _change_queue(self, queue: CommitQueue, changed: bool) -> bool:
        """Store this queue; return False if another client has changed it, in which case we now know the new one."""
        head = self._known_head()
        conditions = [
            self._layout.exists(head.stored),
            DriverCompare(Condition.MODIFIED_AT, head.queue_modified, self._layout.queue),
        ]
        writes = committing.write_queue(self._layout, head, queue.places) if changed else []
        outcome = self._run(DriverTransaction(conditions, writes, self._head_range(), self._head_range()))
        if not outcome.held:
            self._take_head(outcome.found[0])
        elif writes:
            self._head = None
        return outcome.held

    # The head, and the driver

    def _open(self) -> None:
        outcome = self._run(DriverTransaction(then=self._head_range()), fresh=not self._driver.reads_near)
        if not outcome.found[0].pairs:
            writes = [
                Put(self._layout.description, encode(Description(FORMAT, secrets.token_bytes(16)))),
                Put(self._layout.floor, number8(0)),
                Put(self._layout.retention, encode_retention(Retention())),
            ]
            conditions = [DriverCompare(Condition.MODIFIED_AT, 0, self._layout.description)]
            self._run(DriverTransaction(conditions, writes))
            outcome = self._run(DriverTransaction(then=self._head_range()))
        head = self._take_head(outcome.found[0])
        if head.version < (newest := self._hints.newest):  # another connection has heard of more, just now or before
            self._keep(self._checked_history(Snapshot(head.incarnation, newest)))

    def _head_range(self) -> list[Range]:
        return [self._layout.head_range()]

    def _known_head(self) -> Head:
        """Return the head as we last saw it: good enough for operations that are conditional on it."""
        if self._closed:
            raise StoreUnavailableError("the connection is closed")
        return self._ask_head() if self._head is None else self._head

    def _ask_head(self) -> Head:
        return self._take_head(self._run(DriverTransaction(then=self._head_range())).found[0])

    def _take_head(self, found: RangeResult) -> Head:
        """Take the head, or a newer one if it is older than what this connection has heard of.

        That one was read at the same time, perhaps; or the engine was restored from a copy, and a new history begins.

        Raises:
            StoreUnavailableError: the database was dropped.
            FormatError: it is a newer Rome's.
        """
        head = self._decoded(found)
        known = self._last_snapshot
        if head.incarnation == known.incarnation and head.version < known.version:
            head = self._checked_history(known)
        return self._keep(head)

    def _keep(self, head: Head) -> Head:
        if self._head is None or self._head.incarnation != head.incarnation:
            self._hints = hints_of(self._engine, head.incarnation)
        self._head, self._retention = head, head.retention
        self._heard_of(Snapshot(head.incarnation, head.version))
        return head

    def _decoded(self, found: RangeResult) -> Head:
        try:
            head = read_head(self._layout, found)
        except (ValueError, TypeError) as error:
            raise self._damaged("its description, retention or queue", error) from error
        if head is None:
            self._dropped()
        if head.format > FORMAT:
            raise FormatError(
                f"database {self._database!r} has format {head.format}; this version of Rome knows {FORMAT}: upgrade"
            )
        return head

    def _checked_history(self, known: Snapshot) -> Head:
        """Return the present head. If it is older than a known one, a new history begins. One round trip, or three.

        An engine that was restored from a copy assigns revisions again that it has assigned before.
        """
        head = self._decoded(self._run(DriverTransaction(then=self._head_range())).found[0])
        if head.incarnation == known.incarnation and head.version < known.version:
            head = self._renewed(head)
        return head

    def _renewed(self, head: Head) -> Head:
        """Begin a new history, in which no snapshot of the old one is valid; return its head. Two round trips."""
        writes: list[Write] = [
            Put(self._layout.description, encode(Description(head.format, secrets.token_bytes(16)))),
            Delete(self._layout.pins),  # whose snapshots are not valid any more
        ]
        self._run(DriverTransaction([self._layout.exists(head.stored)], writes))  # or another client was faster
        self._last_snapshot = Snapshot(b"", 0)
        return self._decoded(self._run(DriverTransaction(then=self._head_range())).found[0])

    def _dropped(self) -> NoReturn:
        self._head = None
        self._snapshot = None
        raise StoreUnavailableError(f"database {self._database!r} was dropped; a new connection makes it anew, empty")

    def _heard_of(self, snapshot: Snapshot) -> None:
        if snapshot.incarnation != self._last_snapshot.incarnation or snapshot.version > self._last_snapshot.version:
            self._last_snapshot = snapshot
            self._hints.newest = max(self._hints.newest, snapshot.version)

    def _run(self, transaction: DriverTransaction, *, fresh: bool = True) -> TransactionOutcome:
        [outcome] = self._run_all([transaction], fresh=fresh)
        return outcome

    def _run_all(self, transactions: Sequence[DriverTransaction], *, fresh: bool = True) -> list[TransactionOutcome]:
        if self._closed:
            raise StoreUnavailableError("the connection is closed")
        return self._driver.run(transactions, fresh=fresh)

    def _run_some(self, transactions: Sequence[DriverTransaction]) -> list[TransactionOutcome]:
        """Run reads at the snapshot's revision, which any member that has it can answer; no trip if there are none."""
        return self._run_all(transactions, fresh=False) if transactions else []

    def _past(self, found: RangeResult, base: Revision) -> list[trimming.Past]:
        try:
            return trimming.read_past(found.pairs, base)
        except (ValueError, IndexError) as error:
            raise self._damaged("a commit's record", error) from error

    def _too_busy(self) -> StoreBusyError:
        return StoreBusyError(f"{self._driver.server}: others were faster {MAX_ATTEMPTS} times; try again")

    def _damaged(self, what: str, error: Exception) -> CorruptRecordError:
        """Return the error for stored data that Rome did not write."""
        return CorruptRecordError(
            f"database {self._database!r}: {what} cannot be decoded ({error}): somebody else wrote into its keys; "
            "put a copy in their place"
        )


def _newest_known(requests: Sequence[Request], known: Iterable[int]) -> Version:
    """Return the newest version of which the caller of these scans knows the rows."""
    return max(each.known.version for n in known if isinstance(each := requests[n], Scan) and each.known)


def _unknown(request: CommitRequest, error: Error) -> CommitUnknownError:
    return CommitUnknownError.lost(error, transaction_id=request.transaction_id, snapshot=request.snapshot.version)


def _reads(ranges: Sequence[Range]) -> list[DriverTransaction]:
    """Return transactions that read all of these, each with as many as it may have."""
    return [
        DriverTransaction(then=ranges[first : first + MAX_OPERATIONS])
        for first in range(0, len(ranges), MAX_OPERATIONS)
    ]
