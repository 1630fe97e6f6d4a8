"""Bring what a statement needs from the store into the working set, with one round trip per wave."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter

from rome.catalog.mirror import Mirror
from rome.catalog.rows import decode_row, decode_rows
from rome.catalog.schema import Table
from rome.engine.reading.passing import Passing
from rome.engine.statement.prepared import Prepared
from rome.engine.statement.schema import SchemaVersion
from rome.engine.statement.workspace import Workspace
from rome.errors import ConflictError, InternalError, WorkingSetFullError
from rome.planner.plan import Fetch
from rome.store.row_block import RowBlock
from rome.store.spi import Count, Reserve, Row, Scan
from rome.transaction.chunked_scan import ChunkedScan
from rome.transaction.incremental_scan import IncrementalScan
from rome.transaction.memory_budget import OverBudget
from rome.transaction.read_set import NOTHING, Validation
from rome.transaction.transaction import ReadRequest, Transaction
from rome.workingset.block_loader import stored_rows
from rome.workingset.contents import Stored
from rome.workingset.workingset import WorkingSet

_FEW = 16
_key = attrgetter("key")


class CatalogMoved(Exception):
    """Internal: the transaction's first read found another catalog version than the one it was planned for."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


class Reader:
    """One transaction's way from the store to the working set.

    Attributes:
        schema: as this transaction sees it, its own DDL included.
        base: the schema as the store has it.
        base_version: the catalog version that reads must find.
        passing: the query that is going to run; once a block has come, what becomes of it.
        first_new_table: this transaction has created the tables from this id on; the store does not know them.
    """

    def __init__(
        self,
        transaction: Transaction,
        workspace: Workspace,
        schema: SchemaVersion,
        working_set: WorkingSet | None = None,
    ) -> None:
        self.transaction = transaction
        self.working_set = workspace.working_set if working_set is None else working_set
        self.workspace = workspace
        self.schema = self.base = schema
        self.base_version = schema.catalog.version
        self.first_new_table = schema.definition.header.next_id
        self._decoded: dict[int, dict[bytes, Stored]] = {}
        self.passing: Passing | Prepared | None = None

    @property
    def mirror(self) -> Mirror:
        """The schema as this transaction sees it, with all of its indexes."""
        return self.workspace.mirror

    @property
    def has_stored_schema(self) -> bool:
        """Whether this transaction has not changed the schema."""
        return self.schema is self.base

    def forget_decoded(self) -> None:
        """Forget decoded rows, after a new snapshot or a change of a table's layout."""
        self._decoded.clear()

    def refresh(self) -> None:
        """Take a snapshot if there is none, and check that the catalog version is ours.

        Raises:
            CatalogMoved: it is a different one.
        """
        self.transaction.fix_snapshot()
        self._check_catalog()

    def _check_catalog(self) -> None:
        version = self.transaction.catalog_version
        if version is not None and version != self.base_version:
            raise CatalogMoved(version)

    def read(
        self,
        wants: Sequence[ReadRequest],
        reserves: Sequence[Reserve] = (),
        scan: IncrementalScan | None = None,
        counts: Sequence[Count] = (),
        ahead: Sequence[ReadRequest] = (),
    ) -> list[int]:
        """Read requests into the transaction's cache and read set, without hydrating; return the reserved.

        A walk goes on; it enters the read set when it is finished. So do wants of which not all is
        read: when they are read as a whole. What is read ahead (see Transaction.read) does not.

        Raises:
            WorkingSetFullError: more rows than there is room for.
        """
        if len(wants) == 1 and scan is None and not (reserves or counts or ahead) and self.fetch(wants[0]) is not None:
            return []
        for want in wants:
            if want.table_id >= self.first_new_table:
                wants = [want for want in wants if want.table_id < self.first_new_table]
                break
        if not wants and not reserves and scan is None:
            return []
        try:
            reserved = self.transaction.read(wants, reserves, scan, counts, ahead)
        except OverBudget as error:
            self._check_catalog()
            raise self._too_much(error, wants) from None
        if self.transaction.catalog_version != self.base_version:
            self._check_catalog()
        for want in wants:
            if want.most is None and want.check is not NOTHING:
                self.transaction.check_request(want)
        return reserved

    def fetch(self, want: ReadRequest) -> Sequence[Row] | None:
        """Read one request, as `read` does, and return its rows.

        Returns:
            None if some of it was read before, and not just this: `read` it, if so.

        Raises:
            as `read`.
        """
        if want.table_id >= self.first_new_table:
            return None
        transaction = self.transaction
        try:
            rows = transaction.fetch(want)
        except OverBudget as error:
            self._check_catalog()
            raise self._too_much(error, (want,)) from None
        if rows is not None:
            if transaction.catalog_version != self.base_version:
                self._check_catalog()
            if want.check is not NOTHING:
                transaction.check_request(want)
        return rows

    def read_chunk(self, scan: ChunkedScan, check: Validation) -> Sequence[Row]:
        """Read the next rows of a scan, which are neither kept nor hydrated, and enter its part into the read set."""
        rows = self.transaction.read_chunk(scan)
        self._check_catalog()
        self.transaction.check_chunk(scan, rows, check)
        return rows

    def are_free(
        self, wants: Sequence[ReadRequest], reserves: Sequence[Reserve], others: Sequence[ReadRequest] = ()
    ) -> tuple[bool, list[int]]:
        """Whether the store has no row of these requests, which then enter the read set; and the reserved.

        Nothing is kept for later reads: if there are rows, `read` brings them.

        Args:
            others: these are read as by `read` on the same trip.
        """
        if not (wants or reserves or others):
            return True, []
        try:
            are_free, reserved = self.transaction.are_free(wants, reserves, others)
        except OverBudget as error:
            self._check_catalog()
            raise self._too_much(error, others) from None
        self._check_catalog()
        for want in others:
            self.transaction.check_request(want)
        if are_free:
            for want in wants:
                self.transaction.check_absent(want)
        return are_free, reserved

    def has_read(self, want: ReadRequest) -> bool:
        """Whether everything in the request has been read."""
        return self.transaction.has_read(want)

    def ask(self, requests: Sequence[Count | Scan]) -> list[int | Sequence[Row]]:
        """Count entries, and read the first rows of ranges, which are not hydrated. Nothing enters the read set.

        Raises:
            WorkingSetFullError: a row does not fit in memory.
        """
        try:
            found = self.transaction.ask(requests)
        except OverBudget as error:
            self._check_catalog()
            raise self._too_much(error, ()) from None
        self._check_catalog()
        return found

    def evict(self) -> None:
        """Forget the rows that were only read, here and in the working set, to make room for others.

        Not those of a table with a new index: it has no entries but the ones that COMMIT will make of these rows.
        """
        tables = self.schema.catalog.tables.values()
        self.working_set.evict_clean(table for table in tables if not self._has_new_index(table))
        self.transaction.forget()
        self.forget_decoded()

    def _too_much(self, refused: OverBudget, wants: Iterable[ReadRequest]) -> WorkingSetFullError:
        """Return the error for rows that do not fit in memory."""
        tables = self.schema.definition.tables_by_id
        limit = f"more than max_working_set has room for ({self.transaction.budget.max_bytes:,} bytes)"
        scan, rows = refused.scan, refused.rows
        if scan is None:
            name = ", ".join(sorted({tables[want.table_id].name for want in wants if want.keys}))
            return WorkingSetFullError(
                f"the statement reads too many rows of {name} by their keys, {limit}", table=name
            )
        if rows is None:
            (count,) = self.transaction.ask([Count(scan.table_id, scan.index_id, scan.start, scan.stop)])
            assert isinstance(count, int)
            rows = count
        name = tables[scan.table_id].name if scan.table_id in tables else "sqlite_master"
        return WorkingSetFullError(f"the statement reads {rows:,} rows of table {name}, {limit}", table=name, rows=rows)

    def is_unchanged(self, table: Table) -> bool:
        """Whether the table is as the store has it at the snapshot."""
        contents = self.working_set.contents.tables.get(table.id)
        if contents is not None and (contents.whole or contents.touched):
            return False
        if self.schema is self.base:
            return True
        return table.id < self.first_new_table and not self._has_new_index(table)

    def _has_new_index(self, table: Table) -> bool:
        """Whether this transaction has created an index on a table that the store has."""
        stored = self.base.definition.tables_by_id.get(table.id)
        return stored is not None and bool(table.indexes_beyond(stored))

    def fetch_all(self, wants: Sequence[ReadRequest], ahead: Sequence[ReadRequest] = ()) -> list[Sequence[Row]] | None:
        """Read requests that share no key and no range. See `read`.

        Returns:
            the rows of each; None if the transaction's cache must say them.

        Raises:
            as `read`.
        """
        transaction = self.transaction
        for want in wants:
            if want.table_id >= self.first_new_table:
                self.read(wants)
                return None
        try:
            fetched = None
            if len(wants) == 1 and not ahead:
                rows = transaction.fetch(wants[0])
                fetched = None if rows is None else [rows]
            elif wants:
                fetched = transaction.fetch_all(wants, ahead)
        except OverBudget as error:
            self._check_catalog()
            raise self._too_much(error, wants) from None
        if fetched is None:
            self.read(wants, ahead=ahead)
        else:
            if transaction.catalog_version != self.base_version:
                self._check_catalog()
            for want in wants:
                if want.check is not NOTHING:
                    transaction.check_request(want)
        return fetched

    def admit(self, wave: Iterable[Fetch]) -> list[ReadRequest]:
        """Take as read what was read ahead of just what a wave, or another way of one of its fetches, asks for.

        Returns:
            those of which all was read ahead.

        Raises:
            WorkingSetFullError: that does not fit in memory.
        """
        wants = [to_request(way, NOTHING) for fetch in wave for way in (fetch, *fetch.instead)]
        try:
            return self.transaction.admit(wants)
        except OverBudget as error:
            raise self._too_much(error, wants) from None

    def hydrate(
        self,
        wants: Sequence[ReadRequest],
        deciding: Sequence[Fetch] = (),
        fetched: Sequence[Sequence[Row]] | None = None,
    ) -> int | None:
        """Put the rows of requests that were read into the working set.

        Args:
            fetched: the rows of each request, if they are at hand.
            deciding: the fetches that the first requests were made of. If there is no row of one that decides, nothing
                is put there (see FetchPlan.may_be_empty).

        Returns:
            how many were not there yet; None if one that decides has none.

        Raises:
            ConflictError: at READ COMMITTED, a row added since has a key of one that this transaction has written.
        """
        if not wants:
            return 0
        if self.schema.has_deferred_keys:  # of those SQLite looks at a parent that comes in, too
            self.working_set.enforce_foreign_keys(False)
        try:
            if self.transaction.cache.has_blocks or type(self.passing) is Passing:
                return self._hydrate_with_blocks(wants)
            tables, first_new_table = self.schema.definition.tables_by_id, self.first_new_table
            rows_of = self.transaction.rows
            found = []
            for number, want in enumerate(wants):
                if want.table_id < first_new_table and (table := tables.get(want.table_id)) is not None:
                    rows = rows_of(want) if fetched is None else fetched[number]
                    if rows:
                        found.append((table, self.decode(table, rows)))
                    elif number < len(deciding) and deciding[number].decides and self.is_unchanged(table):
                        return None
            return self.working_set.hydrate_all(found) if found else 0
        except InternalError as error:
            if not self.transaction.renewed:
                raise
            raise ConflictError.of_taken_key() from error

    def _hydrate_with_blocks(self, wants: Sequence[ReadRequest]) -> int:
        """Do as `hydrate` where large ranges may have come, which the compiled part inserts, or SQLite passes over."""
        tables, came = self.schema.definition.tables_by_id, 0
        for want in wants:
            if want.table_id < self.first_new_table and (table := tables.get(want.table_id)) is not None:
                block = self.transaction.block(want) if self.transaction.cache.has_blocks else None
                passing = self.passing
                asks = passing is not None and (block is not None or type(passing) is Passing)
                if asks and self._passes_over(passing, table, want, block):
                    continue
                new = None if block is None else self.working_set.hydrate_block(table, block)
                came += self.working_set.hydrate(table, self.stored(table, want)) if new is None else new
        return came

    def _passes_over(
        self, passing: Passing | Prepared | None, table: Table, want: ReadRequest, block: RowBlock | None
    ) -> bool:
        """Whether a request need not be hydrated, since SQLite is going to pass over its block."""
        if not isinstance(passing, Passing):
            if block is None or passing is None:
                return False
            passing = self.passing = Passing(self.working_set, passing, self.hydrate_block)
        if block is not None and (block is passing.block or passing.take(table, want, block)):
            return True
        if passing.table is table:  # there is more of this table than the block
            passing.give_back()
        return False

    def hydrate_block(self, table: Table, block: RowBlock) -> None:
        """Put the rows of a block into the working set.

        Raises:
            CorruptRecordError: one cannot be decoded.
        """
        working_set = self.working_set
        if working_set.hydrate_block(table, block) is None:
            working_set.hydrate(table, [*stored_rows(table, working_set.statements_of(table), block).values()])

    def brings_new(self, wants: Sequence[ReadRequest]) -> bool:
        """Whether hydrating requests that were read would add a row."""
        for want in wants:
            if want.table_id < self.first_new_table:
                keys = self.working_set.contents.of(want.table_id).keys
                if any(row.key not in keys for row in self.transaction.rows(want)):
                    return True
        return False

    def keeps_decoded(self, table_id: int) -> bool:
        """Whether rows of the table have been decoded, or are kept so from one transaction to the next."""
        return table_id in self._decoded or table_id in self.transaction.references

    def stored(self, table: Table, want: ReadRequest) -> list[Stored]:
        """The stored rows of a request that was read, decoded."""
        return self.decode(table, self.transaction.rows(want))

    def decode(self, table: Table, rows: Sequence[Row]) -> list[Stored]:
        """Rows that were read, decoded."""
        decoded = self._decoded.get(table.id)
        if decoded is None:
            reference = self.transaction.references.get(table.id)
            decoded = self._decoded[table.id] = {} if reference is None else reference.decoded_by(table)
        if len(rows) > _FEW and not decoded and (all_of_them := decode_rows(table, [row.record for row in rows])):
            found = [
                Stored(row.key, row.version, rowid, values)
                for row, (rowid, values) in zip(rows, all_of_them, strict=True)
            ]
            decoded.update(zip(map(_key, rows), found, strict=True))
            return found
        found = []
        for row in rows:
            key = row.key
            stored = decoded.get(key)
            if stored is None:
                rowid, values = decode_row(table, key, row.record)
                stored = decoded[key] = Stored(key, row.version, rowid, values)
            found.append(stored)
        return found


def to_request(fetch: Fetch, check: Validation) -> ReadRequest:
    """Return a request for everything that a fetch reads through its own path."""
    return ReadRequest(fetch.table.id, fetch.path.id, fetch.keys, fetch.ranges, check)
