"""Records as one transaction sees them: those of its snapshot, under what it has written itself.

What is read enters the read set at once, as far as the isolation level asks: exactly the rows and ranges that the
answers depend on.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import attrgetter

from rome.errors import ConflictError, WorkingSetFullError
from rome.kv.feed import FeedChange
from rome.kv.keys import NO_LIMIT, Key
from rome.store.spi import BEYOND, ORDER_INDEX, Bounds, Count, Row
from rome.transaction.incremental_scan import IncrementalScan
from rome.transaction.memory_budget import OverBudget
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest, Transaction
from rome.transaction.write_set import WriteSet

EntryOf = Callable[[Row], bytes]
"""The place of a row in an index: index key and row key; for the order index the row key."""

entry_of_key: EntryOf = attrgetter("key")

_OWN_VERSION = 0


class RecordView:
    """Reads and buffered writes of one transaction, in terms of tables and bytes.

    Attributes:
        check: what COMMIT validates of what is read: all of it, or nothing (snapshot isolation).
        writes: what COMMIT will write.
        changes: for those who watch: {(table, row key): what was done to it}.
        beside: to be read with the next read, and then to be looked at by `look_beside`.
        conflict: what a read has met; the transaction can then do nothing but end.
    """

    def __init__(self, transaction: Transaction, check: Validation) -> None:
        self.transaction = transaction
        self.check = check
        self.writes = WriteSet()
        self.changes: dict[tuple[int, bytes], FeedChange] = {}
        self.beside: list[ReadRequest] = []
        self.look_beside: list[Callable[[Transaction], None]] = []
        self.conflict: ConflictError | None = None

    # ------------------------------------------------------------ reads
    def get(self, table_id: int, keys: Sequence[bytes]) -> list[Row | None]:
        """Return rows by key, in the order of the keys; version 0 for what this transaction has written.

        Cost: one round trip for all that was not read before.
        """
        own = self.writes.rows.get(table_id, {})
        self._read_stored(table_id, [key for key in keys if key not in own], self.check)
        return [_own_row(key, own[key]) if key in own else self.transaction.cache.row(table_id, key) for key in keys]

    def stored(self, table_id: int, keys: Sequence[bytes]) -> list[Row | None]:
        """Return rows as they are in the store. COMMIT validates them, if they are written, at every level."""
        self._read_stored(table_id, keys, self.check)
        return [self.transaction.cache.row(table_id, key) for key in keys]

    def scan(
        self,
        table_id: int,
        index_id: int,
        bounds: Bounds,
        entry_of: EntryOf,
        limit: int | None,
        *,
        reverse: bool,
    ) -> list[Row]:
        """Return the rows of a range of an index, in its order or backwards.

        Cost: one round trip; more if the store cuts a large answer into pieces, or if this transaction has deleted
        rows of the range.
        """
        own = self._own_within(table_id, bounds, entry_of)
        hidden = self.writes.rows.get(table_id, {})
        stored = self._scan_stored(table_id, index_id, bounds, limit, hidden, reverse=reverse)
        if hidden:
            stored = [row for row in stored if row.key not in hidden]
        if own:
            stored = _merged(stored, own, entry_of, reverse=reverse)
        return stored if limit is None else stored[:limit]

    def count(self, table_id: int, index_id: int, bounds: Bounds, entry_of: EntryOf) -> int:
        """Return how many rows a range of an index has.

        Cost: one round trip; the store counts. One more for keys that this transaction has written without reading
        them.
        """
        start, stop = bounds
        wanted = Count(table_id, index_id, start, stop)
        if self.beside:
            self._read([])
        try:
            (number,) = self.transaction.ask([wanted])
        except OverBudget as full:
            raise _too_much(full) from full
        except ConflictError as conflict:
            self.conflict = conflict
            raise
        assert isinstance(number, int)
        self.transaction.check_range(table_id, index_id, start, stop, self.check)
        own = self.writes.rows.get(table_id)
        if own:
            for row in self.stored(table_id, [*own]):
                number -= row is not None and start <= entry_of(row) < stop
            number += len(self._own_within(table_id, bounds, entry_of))
        return number

    def is_free(self, table_id: int, index_id: int, bounds: Bounds, entry_of: EntryOf, but: bytes) -> bool:
        """Whether no row other than that with the key `but` is in a range; COMMIT validates it at every level."""
        own = self.writes.rows.get(table_id, {})
        if any(row.key != but for row in self._own_within(table_id, bounds, entry_of)):
            return False
        want = ReadRequest(table_id, index_id, (), (bounds,), Validation.KEYS)
        self._read([want])
        self.transaction.check_request(want)
        found = self.transaction.rows(want)
        return all(row.key == but or row.key in own or not bounds[0] <= entry_of(row) < bounds[1] for row in found)

    def has_entry(self, table_id: int, index_id: int, index_key: bytes, row_key: bytes) -> bool:
        """Whether an index that is being built has an entry already; COMMIT validates the answer at every level."""
        pending = self.writes.entries.get((table_id, index_id), {}).get((index_key, row_key))
        if pending is not None:
            return pending
        entry = index_key + row_key
        want = ReadRequest(table_id, index_id, (), ((entry, entry + BEYOND),), Validation.KEYS)
        self._read([want])
        self.transaction.check_request(want)
        return self.transaction.cache.covering(table_id, index_id, entry, entry + BEYOND) == [row_key]

    def _scan_stored(
        self,
        table_id: int,
        index_id: int,
        bounds: Bounds,
        limit: int | None,
        hidden: dict[bytes, bytes | None],
        *,
        reverse: bool,
    ) -> list[Row]:
        transaction = self.transaction
        if limit is None and index_id == ORDER_INDEX:  # from memory, if it was read before
            want = ReadRequest(table_id, index_id, (), (bounds,), self.check)
            self._read([want])
            transaction.check_request(want)
            found = [row for row in transaction.rows(want) if bounds[0] <= row.key < bounds[1]]
            found.sort(key=entry_of_key, reverse=reverse)
            return found
        most = NO_LIMIT if limit is None else limit
        scan = IncrementalScan(table_id, index_id, [bounds], most, reverse=reverse)
        wanting = most
        while wanting > 0 and not scan.is_finished:
            before = len(scan.rows)
            self._read([], scan)
            wanting -= sum(row.key not in hidden for row in scan.rows[before:])
        transaction.check_scan(scan, self.check)
        return scan.rows

    def _read_stored(self, table_id: int, keys: Sequence[bytes], check: Validation) -> None:
        if keys:
            want = ReadRequest(table_id, ORDER_INDEX, tuple(keys), (), check)
            self._read([want])
            self.transaction.check_request(want)

    def _read(self, wants: Sequence[ReadRequest], incremental: IncrementalScan | None = None) -> None:
        try:
            self.transaction.read([*wants, *self.beside], incremental=incremental)
            for look in self.look_beside:
                look(self.transaction)
        except OverBudget as full:
            raise _too_much(full) from full
        except ConflictError as conflict:
            self.conflict = conflict
            raise
        if self.beside:
            self.beside, self.look_beside = [], []

    def _own_within(self, table_id: int, bounds: Bounds, entry_of: EntryOf) -> list[Row]:
        own = self.writes.rows.get(table_id)
        if not own:
            return []
        rows = [Row(key, _OWN_VERSION, record) for key, record in own.items() if record is not None]
        return [row for row in rows if bounds[0] <= entry_of(row) < bounds[1]]

    # ------------------------------------------------------------ writes
    def put(self, table_id: int, key: bytes, parts: Key, record: bytes) -> None:
        """Insert or replace a row, at COMMIT."""
        self.writes.put(table_id, key, record)
        self.changes[table_id, key] = (table_id, parts, False)

    def delete(self, table_id: int, key: bytes, parts: Key) -> None:
        """Delete a row, at COMMIT; if there is none, nothing happens."""
        self.writes.rows.setdefault(table_id, {})[key] = None
        self.changes[table_id, key] = (table_id, parts, True)

    def validate_written(self) -> None:
        """Add the rows that were read and are written to the read set, below SERIALIZABLE: no update is lost."""
        if self.check is Validation.ROWS:
            return
        cache, read_set = self.transaction.cache, self.transaction.read_set
        for table_id, rows in self.writes.rows.items():
            for key in rows:
                if cache.knows(table_id, key):
                    row = cache.row(table_id, key)
                    read_set.add_point(table_id, key, 0 if row is None else row.version)


def _own_row(key: bytes, record: bytes | None) -> Row | None:
    return None if record is None else Row(key, _OWN_VERSION, record)


def _merged(stored: list[Row], own: list[Row], entry_of: EntryOf, *, reverse: bool) -> list[Row]:
    """Put own rows in their places among stored ones."""
    own = sorted(own, key=entry_of)
    if reverse:
        stored = stored[::-1]
    places = [entry_of(row) for row in stored]
    found: list[Row] = []
    done = 0
    for row in own:
        place = bisect_left(places, entry_of(row))
        found += stored[done:place]
        found.append(row)
        done = place
    found += stored[done:]
    return found[::-1] if reverse else found


def _too_much(full: OverBudget) -> WorkingSetFullError:
    rows = "" if full.rows is None else f" ({full.rows:,} of them)"
    return WorkingSetFullError(
        f"what this transaction reads{rows} does not fit into max_working_set: read with `limit`, a page at a time and "
        "each page in a transaction of its own, or raise max_working_set in the URL",
        rows=full.rows,
    )
