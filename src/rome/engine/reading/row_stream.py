"""Run a query part by part, for a caller that asks for its rows as they come (rome.planner.shortcuts.cut says which).

Each part has the next rows of one table, in a working set of the stream's own. So nothing that the connection does
meanwhile changes what comes, as long as its snapshot lasts; and memory is taken for one part only.

Invariant: what has been read for the rows that were handed out is in the read set, and nothing beyond one part more.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from sys import getsizeof

from rome.catalog.rows import decode_row, decode_rows, index_key, row_key
from rome.catalog.schema import Index, Table
from rome.codec.values import SqlValue
from rome.engine.reading.lookups import provide_lookups
from rome.engine.reading.reader import CatalogMoved, Reader
from rome.engine.reading.waves import gather_beside
from rome.engine.result import UnreadRows
from rome.engine.statement.prepared import Prepared
from rome.errors import CatalogChangedError, Error, InterruptedTransactionError, WorkingSetFullError
from rome.planner.plan import Cut, Fetch
from rome.store.spi import ORDER_INDEX, Bounds, Count, Row, Snapshot
from rome.transaction import chunked_scan
from rome.transaction.chunked_scan import ChunkedScan
from rome.transaction.read_set import Validation
from rome.transaction.transaction import Transaction
from rome.workingset.contents import Stored
from rome.workingset.workingset import SqlRow, WorkingSet


class RowStream(UnreadRows):
    """The rows of one query, as of the moment when it began."""

    def __init__(
        self,
        reader: Reader,
        prepared: Prepared,
        parameters: Sequence[SqlValue],
        check: Validation,
        cut: Cut,
        fetch: Fetch,
    ) -> None:
        self._reader, self._prepared, self._parameters, self._check = reader, prepared, parameters, check
        self._cut, self._table = cut, fetch.table
        self._scan = ChunkedScan(fetch.table.id, fetch.path.id, fetch.ranges, reverse=cut.reverse)
        self._skip, self._left = cut.offset, cut.limit
        self._written = {
            table.id: _Written(reader, table, fetch.path if table is fetch.table else table.key)
            for table in prepared.plan.tables
        }
        self._others = [table.id for table in prepared.plan.tables if table is not fetch.table]
        self._error: Error | None = None
        self._rest: Sequence[SqlRow] | None = None
        self.is_finished = not fetch.ranges or cut.limit == 0
        first = [] if self.is_finished else reader.read_chunk(self._scan, check)
        transaction = self._transaction = reader.transaction.beside()
        self._snapshot: Snapshot | None = transaction.snapshot
        self._working_set = reader.workspace.open_beside()
        self._beside = Reader(transaction, reader.workspace, reader.schema, self._working_set)
        self._first: Sequence[Row] | None = first

    def next_rows(self) -> Sequence[SqlRow]:
        """The rows of the next part; there may be none although the stream is not finished.

        Raises:
            rome.errors.Error: as the statement's; and again, whenever there are more rows to be asked for.

        Cost: one round trip, and more if the rows key those of other tables.
        """
        if self._error is not None:
            raise self._error
        if self.is_finished:
            return ()
        if self._rest is not None:
            self.close()
            return self._rest
        try:
            rows, self._first = self._first, None
            if rows is None:
                rows = self._reader.read_chunk(self._scan, self._check)
            found = self._shown(self._run(rows))
        except Error as error:
            self.refuse(error)
            raise
        except CatalogMoved as moved:
            changed = CatalogChangedError.since(self._reader.base_version, moved.version)
            self.refuse(changed)
            raise changed from None
        except BaseException:
            self.refuse(InterruptedTransactionError("an exception from outside came while rows were read"))
            raise
        if self._scan.is_finished or self._left == 0:
            self.close()
        return found

    @property
    def reads(self) -> bool:
        """Whether it has to read more, for which its snapshot must last."""
        return not self.is_finished and self._rest is None and self._error is None

    def is_of(self, transaction: Transaction) -> bool:
        """Whether this transaction is the one that began it, and has the same snapshot still."""
        return transaction is self._reader.transaction and transaction.snapshot == self._snapshot

    def read_rest(self) -> None:
        """Read all that is left, before the snapshot ends. An error is for who asks for the rows."""
        rows: list[SqlRow] = []
        used, budget = 0, self._transaction.budget
        try:
            while not self.is_finished:
                for row in self.next_rows():
                    used += getsizeof(row) + sum(map(getsizeof, row))
                    rows.append(row)
                if used > budget.max_bytes:
                    raise WorkingSetFullError(
                        f"the connection has run another statement, which took a new snapshot, so the rest of "
                        f"{self._table.name} had to be read before; it has more rows than max_working_set has room "
                        f"for ({budget.max_bytes:,} bytes). Use another connection for the other statement, or "
                        "SERIALIZABLE or SNAPSHOT for both",
                        table=self._table.name,
                    )
        except Error as error:
            self._error = error
        self.close()
        self.is_finished, self._rest = False, rows

    def refuse(self, error: Error) -> None:
        """Let whoever asks for more rows get this error."""
        self._error = error
        self._working_set.close()

    def close(self) -> None:
        """Forget the rest."""
        self.is_finished = True
        self._working_set.close()

    def _run(self, rows: Sequence[Row]) -> list[SqlRow]:
        """The statement's result over these rows of the table."""
        budget = self._transaction.budget
        held = budget.used_bytes
        if held > budget.max_bytes // 4:
            self._forget()
            held = 0
        try:
            return self._run_once(rows)
        except WorkingSetFullError:
            if not held:
                raise
        self._forget()
        return self._run_once(rows)

    def _run_once(self, rows: Sequence[Row]) -> list[SqlRow]:
        working_set, table, reader = self._working_set, self._table, self._beside
        if not working_set.begun:
            self._begin()
        try:
            part = self._written[table.id].part(table, rows, self._scan.covered)
            working_set.hydrate(table, part)
            gather_beside(
                reader, self._prepared.plan, self._parameters, self._check, table, [row.values for row in part]
            )
            if working_set.contents.large:
                provide_lookups(reader, self._prepared)
            interruption = working_set.interruption
            interruption.running = True
            try:
                return working_set.query(self._cut.sql, self._cut.parameters)
            finally:
                interruption.running = False
        finally:
            working_set.empty(table)
            self._reader.transaction.count_reads_of(self._transaction)
            if self._check is Validation.ROWS:
                self._reader.transaction.bound_read_set(self._others)

    def _begin(self) -> None:
        """Put in what the transaction has written to the other tables."""
        self._working_set.begin()
        for table in self._prepared.plan.tables:
            if table is not self._table:
                self._written[table.id].put_into(self._working_set, table)

    def _forget(self) -> None:
        """Forget the rows of the other tables, which are kept for parts that need them, too."""
        self._working_set.rollback()
        self._transaction.forget()
        self._beside.forget_decoded()

    def _shown(self, rows: list[SqlRow]) -> Sequence[SqlRow]:
        """Those of a part's rows that OFFSET and LIMIT let through."""
        if not self._skip and self._left is None:
            return rows
        stop = None if self._left is None else self._skip + self._left
        shown = list(islice(rows, self._skip, stop))
        self._skip = max(0, self._skip - len(rows))
        if self._left is not None:
            self._left -= len(shown)
        return shown


class _Written:
    """The rows of one table that the transaction has touched, as they were when the stream began."""

    def __init__(self, reader: Reader, table: Table, path: Index) -> None:
        contents = reader.working_set.contents.tables.get(table.id)
        self.touched = {} if contents is None else dict(contents.touched)
        self._keys: set[bytes] = set()
        self._entries: list[tuple[bytes, Stored]] = []
        if contents is None or not self.touched:
            return
        self._keys = {row.key for identity, row in contents.hydrated.items() if identity in self.touched}
        for final in reader.working_set.final_rows(table, list(self.touched.values())):
            if final is not None:
                rowid, values = final
                key = row_key(table, rowid, values)
                entry = key if path.id == ORDER_INDEX else index_key(path, rowid, values) + key
                self._entries.append((entry, Stored(key, 0, rowid, values)))

    def put_into(self, working_set: WorkingSet, table: Table) -> None:
        """Put all of them into a working set, in place of those that the store has."""
        if self.touched:
            working_set.hydrate(table, [row for _, row in self._entries])
            contents = working_set.contents.of(table.id)
            contents.keys |= self._keys
            contents.touched = dict(self.touched)

    def part(self, table: Table, rows: Sequence[Row], covered: Bounds) -> list[Stored]:
        """The stored rows of a part of the path, with those in it that were touched as they are now."""
        decoded = decode_rows(table, [row.record for row in rows])
        if decoded is None:
            decoded = [decode_row(table, row.key, row.record) for row in rows]
        stored = [Stored(row.key, row.version, *each) for row, each in zip(rows, decoded, strict=True)]
        if not self.touched:
            return stored
        start, stop = covered
        keys = self._keys
        stored = [row for row in stored if row.key not in keys]
        return stored + [row for entry, row in self._entries if start <= entry < stop]


def open_stream(
    reader: Reader, prepared: Prepared, parameters: tuple[SqlValue, ...], check: Validation
) -> RowStream | None:
    """Begin to read a query's rows; None if it must be run as a whole, or if what it reads is bounded anyway.

    Cost: one round trip, and one more if several indexes serve the conditions.
    """
    plan = reader.schema.cut_plan(prepared)
    if plan is None or not reader.has_stored_schema or prepared.inspection.temporary_read:
        return None
    working_set, text = reader.working_set, prepared.statement.text.lower()
    if working_set.temporary() or any(name in text for name in working_set.fickle):
        return None
    cut = plan.cut(parameters)
    if cut is None or (cut.limit is not None and cut.limit + cut.offset <= chunked_scan.FIRST_ROWS):
        return None
    computed = any(way.path.computed is not None for way in cut.ways)
    for table in prepared.plan.tables:
        contents = working_set.contents.tables.get(table.id)
        if contents is not None and (contents.whole or (contents.touched and computed)):
            return None
    return RowStream(reader, prepared, parameters, check, cut, _fewest(reader, cut.ways))


def _fewest(reader: Reader, ways: Sequence[Fetch]) -> Fetch:
    if len(ways) == 1:
        return ways[0]
    counts = [[Count(way.table.id, way.path.id, *bounds) for bounds in way.ranges] for way in ways]
    found = iter(reader.ask([count for each in counts for count in each]))
    sizes = [sum(int(size) for size in islice(found, len(each)) if isinstance(size, int)) for each in counts]
    return ways[min(range(len(ways)), key=sizes.__getitem__)]
