"""sqlite_sequence: the greatest ids of tables with AUTOINCREMENT, shown and set through the store's sequences.

Rome writes the next id for SQLite into the working set's own table of this name, so that table holds what was written
last. For a statement that names sqlite_sequence, it is filled with what the application should see, and emptied
afterwards.

A transaction that writes a row of sqlite_sequence has that table's ids to itself: the next id follows from the row and
from the greatest id in the table, as in SQLite, and COMMIT validates that no greater id was added. Rows that are only
read keep the values of the transaction's first read, since a sequence has no versions. At SERIALIZABLE, COMMIT
validates their tables in the same way, so that a transaction that writes can rely on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import apsw

from rome.catalog.rows import decode_row
from rome.catalog.schema import Table
from rome.codec.values import SqlValue
from rome.engine.attempt.attempt import Attempt
from rome.engine.reading.queries import read_plan
from rome.engine.result import Result
from rome.engine.statement.prepared import SEQUENCE_TABLE, Prepared
from rome.engine.writing.sequence_marks import DELETED, NULL, UNKNOWN, ZERO, Looked, greatest_new, mark_of
from rome.errors import NotSupportedError
from rome.planner.parse.statement import StatementKind
from rome.store.spi import BEYOND, MAX_NUMBER, ORDER_INDEX, Reserve, Scan
from rome.transaction.read_set import Validation
from rome.workingset.contents import SequenceRow


class SequenceTable:
    """sqlite_sequence, as one transaction sees it.

    Attributes:
        tables: the tables with AUTOINCREMENT, in order of creation. If there are none, sqlite_sequence does not exist.
    """

    def __init__(self, current: Attempt, check: Validation) -> None:
        self._current = current
        self._working_set = current.reader.working_set
        self._check = check
        self.tables = [
            table for _, table in sorted(current.schema.definition.tables_by_id.items()) if table.autoincrement
        ]

    def rows(self) -> dict[str, int | None]:
        """Return the names and `seq` values, in the order in which the tables were created."""
        stored = self._look()
        shown: dict[str, int | None] = {}
        for table in self.tables:
            written = self._working_set.contents.sequences.get(table.id)
            if written is not None:
                if written.present:
                    shown[table.name] = written.seq
                continue
            found = stored.get(table.id, Looked(DELETED, ()))
            seq = found.mark - ZERO
            if found.mark == UNKNOWN and found.last:
                seq = found.last[0][1]
            contents = self._working_set.contents.tables.get(table.id)
            new = None if contents is None else greatest_new(contents)
            if new is not None:
                shown[table.name] = max(0, new, seq)
            elif seq >= 0:
                shown[table.name] = seq
            elif found.mark == NULL:
                shown[table.name] = None
        return shown

    def _look(self) -> dict[int, Looked]:
        """Ask the store, unless this transaction already has; at SERIALIZABLE, have COMMIT validate the answer."""
        reader = self._current.reader
        tables = [table for table in self.tables if table.id < reader.first_new_table]
        known = self._current.execution.ids.looked_at(reader.transaction.snapshot)
        unknown = [table for table in tables if table.id not in known]
        if unknown:
            marks = reader.read([], [Reserve(mark_of(table.id), 0) for table in unknown])
            known = self._current.execution.ids.looked_at(reader.transaction.snapshot)
            for table, next_mark, last in zip(unknown, marks, self._last(unknown), strict=True):
                known[table.id] = Looked(next_mark - 1, last)
        elif not tables:
            reader.refresh()
        if self._check is Validation.ROWS:
            for table in tables:
                self._validate(table, known[table.id])
        return known

    def _last(self, tables: Sequence[Table]) -> Iterator[tuple[tuple[bytes, int], ...]]:
        """Return the last stored rows of tables: one more than this transaction has touched."""
        scans = [
            Scan(table.id, ORDER_INDEX, b"", BEYOND, 1 + len(self._touched(table)), reverse=True) for table in tables
        ]
        for table, rows in zip(tables, self._current.reader.ask(scans), strict=True):
            assert not isinstance(rows, int)
            yield tuple((row.key, decode_row(table, row.key, row.record)[0]) for row in rows)

    def _touched(self, table: Table) -> set[object]:
        contents = self._working_set.contents.tables.get(table.id)
        return set() if contents is None else {*contents.touched, *(contents.hydrated if contents.whole else ())}

    def _validate(self, table: Table, found: Looked) -> None:
        """Have COMMIT validate that no row was added above the greatest one."""
        transaction = self._current.transaction
        assert transaction.snapshot is not None
        start = found.last[0][0] + BEYOND if found.last else b""
        bounds = (start, BEYOND)
        transaction.read_set.add_ranges(table.id, ORDER_INDEX, [bounds], transaction.snapshot.version, rows=False)

    # ------------------------------------------------------------ statements
    @contextmanager
    def filled(self, connection: apsw.Connection) -> Iterator[None]:
        """Fill sqlite_sequence of a database with the rows, for the duration of the block."""
        rows = self.rows()
        last_rowid = connection.last_insert_rowid()
        try:
            connection.execute("DELETE FROM main.sqlite_sequence")
            connection.executemany("INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)", rows.items())
            connection.set_last_insert_rowid(last_rowid)
            yield
        finally:
            last_rowid = connection.last_insert_rowid()
            connection.execute("DELETE FROM main.sqlite_sequence")
            connection.set_last_insert_rowid(last_rowid)

    def run(self, prepared: Prepared, batch: Sequence[Sequence[SqlValue]]) -> Result:
        """Run a statement on the working set.

        Raises:
            NotSupportedError: the statement also writes other tables, or writes something that is not an id of a table
                with AUTOINCREMENT.
        """
        found, working_set = prepared.inspection, self._working_set
        if SEQUENCE_TABLE in found.temporary_read | found.temporary_written:
            raise NotSupportedError("there are two tables sqlite_sequence: write main.sqlite_sequence")
        if found.temporary_written or found.written - {SEQUENCE_TABLE}:
            raise NotSupportedError("one statement cannot read sqlite_sequence and write rows: ask first, then write")
        rows: list[tuple[SqlValue, ...]] = []
        changes, last_rowid = 0, None
        for parameters in batch:
            read_plan(self._current.reader, prepared, parameters, self._check)
            with self.filled(working_set.connection):
                if not prepared.writes:
                    rows += working_set.query(prepared.statement.text, parameters)
                    continue
                run = working_set.run(prepared.statement.text, [parameters], frozenset())
                if run.error is not None:
                    raise run.error
                self._keep(working_set.query("SELECT name, seq FROM main.sqlite_sequence", ()))
            working_set.changes = run.last_changes
            working_set.total_changes += run.all_changes
            rows += run.rows
            changes += run.changes
            if prepared.statement.kind is StatementKind.INSERT:
                last_rowid = run.last_rowid
        if not prepared.writes:
            return Result(found.columns or None, rows)
        return Result(found.columns or None, rows, changes, last_rowid)

    def _keep(self, rows: Sequence[tuple[SqlValue, ...]]) -> None:
        """Record how a statement has changed the rows."""
        tables = {table.name: table for table in self.tables}
        names = [name for name, _ in rows]
        for name, seq in rows:
            if name not in tables:
                raise NotSupportedError(f"sqlite_sequence: {name!r} is not the name of a table with AUTOINCREMENT")
            if names.count(name) > 1:
                raise NotSupportedError(f"sqlite_sequence has a row for {name} already: UPDATE it")
            if not (seq is None or (isinstance(seq, int) and 0 <= seq <= MAX_NUMBER)):
                raise NotSupportedError(f"sqlite_sequence: seq of {name} is {seq!r}; it is an integer from 0, or NULL")
        before, after = self.rows(), {str(name): seq for name, seq in rows}
        stored = self._look()
        for name, table in tables.items():
            if before.get(name, _MISSING) == after.get(name, _MISSING):
                continue
            seq = after.get(name)
            assert seq is None or isinstance(seq, int)
            floor = 0
            if table.id in stored:
                self._validate(table, stored[table.id])
                touched = self._touched(table)
                untouched = next((rowid for _, rowid in stored[table.id].last if rowid not in touched), 0)
                floor = max(untouched, self._working_set.max_rowid(table))
            self._working_set.contents.sequences[table.id] = SequenceRow(name in after, seq, floor)


_MISSING = object()
