"""What the conformance suite must know of a store, and the client that its tests use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from secrets import token_bytes
from typing import cast

from msgspec import Struct

from rome.errors import ConflictError, Error
from rome.store.location import Location
from rome.store.memory import MemoryStore
from rome.store.spi import (
    BEYOND,
    ORDER_INDEX,
    Answer,
    Bounds,
    CommitRequest,
    Count,
    Drop,
    Get,
    Request,
    Row,
    Scan,
    ScanResult,
    Snapshot,
    Store,
    Version,
)
from rome.testing.request_rules import check_request

AWKWARD_NAMES = (
    "plain",
    "a:b",
    "a:b:c",
    "{a}",
    "{a}:b",
    "*",
    "?[a-z]",
    "with space",
    "new\nline",
    "%41",
    "naïve ☃",
    "..",
    "'\"\\",
    "rome",
)
"""Names of databases that a careless store confuses with each other, with a pattern, or with its own keys."""


class Point(Struct, frozen=True):
    """A row as it was read. Version 0: it was absent."""

    table_id: int
    key: bytes
    version: Version


class RangeCheck(Struct, frozen=True):
    """A range of an index as of `version`; with `rows`, what it leads to was read, too.

    In an index other than the order index these rows are `led_to`; SnapshotClient.check makes such a RangeCheck.
    """

    table_id: int
    index_id: int
    start: bytes
    stop: bytes
    version: Version
    rows: bool
    led_to: tuple[Point, ...] = ()


UNREAD = -1
"""In place of a version: nobody has read the row."""


class RowWrite(Struct, frozen=True):
    """Put a record, or delete the row (`record` None).

    `was` is the version of the row as it was read, 0 if it was absent; with UNREAD it is written blindly. If it is
    None, the client reads the row at its snapshot when it makes the request, unless the request names it as read.
    """

    table_id: int
    key: bytes
    record: bytes | None
    was: Version | None = None


class EntryWrite(Struct, frozen=True):
    """Add an index entry, or remove it."""

    table_id: int
    index_id: int
    index_key: bytes
    row_key: bytes
    present: bool


StoreWrite = RowWrite | EntryWrite | Drop
"""One thing that a commit writes; a CommitRequest has them by table."""


def _nothing() -> Set[object]:
    return frozenset()


@dataclass(frozen=True)
class StoreUnderTest:
    """A store, and how the suite reaches it.

    Attributes:
        store: the store's class.
        locate: gives the location of a database for a name that the suite chose; the same name, the same location.
        awkward_names: names that the store must keep apart. Leave out those that it cannot have (a "/" in a file's
        name). wait: lets this many seconds go by for the store.
        residue: everything that is physically stored, of all databases, in any comparable form. What is there after a
            drop, and was not before the database was created, is residue. Without it the suite only asks
            list_databases().
        model: the store with which the state machine compares it.
        machine_runs: how many random histories the state machine tries.
        reads_near: its locations say `reads=near`. A read may then miss a schema change, and further round trips to the
            near server do not count.
    """

    store: type[Store]
    locate: Callable[[str], Location]
    awkward_names: Sequence[str] = AWKWARD_NAMES
    wait: Callable[[float], None] = time.sleep
    residue: Callable[[], Set[object]] = _nothing
    model: type[Store] = MemoryStore
    machine_runs: int = 50
    reads_near: bool = False


def commit_request(
    transaction_id: bytes,
    snapshot: Snapshot,
    writes: Iterable[StoreWrite] = (),
    read: Iterable[Point | RangeCheck] = (),
    *,
    sequences: Mapping[int, int] | None = None,
    settings: Mapping[int, int] | None = None,
    ticket: bytes = b"",
) -> CommitRequest:
    """The request of a commit that names what was read and what is written one by one."""
    points: dict[int, dict[bytes, Version]] = {}
    range_rows: dict[int, dict[bytes, Version]] = {}
    ranges: dict[tuple[int, int, bool], dict[Bounds, Version]] = {}
    for check in read:
        if isinstance(check, Point):
            points.setdefault(check.table_id, {})[check.key] = check.version
        else:
            place = (check.table_id, check.index_id, check.rows)
            ranges.setdefault(place, {})[check.start, check.stop] = check.version
            for point in check.led_to:
                range_rows.setdefault(point.table_id, {})[point.key] = point.version
    rows: dict[int, dict[bytes, bytes | None]] = {}
    entries: dict[tuple[int, int], dict[tuple[bytes, bytes], bool]] = {}
    drops = []
    for write in writes:
        if isinstance(write, RowWrite):
            rows.setdefault(write.table_id, {})[write.key] = write.record
            if write.was is not None and write.was != UNREAD:
                points.setdefault(write.table_id, {})[write.key] = write.was
        elif isinstance(write, EntryWrite):
            entries.setdefault((write.table_id, write.index_id), {})[write.index_key, write.row_key] = write.present
        else:
            drops.append(write)
    request = CommitRequest(
        transaction_id,
        snapshot,
        points,
        ranges,
        rows,
        entries,
        drops,
        sequences or {},
        settings or {},
        ticket,
        range_rows,
    )
    check_request(request)
    return request


class SnapshotClient:
    """A connection with a snapshot, and the defaults that tests would otherwise repeat. `table` is 1 unless given.

    `ticket` goes with all commits; it identifies a client in the commit queue.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.ticket = b""
        self.snapshot = store.last_snapshot()

    def begin(self) -> Snapshot:
        """Take a new snapshot and return it."""
        self.snapshot = self.store.read(None, ()).snapshot
        return self.snapshot

    def read(self, *requests: Request) -> list[Answer]:
        """The answers as of the snapshot."""
        return self.store.read(self.snapshot, requests).answers

    def get(self, *keys: bytes, table: int = 1) -> list[Row | None]:
        """The rows with these keys, in their order; None for a key without a row."""
        [answer] = self.read(Get(table, keys))
        assert isinstance(answer, list)
        return answer

    def record(self, key: bytes, table: int = 1) -> bytes | None:
        """The record of one row; None if there is no such row."""
        [row] = self.get(key, table=table)
        return None if row is None else row.record

    def scan(
        self,
        index: int = ORDER_INDEX,
        start: bytes = b"",
        stop: bytes = BEYOND,
        *,
        limit: int | None = None,
        reverse: bool = False,
        table: int = 1,
    ) -> list[Row]:
        """All rows of a range, in as many calls as that takes; `limit` is per call."""
        rows: list[Row] = []
        while True:
            [answer] = self.read(Scan(table, index, start, stop, limit, reverse))
            assert isinstance(answer, ScanResult)
            assert limit is None or len(answer.rows) <= limit
            rows += answer.rows
            if answer.resume is None:
                return rows
            assert answer.resume != (stop if reverse else start), "a scan that makes no progress"
            if reverse:
                stop = answer.resume
            else:
                start = answer.resume

    def keys(
        self,
        index: int = ORDER_INDEX,
        start: bytes = b"",
        stop: bytes = BEYOND,
        *,
        limit: int | None = None,
        reverse: bool = False,
        table: int = 1,
    ) -> list[bytes]:
        """The row keys of a range, in the index's order."""
        return [row.key for row in self.scan(index, start, stop, limit=limit, reverse=reverse, table=table)]

    def count(self, index: int = ORDER_INDEX, start: bytes = b"", stop: bytes = BEYOND, *, table: int = 1) -> int:
        """How many entries a range has."""
        [answer] = self.read(Count(table, index, start, stop))
        return cast(int, answer)

    def check(self, index: int, start: bytes, stop: bytes, *, rows: bool, table: int = 1) -> RangeCheck:
        """Read a range at the snapshot, and return that it was read."""
        found = self.scan(index, start, stop, table=table) if rows and index != ORDER_INDEX else ()
        led_to = tuple(Point(table, row.key, row.version) for row in found)
        return RangeCheck(table, index, start, stop, self.snapshot.version, rows, led_to)

    def commit(
        self,
        *writes: StoreWrite,
        read: Sequence[Point | RangeCheck] = (),
        sequences: dict[int, int] | None = None,
        settings: dict[int, int] | None = None,
        transaction_id: bytes | None = None,
    ) -> Version:
        """Commit with the snapshot."""
        request = self.request(
            *writes, read=read, sequences=sequences, settings=settings, transaction_id=transaction_id
        )
        return self.store.commit(request)

    def request(
        self,
        *writes: StoreWrite,
        read: Sequence[Point | RangeCheck] = (),
        sequences: dict[int, int] | None = None,
        settings: dict[int, int] | None = None,
        transaction_id: bytes | None = None,
    ) -> CommitRequest:
        """The request that `commit` sends."""
        unread = _unread(writes, read)
        try:
            points = _points(unread, self.read(*unread)) if unread else []
        except Error as error:  # the test would take it for the commit's
            raise AssertionError("the snapshot cannot be read: say what the rows were before") from error
        return commit_request(
            transaction_id or token_bytes(16),
            self.snapshot,
            writes,
            [*read, *points],
            sequences=sequences or {},
            settings=settings or {},
            ticket=self.ticket,
        )

    def write(self, *writes: StoreWrite) -> Version:
        """Commit with a new snapshot, at once; again and again if others write the same rows meanwhile."""
        unread = _unread(writes, ())
        while True:
            found = self.store.read(None, unread)
            self.snapshot = found.snapshot
            try:
                return self.commit(*writes, read=_points(unread, found.answers))
            except ConflictError as conflict:
                if type(conflict) is not ConflictError:
                    raise


def _unread(writes: Sequence[StoreWrite], read: Sequence[Point | RangeCheck]) -> list[Get]:
    """What reads the rows that are written and that nothing says how they were read."""
    known = {(check.table_id, check.key) for check in read if isinstance(check, Point)}
    keys: dict[int, dict[bytes, None]] = {}
    for write in writes:
        if isinstance(write, RowWrite) and write.was is None and (write.table_id, write.key) not in known:
            keys.setdefault(write.table_id, {})[write.key] = None
    return [Get(table, tuple(wanted)) for table, wanted in keys.items()]


def _points(gets: Sequence[Get], answers: Sequence[Answer]) -> list[Point]:
    """The points of rows as `gets` have read them."""
    points = []
    for get, rows in zip(gets, answers, strict=True):
        assert isinstance(rows, list)
        points += [Point(get.table_id, key, row.version if row else 0) for key, row in zip(get.keys, rows, strict=True)]
    return points


Connect = Callable[[], SnapshotClient]
"""The fixture `connect`: opens one more connection to the test's database."""


def put(key: bytes, record: bytes = b"record", table: int = 1, was: Version | None = None) -> RowWrite:
    """A write that inserts or replaces a row; `was` as in RowWrite."""
    return RowWrite(table, key, record, was)


def delete(key: bytes, table: int = 1, was: Version | None = None) -> RowWrite:
    """A write that deletes a row; `was` as in RowWrite."""
    return RowWrite(table, key, None, was)


def enter(index_key: bytes, row_key: bytes, index: int = 1, table: int = 1) -> EntryWrite:
    """A write that adds an index entry."""
    return EntryWrite(table, index, index_key, row_key, True)


def leave(index_key: bytes, row_key: bytes, index: int = 1, table: int = 1) -> EntryWrite:
    """A write that removes an index entry."""
    return EntryWrite(table, index, index_key, row_key, False)


def change_catalog(record: bytes = b"changed") -> RowWrite:
    """A write that changes the catalog, which is table 0. Whoever writes there has read all of it."""
    return RowWrite(0, b"catalog", record, UNREAD)
