"""Random histories: connections to a store and to a model do the same things, and must get the same answers.

The model is the memory store, whose own tests compare it with another model. Versions are compared by the commits that
made them, since a store may count in steps other than one.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from functools import partial
from secrets import token_bytes, token_hex
from typing import ClassVar, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace

from rome.errors import CommitAbortedError, ConflictError, TurnTakenError
from rome.store.location import Location
from rome.store.spi import (
    BEYOND,
    ORDER_INDEX,
    Claim,
    CommitRequest,
    Drop,
    Reserve,
    Retention,
    Row,
    Scan,
    ScanResult,
    Snapshot,
    Version,
)
from rome.testing.harness import (
    UNREAD,
    EntryWrite,
    Point,
    RangeCheck,
    RowWrite,
    SnapshotClient,
    StoreUnderTest,
    StoreWrite,
    change_catalog,
)

T = TypeVar("T")

CONNECTIONS = 3
PLAIN_TABLE = 1
"""A table without indexes except its order index."""
LOG_TABLE = 2
"""Each row has a key of its own, so that no commit conflicts because of it."""

_LONG = b"p" * 600
KEYS = [b"\x00\x00", b"\x00\x01", b"a", b"b\x00", b"b\x01", b"\xfe", _LONG + b"\x00", _LONG + b"\x01"]
RECORDS = [b"", b"r", b"rr", b"s", b"\x00\xff"]


def _index_keys(record: bytes) -> tuple[bytes, bytes]:
    """A row's keys in the two indexes of the indexed table; in "r" and "rr" they are the same."""
    return b"i" + record[:1] + b"\x00\x00", _LONG + record[:1] + b"\x00\x00"


_INDEX_KEYS = sorted({key for record in RECORDS for key in _index_keys(record)})
BOUNDS = sorted(
    {
        b"",
        BEYOND,
        _LONG[:-1],
        *(bound for key in (*KEYS, *_INDEX_KEYS) for bound in (key, key + b"\xff")),
        *(index_key + key for index_key in _INDEX_KEYS for key in KEYS[::3]),
    }
)

connections = st.integers(0, CONNECTIONS - 1)
keys = st.sampled_from(KEYS)
# Bounds are drawn by number, since Hypothesis refuses to print a strategy that holds so many long ones. Ranges are
# mostly narrow, so that a change is as likely outside as inside.
ranges = st.tuples(st.integers(0, len(BOUNDS) - 1), st.sampled_from([1, 2, 4, 8, len(BOUNDS), len(BOUNDS)])).map(
    lambda place: (BOUNDS[place[0]], BOUNDS[min(sum(place), len(BOUNDS) - 1)])
)
records = st.sampled_from([None, *RECORDS])
row_writes = st.dictionaries(keys, records, min_size=1, max_size=4)
row_puts = st.dictionaries(keys, st.sampled_from(RECORDS), min_size=1, max_size=2)
paths = st.integers(-1, 2)
"""-1 is the plain table; 0 to 2 are the indexed table by its order index or by one of its two indexes."""


class _Twin:
    """A connection to the store and one to the model, and what the transaction that is open on both has read."""

    def __init__(self, real: SnapshotClient, model: SnapshotClient) -> None:
        self.clients = real, model
        real.ticket = model.ticket = token_bytes(16)
        self.open = False
        self.oldest = real.snapshot, model.snapshot
        self.reads: list[tuple[Point | RangeCheck, Point | RangeCheck]] = []

    @property
    def versions(self) -> tuple[Version, Version]:
        """The snapshots' versions."""
        real, model = self.clients
        return real.snapshot.version, model.snapshot.version

    def begin(self) -> None:
        """Begin a transaction."""
        self.refresh()
        self.oldest = self.clients[0].snapshot, self.clients[1].snapshot
        self.reads = []

    def refresh(self) -> None:
        """Continue the transaction with a new snapshot, as READ COMMITTED does."""
        for client in self.clients:
            client.begin()
        self.open = True


class _Sent:
    """A request that was sent to the store and to the model, and what became of it in the store."""

    def __init__(self, real: CommitRequest, model: CommitRequest) -> None:
        self.requests = real, model
        self.version: Version | None = None
        self.aborted = False
        self.expired = False


class StoreMachine(RuleBasedStateMachine):
    """One random history."""

    under_test: ClassVar[StoreUnderTest]

    def __init__(self) -> None:
        super().__init__()
        name = f"machine-{token_hex(8)}"
        self.locations = self.under_test.locate(name), Location("memory", f"{name}-model")
        self.twins = [self._connect() for _ in range(CONNECTIONS)]
        self.versions: dict[Version, Version] = {0: 0}
        """{commit version of the store: that of the model}"""
        self.sent: list[_Sent] = []
        self.numbers: dict[int, int] = {}
        """{sequence: the greatest number that was handed out or demanded}"""
        self.known: defaultdict[tuple[int, int], deque[tuple[Snapshot, list[Row]]]]
        self.known = defaultdict(partial(deque, maxlen=5))
        """{(table, index): what they held at some snapshots of the store}"""
        # Ids of tables and indexes are never used again.
        self.table, self.indexes, self.next_id = 3, [1, 2], 3
        self.dropped: list[tuple[int, int]] = []

    def _connect(self) -> _Twin:
        real, model = self.locations
        return _Twin(
            SnapshotClient(self.under_test.store.open(real)), SnapshotClient(self.under_test.model.open(model))
        )

    def teardown(self) -> None:
        """Compare everything once more, and drop the databases."""
        try:
            self.twins[0].begin()
            self._compare_everything(self.twins[0])
        finally:
            for twin in self.twins:
                for client in twin.clients:
                    client.store.close()
            self.under_test.store.drop_database(self.locations[0])
            self.under_test.model.drop_database(self.locations[1])

    @initialize(plain=row_writes, indexed=row_writes)
    def fill(self, plain: dict[bytes, bytes | None], indexed: dict[bytes, bytes | None]) -> None:
        """Begin with some rows in both tables."""
        self.write_plain(0, plain)
        self.commit(0, indexed, None)

    # Reading

    @rule(connection=connections)
    def refresh(self, connection: int) -> None:
        """Take a new snapshot within the transaction."""
        self._begun(connection).refresh()

    @rule(connection=connections)
    def release(self, connection: int) -> None:
        """End the transaction without a commit."""
        twin = self.twins[connection]
        twin.open = False
        for client in twin.clients:
            client.store.release()

    @rule(connection=connections)
    def reopen(self, connection: int) -> None:
        """Close the connection and open another."""
        self.leave_queue(connection)
        for client in self.twins[connection].clients:
            client.store.close()
        self.twins[connection] = self._connect()

    @rule(connection=connections, path=paths, wanted=st.lists(keys, min_size=1, max_size=3))
    def get(self, connection: int, path: int, wanted: list[bytes]) -> None:
        """Read rows by key."""
        twin = self._begun(connection)
        table, _ = self._path(path)
        self._read_rows(twin, table, wanted)

    @rule(
        connection=connections,
        path=paths,
        bounds=ranges,
        limit=st.none() | st.integers(1, 4),
        reverse=st.booleans(),
        rows=st.booleans(),
    )
    def scan(
        self, connection: int, path: int, bounds: tuple[bytes, bytes], limit: int | None, reverse: bool, rows: bool
    ) -> None:
        """Read one page of a range."""
        twin = self._begun(connection)
        start, stop = bounds
        table, index = self._path(path)
        answers = self._both(
            twin, lambda client: client.scan(index, start, stop, limit=limit, reverse=reverse, table=table)
        )
        if answers is not None:
            assert self._translated(answers[0]) == answers[1]
            self._remember_range(twin, table, index, start, stop, answers if rows else None)

    @rule(connection=connections, path=paths, writes=row_puts | row_writes)
    def scan_unless_known(self, connection: int, path: int, writes: dict[bytes, bytes | None]) -> None:
        """A client that has the rows of another snapshot, older or newer, is spared them only if they are the same."""
        twin = self._begun(connection)
        self._write_by_another(connection, path, writes)
        place = table, index = self._path(path)
        for each in (self._begun((connection + 1) % CONNECTIONS), twin):
            answers = self._both(each, lambda client: client.scan(index, table=table))
            if answers is not None:
                client, rows = each.clients[0], answers[0]
                for snapshot, known in self.known[place]:
                    [answer] = client.read(Scan(table, index, b"", BEYOND, known=snapshot))
                    assert isinstance(answer, ScanResult)
                    assert known == rows or not answer.unchanged
                self.known[place].append((client.snapshot, rows))

    @rule(connection=connections, path=paths, bounds=ranges)
    def count(self, connection: int, path: int, bounds: tuple[bytes, bytes]) -> None:
        """Count a range."""
        twin = self._begun(connection)
        start, stop = bounds
        table, index = self._path(path)
        answers = self._both(twin, lambda client: client.count(index, start, stop, table=table))
        if answers is not None:
            assert answers[0] == answers[1]
            self._remember_range(twin, table, index, start, stop, None)

    @rule(connection=connections)
    def read_everything(self, connection: int) -> None:
        """Read all tables and indexes."""
        self._compare_everything(self._begun(connection))

    @rule(connection=connections, sequence=st.integers(1, 2), size=st.integers(1, 20), above=st.integers(0, 50))
    def reserve(self, connection: int, sequence: int, size: int, above: int) -> None:
        """Take numbers from a sequence."""
        twin = self.twins[connection]
        twin.begin()
        real, _ = twin.clients
        [first] = real.store.read(real.snapshot, (), [Reserve(sequence, size, above)]).reserved
        assert first > max(above, self.numbers.get(sequence, 0))
        self.numbers[sequence] = first + size - 1

    # Committing

    @rule(connection=connections, writes=row_writes, number=st.none() | st.integers(1, 100))
    def commit(self, connection: int, writes: dict[bytes, bytes | None], number: int | None) -> None:
        """Write rows and their entries after reading the rows; everything that was read is validated."""
        twin = self._begun(connection)
        found = self._read_rows(twin, self.table, list(writes))
        if found is None:
            return
        effects: list[StoreWrite] = []
        for (key, record), row in zip(writes.items(), found, strict=True):
            effects.append(RowWrite(self.table, key, record))
            old = set() if row is None else set(enumerate(_index_keys(row.record)))
            new = set() if record is None else set(enumerate(_index_keys(record)))
            for position, index_key in sorted(old ^ new):
                present = (position, index_key) in new
                effects.append(EntryWrite(self.table, self.indexes[position], index_key, key, present))
        self._commit(twin, effects, {} if number is None else {1: number})

    @rule(connection=connections, path=paths, bounds=ranges, rows=st.booleans(), writes=row_puts | row_writes)
    def commit_what_rests_on_one_range(
        self, connection: int, path: int, bounds: tuple[bytes, bytes], rows: bool, writes: dict[bytes, bytes | None]
    ) -> None:
        """Read only one range, so that it alone decides, while another connection writes, perhaps into it."""
        twin = self.twins[connection]
        twin.begin()
        self._read_range(twin, *self._path(path), *bounds, rows=rows)
        self._write_by_another(connection, path, writes)
        self._commit(twin, [self._log()])

    @rule(connection=connections, path=paths, bounds=ranges, writes=row_puts | row_writes)
    def commit_what_rests_on_late_reads(
        self, connection: int, path: int, bounds: tuple[bytes, bytes], writes: dict[bytes, bytes | None]
    ) -> None:
        """Read after another connection has written, with an older first snapshot: no conflict."""
        twin = self.twins[connection]
        twin.begin()
        self._write_by_another(connection, path, writes)
        twin.refresh()
        table, index = self._path(path)
        self._read_range(twin, table, index, *bounds, rows=True)
        self._read_rows(twin, table, list(writes))
        self._commit(twin, [self._log()])

    @rule(connection=connections, writes=row_writes)
    def write_plain(self, connection: int, writes: dict[bytes, bytes | None]) -> None:
        """Write rows of the plain table on a new snapshot."""
        twin = self.twins[connection]
        twin.begin()
        self._read_rows(twin, PLAIN_TABLE, list(writes))
        self._commit(twin, [RowWrite(PLAIN_TABLE, key, record) for key, record in writes.items()])

    @rule(connection=connections, writes=row_puts)
    def write_blindly(self, connection: int, writes: dict[bytes, bytes]) -> None:
        """Put rows without reading them."""
        twin = self.twins[connection]
        twin.begin()
        self._commit(twin, [RowWrite(PLAIN_TABLE, key, record, UNREAD) for key, record in writes.items()])

    @rule(connection=connections)
    def log(self, connection: int) -> None:
        """Write a row that nobody has read, in a transaction that may have read others."""
        self._commit(self._begun(connection), [self._log()])

    @rule(connection=connections)
    def only_validate(self, connection: int) -> None:
        """Commit without writes."""
        self._commit(self._begun(connection), [])

    @rule(connection=connections, position=st.none() | st.integers(0, 1))
    def change_schema(self, connection: int, position: int | None) -> None:
        """Replace the indexed table by another, or one of its indexes by one with another id."""
        twin = self.twins[connection]
        twin.begin()
        entries: list[EntryWrite] = []
        if position is None:
            drop = Drop(self.table)
            self.dropped += [(self.table, index) for index in (ORDER_INDEX, *self.indexes)]
            self.table, self.indexes = self._new_id(), [self._new_id(), self._new_id()]
        else:
            drop = Drop(self.table, self.indexes[position])
            self.dropped.append((self.table, self.indexes[position]))
            self.indexes[position] = self._new_id()
            entries = [
                EntryWrite(self.table, self.indexes[position], _index_keys(row.record)[position], row.key, True)
                for row in twin.clients[1].scan(table=self.table)
            ]
        self._commit(twin, [drop, *entries, change_catalog(token_bytes(4))])

    @precondition(lambda self: bool(self.sent))
    @rule(connection=connections, back=st.integers(0, 3))
    def repeat(self, connection: int, back: int) -> None:
        """Send an earlier request again, perhaps by another connection, perhaps one that had failed."""
        self._send(self.twins[connection], self.sent[-1 - back % len(self.sent)])

    @rule(connection=connections, back=st.integers(0, 3), sent=st.booleans())
    def resolve(self, connection: int, back: int, sent: bool) -> None:
        """Resolve a request that was sent, or one that is going to be sent."""
        twin = self._begun(connection)
        if not (sent and self.sent):
            self.sent.append(self._requests(twin, [self._log()]))
            back = 0
        request = self.sent[-1 - back % len(self.sent)]
        if not request.expired:
            real, model = (
                client.store.resolve(mine.transaction_id, mine.snapshot.version)
                for client, mine in zip(twin.clients, request.requests, strict=True)
            )
            assert real == request.version
            assert (real is None) == (model is None)
            request.aborted = real is None

    @rule(connection=connections)
    def expire(self, connection: int) -> None:
        """Discard all history. Snapshots end first, since stores differ in whether they can still be read."""
        self._expire(connection, None)

    @rule(connection=connections)
    def outlive(self, connection: int) -> None:
        """Discard all history but that of a pinned transaction, which goes on."""
        if self.under_test.store.capabilities.pins:
            twin = self._begun(connection)
            self.log((connection + 1) % CONNECTIONS)  # so that there is something to discard
            pinned = [
                _outcome(partial(_pin, snapshot=oldest), client)
                for client, oldest in zip(twin.clients, twin.oldest, strict=True)
            ]
            self._expire((connection + 1) % CONNECTIONS, twin if pinned == [True, True] else None)
            if pinned == [True, True]:
                self._compare_everything(twin)
            for client in twin.clients:
                client.store.unpin(_PIN)

    def _expire(self, connection: int, pinned: _Twin | None) -> None:
        assert self.twins[connection].clients[0].store.trim() == 0, "nothing is old enough yet"
        for twin in self.twins:
            if twin is not pinned:
                twin.open = False
                for client in twin.clients:
                    client.store.release()
        for client in self.twins[connection].clients:
            client.store.set_retention(Retention(0.001))
            self.under_test.wait(0.005)
            client.store.trim()
            assert client.store.trim() == 0
            client.store.set_retention(Retention())
        floor = self.twins[connection].clients[0].begin().version if pinned is None else pinned.oldest[0].version
        self.release(connection)
        for sent in self.sent:
            # A refused one that saw this version may still be applied: trimming keeps that version.
            is_old = sent.requests[0].snapshot.version < floor
            sent.expired |= is_old or sent.aborted or (sent.version is not None and sent.version <= floor)

    # Lining up

    @rule(connection=connections, plain=st.booleans(), wanted=st.lists(keys | st.none(), min_size=1, max_size=3))
    def join_queue(self, connection: int, plain: bool, wanted: list[bytes | None]) -> None:
        """Other connections that write such rows get a TurnTakenError from now on, until this one commits."""
        claims = [Claim(PLAIN_TABLE if plain else self.table, key) for key in wanted]
        real, model = (
            client.store.join_queue(client.ticket, claims, 600.0) for client in self.twins[connection].clients
        )
        assert real == model

    @rule(connection=connections)
    def leave_queue(self, connection: int) -> None:
        """Leave the commit queue."""
        for client in self.twins[connection].clients:
            client.store.leave_queue(client.ticket)

    # How both sides are driven

    def _new_id(self) -> int:
        self.next_id += 1
        return self.next_id

    def _log(self) -> RowWrite:
        return RowWrite(LOG_TABLE, self._new_id().to_bytes(4, "big"), b"logged", was=0)

    def _path(self, path: int) -> tuple[int, int]:
        if path < 0:
            return PLAIN_TABLE, ORDER_INDEX
        return self.table, [ORDER_INDEX, *self.indexes][path]

    def _write_by_another(self, connection: int, path: int, writes: dict[bytes, bytes | None]) -> None:
        other = (connection + 1) % CONNECTIONS
        if path < 0:
            self.write_plain(other, writes)
        else:
            self.twins[other].begin()
            self.commit(other, writes, None)

    def _begun(self, connection: int) -> _Twin:
        twin = self.twins[connection]
        if not twin.open:
            twin.begin()
        return twin

    def _both(self, twin: _Twin, ask: Callable[[SnapshotClient], T]) -> tuple[T, T] | None:
        """Both answers; None if both refused, which ends the transaction."""
        real, model = (_outcome(ask, client) for client in twin.clients)
        if isinstance(real, Exception) or isinstance(model, Exception):
            assert type(real) is type(model)
            twin.open = False
            return None
        return real, model

    def _translated(self, rows: Iterable[Row | None]) -> list[Row | None]:
        """The store's rows with the model's versions."""
        return [row and Row(row.key, self.versions[row.version], row.record) for row in rows]

    def _read_rows(self, twin: _Twin, table: int, wanted: list[bytes]) -> list[Row | None] | None:
        answers = self._both(twin, lambda client: client.get(*wanted, table=table))
        if answers is None:
            return None
        assert self._translated(answers[0]) == answers[1]
        for key, real, model in zip(wanted, *answers, strict=True):
            twin.reads.append(
                (Point(table, key, real.version if real else 0), Point(table, key, model.version if model else 0))
            )
        return answers[1]

    def _read_range(self, twin: _Twin, table: int, index: int, start: bytes, stop: bytes, *, rows: bool) -> None:
        answers = self._both(twin, lambda client: client.scan(index, start, stop, table=table)) if rows else None
        self._remember_range(twin, table, index, start, stop, answers)

    def _remember_range(
        self,
        twin: _Twin,
        table: int,
        index: int,
        start: bytes,
        stop: bytes,
        answers: tuple[list[Row], list[Row]] | None,
    ) -> None:
        """Remember that a range was read; and its rows, if there are answers."""
        checks = [
            RangeCheck(
                table,
                index,
                start,
                stop,
                version,
                answers is not None,
                () if index == ORDER_INDEX else tuple(Point(table, row.key, row.version) for row in rows),
            )
            for version, rows in zip(twin.versions, answers or ([], []), strict=True)
        ]
        twin.reads.append((checks[0], checks[1]))

    def _compare_everything(self, twin: _Twin) -> None:
        for table, index in [(0, ORDER_INDEX), (LOG_TABLE, ORDER_INDEX), *map(self._path, range(-1, 3)), *self.dropped]:
            answers = self._both(twin, partial(_scan_and_count, table=table, index=index))
            if answers is None:
                return
            (real_rows, real_count), (model_rows, model_count) = answers
            assert self._translated(real_rows) == model_rows
            assert real_count == model_count == len(model_rows)
            assert not (model_rows and (table, index) in self.dropped)

    def _requests(self, twin: _Twin, writes: list[StoreWrite], sequences: dict[int, int] | None = None) -> _Sent:
        transaction_id = token_bytes(16)
        reads_of_both = zip(*twin.reads, strict=True) if twin.reads else ((), ())
        real, model = (
            replace(
                client.request(*writes, read=reads, sequences=sequences, transaction_id=transaction_id), snapshot=oldest
            )
            for client, oldest, reads in zip(twin.clients, twin.oldest, reads_of_both, strict=True)
        )
        return _Sent(real, model)

    def _commit(self, twin: _Twin, writes: list[StoreWrite], sequences: dict[int, int] | None = None) -> None:
        sent = self._requests(twin, writes, sequences)
        if writes:
            self.sent.append(sent)
        self._send(twin, sent)

    def _send(self, twin: _Twin, sent: _Sent) -> None:
        twin.open = False
        outcomes = (
            _outcome(partial(_commit, request=request), client)
            for client, request in zip(twin.clients, sent.requests, strict=True)
        )
        real = next(outcomes)
        if sent.expired:
            # The model has forgotten the request; the store may have, too. Neither may apply it now.
            assert isinstance(real, ConflictError | CommitAbortedError) or real == sent.version
            return
        model = next(outcomes)
        if isinstance(real, Exception) or isinstance(model, Exception):
            assert isinstance(real, ConflictError) == isinstance(model, ConflictError)
            assert isinstance(real, CommitAbortedError) == isinstance(model, CommitAbortedError)
            assert isinstance(real, TurnTakenError) == isinstance(model, TurnTakenError)
            return
        request = sent.requests[0]
        if request.rows or request.drops:
            assert sent.version in (None, real)
            assert self.versions.setdefault(real, model) == model
            sent.version = real
        for sequence, number in request.sequences.items():
            self.numbers[sequence] = max(number, self.numbers.get(sequence, 0))


def _outcome(ask: Callable[[SnapshotClient], T], client: SnapshotClient) -> T | ConflictError | CommitAbortedError:
    try:
        return ask(client)
    except (ConflictError, CommitAbortedError) as refusal:
        return refusal


_PIN = token_bytes(16)


def _pin(client: SnapshotClient, snapshot: Snapshot) -> bool:
    """Pin a snapshot; returns whether its history was still there."""
    return client.store.pin(_PIN, snapshot, 600.0, owner="machine", age_s=0.0) <= snapshot.version


def _scan_and_count(client: SnapshotClient, table: int, index: int) -> tuple[list[Row], int]:
    return client.scan(index, table=table), client.count(index, table=table)


def _commit(client: SnapshotClient, request: CommitRequest) -> Version:
    return client.store.commit(request)


class TestRandomHistories:
    """Runs the state machine."""

    def test_store_and_model_give_the_same_answers(self, store_under_test: StoreUnderTest) -> None:
        """Try StoreUnderTest.machine_runs random histories."""

        class Machine(StoreMachine):
            under_test = store_under_test

        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=store_under_test.machine_runs,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
