"""One connection's SQLite in memory: set-up, hydration, execution, and what a run touched."""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any, cast

import apsw
from msgspec import Struct

from rome.catalog.mirror import Master, temporary_objects
from rome.catalog.reflected_table import quote
from rome.catalog.rows import row_key
from rome.catalog.schema import Index, Table
from rome.codec.keys import encode_key
from rome.codec.values import SqlValue
from rome.errors import ForeignKeyViolation, InternalError
from rome.store.row_block import RowBlock
from rome.store.spi import Row
from rome.workingset.all_or_nothing import AllOrNothing
from rome.workingset.blank import left_blank
from rome.workingset.block_loader import CORRUPT, BlockLoader, function_name, stored_rows
from rome.workingset.buffered import BufferedChange, BufferedTable
from rome.workingset.computed import ComputedKeys
from rome.workingset.contents import LARGE_ROWS, BlockContents, Contents, Identity, Stored, TableContents
from rome.workingset.functions import add_regexp, count_for_application
from rome.workingset.interruption import Interruption
from rome.workingset.lookups import Lookup
from rome.workingset.overflow import SqlRow, walk
from rome.workingset.sqlite_errors import not_unicode, translate
from rome.workingset.tables import TableStatements, statements_of

_values, _pair = attrgetter("values"), attrgetter("rowid", "values")

_HELD = (apsw.SQLITE_DBSTATUS_CACHE_USED, apsw.SQLITE_DBSTATUS_SCHEMA_USED, apsw.SQLITE_DBSTATUS_STMT_USED)
MAX_BLANK_BYTES = 4 << 20
"""What SQLite may hold for a working set that is blank: its pages, its schema, and what it has prepared."""


class Event(Struct, frozen=True, gc=False):
    """One row that a run inserted, updated or deleted, as SQLite's preupdate hook reported it.

    `old` and `new` are None if there is no such row, and for tables with generated columns, whose values the hook
    cannot give (SQLite leaves VIRTUAL columns out of what it reports).
    """

    table: str
    kind: str
    rowid_before: int
    rowid_after: int
    old: SqlRow | None
    new: SqlRow | None


class ChangeCounters(Struct, frozen=True, gc=False):
    """What a connection remembers of its last changes, beyond a transaction."""

    last_rowid: int
    changes: int
    total_changes: int


class StatementRun(Struct, frozen=True):
    """The result of running a statement, once or several times.

    Attributes:
        changes: of all runs; if there are several, including foreign key actions.
        last_changes: of the last run.
        all_changes: including foreign key actions.
    """

    rows: list[SqlRow]
    changes: int
    last_changes: int
    all_changes: int
    last_rowid: int
    events: list[Event]
    error: Exception | None


class CorruptBlock(Exception):
    """Internal: SQLite was to read a block in place of a table, and a record of it cannot be decoded."""


class WorkingSet:
    """An SQLite in memory whose schema `statements` make. Not thread-safe.

    Attributes:
        statements: those.
        contents: which stored rows it holds; those of buffered changes count.
        buffered: by table: the changes that SQLite has not made yet (see BufferedChange).
        temporary_changed: whether the transaction may have changed or created temporary tables.
        changes, total_changes: what the SQL functions of these names return.
        fickle: lower-case names of the application's functions that may return something else when called again. They
            may have replaced SQLite's own functions, or an operator.
        interruption: of the statements that it runs for the application.
        passes: texts that pass over a function, by the statement's own, the function, and the indexes that there are.
        passes_not: texts of statements that cannot.
    """

    def __init__(self, statements: Iterable[str]) -> None:
        self._sqlite = apsw.Connection(":memory:", statementcachesize=300)
        # Of what leaves no rows to fetch, so that it is never in use: making a cursor takes a third of such a call.
        self._rowless = self._sqlite.cursor()
        self._waits = False  # for SQLite to be asked, so that the buffered changes are made
        self.connection.execute("PRAGMA temp_store=MEMORY")
        self.statements = tuple(statements)
        self._opened_as = _image(self.statements)
        self.connection.deserialize("main", self._opened_as)
        self.contents = Contents()
        self.buffered: dict[int, BufferedTable] = {}
        self._last_inserted: int | None = None  # the rowid of the last row that a buffered change inserts
        self._refused: InternalError | None = None
        self.temporary_changed = False
        self.changes = 0
        self.total_changes = 0
        self.fickle: set[str] = set()
        self._statements: dict[int, tuple[Table, TableStatements]] = {}
        self._blocks = BlockLoader(self.connection)
        self._passing: dict[int, int] = {}
        self.passes: dict[tuple[str, str, frozenset[str]], str] = {}
        self.passes_not: set[str] = set()
        self._computed: dict[tuple[int, int], tuple[Table, ComputedKeys]] = {}
        self.begun = self._enforcing = False
        self.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, 0)
        self.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        # apsw's SQLite has STAT4: without this setting it prepares a statement again whenever a value is bound on which
        # its plan could depend. That took 155 of the 170 µs of Nova's largest SELECT, and there are no statistics here.
        self.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        add_regexp(self.connection)
        count_for_application(self.connection, lambda: self.changes, lambda: self.total_changes)
        self.interruption = Interruption()

    @property
    def counters(self) -> ChangeCounters:
        """What last_insert_rowid(), changes() and total_changes() answer; they outlive a transaction."""
        return ChangeCounters(self.connection.last_insert_rowid(), self.changes, self.total_changes)

    @counters.setter
    def counters(self, counters: ChangeCounters) -> None:
        self.connection.set_last_insert_rowid(counters.last_rowid)
        self.changes, self.total_changes = counters.changes, counters.total_changes

    # ------------------------------------------------------------ transactions
    def begin(self) -> None:
        """Begin a transaction in SQLite, unless one has begun: many transactions show rows that never come in here."""
        if not self.begun:
            self._rowless.execute("BEGIN")
            self.begun = True

    def rollback(self) -> None:
        """Empty the working set; temporary tables go back. INSERT OR ROLLBACK may have ended the transaction."""
        sqlite, buffered = self._sqlite, self.buffered
        if sqlite.in_transaction:
            self._rowless.execute("ROLLBACK")
        if buffered:
            if self._last_inserted is not None:
                sqlite.set_last_insert_rowid(self._last_inserted)
            buffered.clear()
            self._waits, self._last_inserted, self._refused = False, None, None
            self.contents = Contents()
        if self.begun:
            self.contents = Contents()
            self.temporary_changed = self.begun = False

    def commit(self, tables: Iterable[Table]) -> None:
        """Delete the rows of `tables`; temporary tables stay as they are now.

        Cost: in proportion to the pages of those rows.
        """
        self.enforce_foreign_keys(False)
        self.drop_lookups()
        for table in tables:
            self._delete_all(table)
        self.connection.execute("COMMIT")
        self.contents = Contents()
        self.temporary_changed = self.begun = False

    def _delete_all(self, table: Table) -> None:
        # Not cached: prepared with the hook off, this DELETE would show the hook nothing when the application runs it.
        self.connection.execute(f"DELETE FROM main.{quote(table.name)}", can_cache=False)

    def _empty(self, table: Table) -> None:
        self._delete_all(table)
        del self.contents.tables[table.id]

    def is_blank(self) -> bool:
        """Whether it is as it was opened, but for what SQLite has prepared, and takes little memory.

        Cost: 50 µs with Nova's schema: its database is compared byte for byte.
        """
        sqlite = self._sqlite
        if self._waits or self.begun or self.temporary_changed or self._passing or sqlite.txn_state("main"):
            return False
        if len(sqlite.execute("PRAGMA database_list").fetchall()) > 1:  # there is a temporary schema
            return False
        held = sum(sqlite.status(kind)[0] for kind in _HELD)
        spilled, _ = sqlite.status(apsw.SQLITE_DBSTATUS_CACHE_SPILL)  # beyond what SQLite counts as held
        return held <= MAX_BLANK_BYTES and not spilled and sqlite.serialize("main") == self._opened_as

    def begin_anew(self) -> None:
        """Forget the connection that has used it, which has defined nothing on it; it `is_blank`."""
        self._sqlite.set_progress_handler(None)
        self.interruption = Interruption()
        self.counters = ChangeCounters(0, 0, 0)
        self.contents = Contents()
        self.fickle = set()
        for _, keys in self._computed.values():
            keys.close()
        self._computed.clear()

    @property
    def was_ended(self) -> bool:
        """Whether SQLite has ended the transaction by itself, as INSERT OR ROLLBACK makes it do."""
        return self.begun and not self._sqlite.in_transaction

    @property
    def enforces_foreign_keys(self) -> bool:
        """Whether SQLite enforces them at present."""
        return self._enforcing

    def enforce_foreign_keys(self, enforced: bool) -> None:
        """Enforce foreign keys from now on, or not. (The PRAGMA has no effect inside a transaction.)

        Cost: after a change SQLite prepares every statement again when it runs next: 20 to 800 µs for each.
        """
        if enforced is not self._enforcing:
            self.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, int(enforced))
            self._enforcing = enforced

    @contextmanager
    def deferred(self, deferred: bool) -> Iterator[None]:
        """Inside the block, foreign keys wait for COMMIT, which a working set never reaches."""
        if not deferred:
            yield
            return
        self.connection.execute("PRAGMA defer_foreign_keys=ON")
        try:
            yield
        finally:
            self.connection.execute("PRAGMA defer_foreign_keys=OFF")

    @contextmanager
    def firing(self) -> Iterator[None]:
        """Inside the block, triggers fire. Outside they do not, since hydration and eviction are not the application's.

        Cost: SQLite prepares every statement again when it runs next, inside the block and after it.
        """
        self.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 1)
        try:
            yield
        finally:
            self.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)

    # ------------------------------------------------------------ buffered changes
    def buffer(self, table: Table, changes: Sequence[BufferedChange]) -> None:
        """Take the changes of one statement as made; whatever has changed the table before is buffered, too."""
        contents = self.contents.tables.get(table.id) or self.contents.of(table.id)
        waiting = self.buffered.get(table.id)
        if waiting is None:
            waiting = self.buffered[table.id] = BufferedTable()
        for change in changes:
            rowid, before = change.rowid, change.before
            if before is None:
                self._last_inserted = rowid
            elif not change.is_here:
                contents.keys.add(before.key)
                contents.hydrated[rowid] = before
            contents.touched[rowid] = (rowid,)
            if rowid > waiting.greatest:
                waiting.greatest = rowid
        waiting.changes += changes
        if len(contents.touched) > LARGE_ROWS:
            self.contents.large = True
        self._waits = True

    @property
    def connection(self) -> apsw.Connection:
        """SQLite's, once the buffered changes are made.

        A property, because a class that has __getattr__ makes every attribute slow, this one or not.
        """
        if self._waits:
            self.make_buffered()
        return self._sqlite

    def make_buffered(self) -> None:
        """Let SQLite make the buffered changes, table by table. If there are none, nothing happens.

        Raises:
            InternalError: it refuses one, or does something else. Nothing but a rollback is possible after that.
        """
        if self._refused is not None:
            raise self._refused
        if not self.buffered:
            return
        sqlite, interruption, waiting = self._sqlite, self.interruption, [*self.buffered.values()]
        enforcing, running, interruption.running = self._enforcing, interruption.running, False
        last_rowid = sqlite.last_insert_rowid() if self._last_inserted is None else self._last_inserted
        self._waits = False
        self.begin()
        self.enforce_foreign_keys(False)
        try:
            for each in waiting:
                self._make(each.changes)
        except apsw.Error as error:
            self._waits = True
            name = each.changes[0].table.name
            self._refused = InternalError(f"a row of table {name} was planned, and refused: {error}")
            sqlite.execute("ROLLBACK")
            raise self._refused from error
        finally:
            sqlite.set_last_insert_rowid(last_rowid)
            interruption.running = running
        self.buffered.clear()
        self._last_inserted = None
        self.enforce_foreign_keys(enforcing)

    def _make(self, changes: Sequence[BufferedChange]) -> None:
        """Make the changes of one table."""
        sqlite, table = self._sqlite, changes[0].table
        missing = [each.before for each in changes if each.before is not None and not each.is_here]
        if missing:
            statements = self.statements_of(table)
            sqlite.executemany(statements.insert, statements.bindings(map(_pair, missing)))
        for number, change in enumerate(changes, 1):
            if change.sql is not None:
                made = 0
                if change.next_rowid is not None:
                    self.set_next_rowid(table, change.next_rowid)
                sqlite.execute(change.sql, change.parameters).fetchall()
            made += 1
            if number < len(changes) and changes[number].sql is None:  # of the same statement
                continue
            if sqlite.changes() != made or (change.before is None and sqlite.last_insert_rowid() != change.rowid):
                raise apsw.InternalError("it became another one")

    # ------------------------------------------------------------ temporary tables
    def temporary(self) -> tuple[Master, ...]:
        """The temporary tables, views and indexes."""
        return temporary_objects(self.connection)

    def adopt_temporary(self, other: WorkingSet) -> None:
        """Take over the temporary objects of another working set, as they are now; this one must have none.

        Cost: 40 µs per MB.
        """
        if not other.temporary():
            return
        image = apsw.Connection(":memory:")
        image.deserialize("main", other.connection.serialize("temp"))
        with self.connection.backup("temp", image, "main") as backup:
            backup.step(-1)
        image.close()

    @property
    def counts_violations(self) -> bool:
        """Whether SQLite counts violated deferred foreign keys, and would refuse to COMMIT. Hydration confuses it."""
        return bool(self.connection.status(apsw.SQLITE_DBSTATUS_DEFERRED_FKS)[0])

    def check_temporary_keys(self) -> None:
        """Check the deferred foreign keys of temporary tables.

        Raises:
            ForeignKeyViolation: as SQLite's COMMIT does.
        """
        if self.temporary_changed and self.counts_violations and self.query("PRAGMA temp.foreign_key_check", ()):
            raise ForeignKeyViolation("FOREIGN KEY constraint failed")

    # ------------------------------------------------------------ rows
    def statements_of(self, table: Table) -> TableStatements:
        """The texts for a table, made when they are first needed."""
        found = self._statements.get(table.id)
        if found is None or found[0] is not table:
            found = self._statements[table.id] = (table, statements_of(table))
        return found[1]

    def computed_keys(self, table: Table, rowid: int, values: Sequence[SqlValue]) -> Iterator[tuple[Index, SqlRow]]:
        """The key of a row in each index whose keys SQLite must compute, if it has an entry for the row."""
        if not table.computed:
            return iter(())
        place = table.id, len(table.computed)  # COMMIT asks of a table with its new indexes, and without them
        found = self._computed.get(place)
        if found is None or found[0] is not table:
            if found is not None:
                found[1].close()
            found = self._computed[place] = (table, ComputedKeys(table))
        return found[1].of_row(rowid, values)

    def entries(
        self, table: Table, rowid: int, values: Sequence[SqlValue], without: Container[int] = ()
    ) -> list[tuple[Index, bytes]]:
        """The keys of a row in all indexes that have entries in the store, except those whose ids are in `without`."""
        row = (*values, rowid)  # which ROWID, -1, finds
        found = []
        for index in table.paths[1:]:
            if index.id not in without:
                found.append((index, encode_key(map(row.__getitem__, index.columns), index.collations)))
        if table.computed:
            for index, key in self.computed_keys(table, rowid, values):
                found.append((index, encode_key(key, index.collations)))
        return found

    def hydrate(self, table: Table, rows: Sequence[Stored]) -> int:
        """Insert stored rows, except those that are already there or were touched; returns how many were inserted.

        Raises:
            InternalError: SQLite refuses one of them; none was inserted.

        Cost: about 10 µs for a row of 50 columns.
        """
        return self.hydrate_all(((table, rows),))

    def hydrate_all(self, found: Iterable[tuple[Table, Sequence[Stored]]]) -> int:
        """Do as `hydrate` for rows of several tables, one after the other."""
        connection, tables = self.connection, self.contents.tables
        came, last_rowid = 0, None
        try:
            for table, rows in found:
                contents = tables.get(table.id)
                if contents is None:
                    contents = tables[table.id] = TableContents()
                keys = contents.keys
                new = [row for row in rows if row.key not in keys] if keys else rows
                if not new:
                    continue
                if last_rowid is None:
                    if not self.begun:
                        self.begin()
                    last_rowid = connection.last_insert_rowid()
                if table.foreign_keys and self._enforcing:  # immediate keys do not care about a parent that comes in
                    self.enforce_foreign_keys(False)
                self._insert(table, new)
                hydrated, without_rowid = contents.hydrated, table.without_rowid
                for row in new:
                    keys.add(row.key)
                    hydrated[row_key(table, 0, row.values) if without_rowid else row.rowid] = row
                came += len(new)
                if len(keys) > LARGE_ROWS:
                    self.contents.large = True
        finally:
            if last_rowid is not None:
                connection.set_last_insert_rowid(last_rowid)
        return came

    def _insert(self, table: Table, rows: Sequence[Stored]) -> None:
        """Insert rows that are not there.

        Raises:
            InternalError: see `hydrate`.
        """
        connection = self._sqlite  # `hydrate_all` has had the buffered changes made
        statements, before = self.statements_of(table), connection.total_changes()
        bindings = [*map(_values, rows)] if statements.binds_values else statements.bindings(map(_pair, rows))
        try:
            if statements.idle_columns:
                self._insert_computing(table, statements, bindings)
            else:
                self._rowless.executemany(statements.insert, bindings)
        except apsw.Error as error:
            if not statements.idle_columns:  # a block for each hydration would cost as much as a row
                self.enforce_foreign_keys(False)
                for row in rows[: connection.total_changes() - before]:
                    connection.execute(statements.delete_one, statements.where(row.rowid, row.values))
            raise InternalError(f"a stored row of table {table.name} does not fit its own schema: {error}") from error

    def hydrate_block(self, table: Table, block: RowBlock) -> int | None:
        """Do as `hydrate` for a block of rows, by the compiled part.

        Returns:
            None if they have to be hydrated one by one: there is no compiled part, there are rows of the table already,
            SQLite computes columns, or refuses a row. Nothing was inserted then.

        Cost: 0.25 µs for a row of 4 columns, and 0.06 µs for each further one.
        """
        contents = self.contents.tables.get(table.id)
        if contents is not None:
            if isinstance(contents, BlockContents) and contents.block is block:
                return 0
            if contents.whole or contents.touched or contents.keys:
                return None
        statements = self.statements_of(table)
        if statements.idle_columns or not self._blocks.is_available:
            return None
        if not self.begun:
            self.begin()
        if table.foreign_keys:
            self.enforce_foreign_keys(False)
        last_rowid = self.connection.last_insert_rowid()
        try:
            self._blocks.insert(table, statements, block)
        except apsw.Error:  # `hydrate` will say what is wrong
            self.enforce_foreign_keys(False)
            self._delete_all(table)
            return None
        finally:
            self.connection.set_last_insert_rowid(last_rowid)
        self.contents.tables[table.id] = BlockContents(block, partial(stored_rows, table, statements, block))
        self.contents.large = self.contents.large or len(block) > LARGE_ROWS
        return len(block)

    def _insert_computing(
        self, table: Table, statements: TableStatements, bindings: Sequence[Sequence[SqlValue]]
    ) -> None:
        """Insert rows whose VIRTUAL columns SQLite computes although nobody needs them; some may fail."""
        connection = self.connection
        with AllOrNothing(self) as block:
            try:
                connection.executemany(statements.insert, bindings)
            except apsw.ConstraintError:
                raise
            except apsw.SQLError:
                block.back()
                self.enforce_foreign_keys(False)
                with left_blank(connection, table, statements.idle_columns):
                    connection.executemany(statements.insert, bindings)

    def empty(self, table: Table) -> None:
        """Remove all rows of a table, as if they had never been here."""
        self.connection.execute(f"DELETE FROM main.{quote(table.name)}")
        self.contents.tables.pop(table.id, None)

    def evict_clean(self, tables: Iterable[Table]) -> list[tuple[Table, Stored]]:
        """Remove the rows that were only read, for a statement with a snapshot of its own; returns those that stay."""
        self.enforce_foreign_keys(False)
        dirty: list[tuple[Table, Stored]] = []
        for table in tables:
            contents = self.contents.tables.get(table.id)
            if contents is None or contents.whole:
                continue
            statements = self.statements_of(table)
            if isinstance(contents, BlockContents):
                if not contents.touched:
                    self._empty(table)
                    continue
                contents = self.contents.tables[table.id] = contents.plain()
            for identity, row in list(contents.hydrated.items()):
                if identity in contents.touched:
                    dirty.append((table, row))
                else:
                    self.connection.execute(statements.delete_one, statements.where(row.rowid, row.values))
                    del contents.hydrated[identity]
                    contents.keys.discard(row.key)
        return dirty

    def final_row(self, table: Table, where: tuple[SqlValue, ...]) -> tuple[int, SqlRow] | None:
        """Rowid and values of a row as it is now; None if it was deleted."""
        found = self.query(self.statements_of(table).select_one, where)
        return (0 if table.without_rowid else cast(int, where[0]), found[0]) if found else None

    def final_rows(self, table: Table, wheres: Sequence[tuple[SqlValue, ...]]) -> list[tuple[int, SqlRow] | None]:
        """Rowid and values of many rows as they are now; None for one that was deleted.

        Cost: if all of them exist, or none, half of what final_row() takes for each.
        """
        statement = self.statements_of(table).select_one
        needed = self._refused is not None or table.id in self.buffered
        connection = self.connection if needed else self._sqlite  # COMMIT asks for other tables' rows
        try:
            found = cast("list[SqlRow]", connection.executemany(statement, wheres).fetchall())
        except UnicodeDecodeError as error:
            raise not_unicode(error) from error
        if not found:
            return [None] * len(wheres)
        if len(found) < len(wheres):
            return [self.final_row(table, where) for where in wheres]
        if table.without_rowid:
            return [(0, row) for row in found]
        return [(cast(int, where[0]), row) for where, row in zip(wheres, found, strict=True)]

    def has_row(self, table: Table, positions: Sequence[int], values: Sequence[SqlValue]) -> bool:
        """Whether there is a row with these values, as the columns compare them."""
        return bool(self.query(self.statements_of(table).exists(tuple(positions)), values))

    def all_rows(self, table: Table) -> list[tuple[int, SqlRow]]:
        """Rowid and values of every row as it is now, in rowid order."""
        statements = self.statements_of(table)
        rowids = [cast(int, rowid) for (rowid,) in self.query(statements.select_rowids, ())]
        return list(zip(rowids, self.query(statements.select_all, ()), strict=True))

    def max_rowid(self, table: Table) -> int:
        """The greatest rowid in the table; 0 if it is empty or all are below 0."""
        waiting = self.buffered.get(table.id)
        if waiting is None and table.id not in self.contents.tables:
            return 0
        least = 0 if waiting is None else waiting.greatest
        # A row that is only hydrated has been given its id by the store, which gives greater ones from then on.
        found = self._sqlite.execute(self.statements_of(table).max_rowid).fetchone()
        return max(least, found[0] or 0) if found is not None else least

    def set_next_rowid(self, table: Table, rowid: int) -> None:
        """Make SQLite use this as the next id of a table with an INTEGER PRIMARY KEY."""
        parameters = (rowid - 1, table.name)
        self.connection.execute("UPDATE main.sqlite_sequence SET seq = ? WHERE name = ?", parameters)
        if not self.connection.changes():
            last_rowid = self.connection.last_insert_rowid()
            self.connection.execute("INSERT INTO main.sqlite_sequence (seq, name) VALUES (?, ?)", parameters)
            self.connection.set_last_insert_rowid(last_rowid)

    def move_rowids(self, table: Table, moves: Sequence[tuple[int, int]]) -> None:
        """Give rows other rowids, in a table without INTEGER PRIMARY KEY.

        Args:
            moves: (from, to) with to >= from, ascending.
        """
        statements = self.statements_of(table)
        last_rowid = self.connection.last_insert_rowid()
        for before, after in reversed(moves):
            if before != after:
                self.connection.execute(statements.move, (after, before))
        self.connection.set_last_insert_rowid(dict(moves).get(last_rowid, last_rowid))

    def replace_table(self, old: Table, new: Table, statements: Iterable[str]) -> None:
        """Make a table again, with CREATE statements and the rows that are in it; `contents` stays.

        Raises:
            rome.errors.Error: SQLite refuses the statements, or a row under its new constraints.
        """
        self.enforce_foreign_keys(False)
        rows = self.all_rows(old)
        last_rowid = self.connection.last_insert_rowid()
        insert = statements_of(new)
        try:
            self.connection.execute(f"DROP TABLE main.{quote(old.name)}")
            for statement in statements:
                self.connection.execute(statement)
            self.connection.executemany(insert.insert, insert.bindings(rows))
        except apsw.Error as error:
            raise translate(error) from error
        self.connection.set_last_insert_rowid(last_rowid)

    # ------------------------------------------------------------ execution
    def query(self, sql: str, parameters: Sequence[SqlValue]) -> list[SqlRow]:
        """Run a statement that changes nothing.

        Raises:
            rome.errors.Error: SQLite's error, as the class that sqlite3 would raise.
        """
        try:
            return cast("list[SqlRow]", self.connection.execute(sql, parameters).fetchall())
        except apsw.Error as error:
            raise translate(error) from error
        except UnicodeDecodeError as error:
            raise not_unicode(error) from error

    @contextmanager
    def counting(self, table: Table, rows: int) -> Iterator[None]:
        """Inside the block, `count_rows` counts these rows of a table, which are not hydrated."""
        self._passing[table.id] = rows
        try:
            yield
        finally:
            del self._passing[table.id]

    def streamed(self, table: Table, chunks: Callable[[], Iterator[Sequence[Row]]]) -> AbstractContextManager[None]:
        """Inside the block, the table's name means these rows, which are decoded by the compiled part (`can_pass`)."""
        return self._blocks.streamed(table, chunks)

    @property
    def can_pass(self) -> bool:
        """Whether SQLite can read blocks in place of tables."""
        return self._blocks.is_available

    def function_of(self, table: Table, block: RowBlock) -> str:
        """The name of the function that a text has in place of the table, if SQLite is to read such a block."""
        return function_name(self._blocks.function_of(table, block.before))

    def query_passing(self, sql: str, parameters: Sequence[SqlValue], table: Table, block: RowBlock) -> list[SqlRow]:
        """Do as `query` for a text that has `function_of` in place of a table.

        Raises:
            CorruptBlock: a record of the block cannot be decoded.
        """
        source, passed = self._blocks.function_of(table, block.before), self._blocks.passed
        passed[source] = block
        try:
            return cast("list[SqlRow]", self.connection.execute(sql, parameters).fetchall())
        except apsw.Error as error:
            if str(error).startswith(CORRUPT):
                raise CorruptBlock from error
            raise translate(error) from error
        except UnicodeDecodeError as error:
            raise not_unicode(error) from error
        finally:
            del passed[source]

    def walk(self, sql: str, parameters: Sequence[SqlValue]) -> Generator[SqlRow, None, None]:
        """The rows of `query`, one by one. The statement ends when the iterator does, or is closed."""
        return walk(self.connection, self.interruption, sql, parameters)

    def run(self, sql: str, batch: Sequence[Sequence[SqlValue]], generated: frozenset[str]) -> StatementRun:
        """Run a statement that may change rows. Its error is returned, with what it did before.

        Args:
            batch: sets of parameters; the statement runs once with each.
            generated: lower-case names of the tables with generated columns.

        Raises:
            DataError: a row that it wrote or returned holds a text that is not UTF-8. What it did is still there.
            OperationalError: it was interrupted, and SQLite may have ended the transaction.
        """
        events: list[Event] = []

        def see(update: Any) -> None:
            name = update.table_name.lower()
            if name.startswith("sqlite_") or update.database_name != "main":
                return
            old, new = (None, None) if name in generated else (update.old, update.new)
            events.append(Event(name, update.op, update.rowid, update.rowid_new, old, new))

        connection = self.connection
        connection.preupdate_hook(see)
        rows: list[SqlRow] = []
        failed: Exception | None = None
        before = connection.total_changes()
        self.interruption.running = True
        try:
            if len(batch) == 1:
                rows = cast("list[SqlRow]", connection.execute(sql, batch[0]).fetchall())
            else:
                rows = cast("list[SqlRow]", connection.executemany(sql, batch).fetchall())
        except apsw.Error as error:
            if isinstance(error, apsw.InterruptError):
                raise translate(error) from error
            failed = translate(error)
            failed.__cause__ = error
        except UnicodeDecodeError as error:
            raise not_unicode(error) from error
        finally:
            self.interruption.running = False
            connection.preupdate_hook(None)
        last, total = connection.changes(), connection.total_changes() - before
        changes = last if len(batch) == 1 else total
        return StatementRun(rows, changes, last, total, connection.last_insert_rowid(), events, failed)

    def add(self, sql: str, parameters: Sequence[SqlValue]) -> int | None:
        """Run an INSERT of one row that fires no trigger and replaces none, without looking what it does.

        Returns:
            its rowid; None: SQLite has refused it, and nothing of it is left.

        Raises:
            OperationalError: SQLite has ended the transaction.
        """
        connection = self.connection
        self.interruption.running = True
        try:
            connection.execute(sql, parameters)
        except apsw.Error as error:
            if not connection.in_transaction:
                raise translate(error) from error
            return None
        finally:
            self.interruption.running = False
        return connection.last_insert_rowid()

    def add_all(self, sql: str, batch: Sequence[Sequence[SqlValue]], rows: int) -> int | None:
        """Do as `add` with each set of parameters, for so many rows in all.

        Returns:
            the last rowid; None: SQLite has refused a row. Those before it are there, for the caller to undo.

        Raises:
            OperationalError: SQLite has ended the transaction, or it was interrupted.
        """
        before = self.connection.total_changes()
        self.interruption.running = True
        try:
            self.connection.executemany(sql, batch)
        except apsw.Error as error:
            if isinstance(error, apsw.InterruptError) or not self.connection.in_transaction:
                raise translate(error) from error
            return None
        finally:
            self.interruption.running = False
        added = self.connection.total_changes() - before
        return self.connection.last_insert_rowid() if added == rows else None

    def touch(self, tables: Mapping[str, Table], events: Iterable[Event]) -> None:
        """Note the rows that a run which stands has touched."""
        for event in events:
            table = tables[event.table]
            contents = self.contents.of(table.id)
            if not table.without_rowid:
                contents.touched[event.rowid_before] = (event.rowid_before,)
                if event.rowid_after != event.rowid_before:
                    contents.touched[event.rowid_after] = (event.rowid_after,)
            elif event.old is None and event.new is None:
                contents.whole = True
            else:
                statements = self.statements_of(table)
                for values in (event.old, event.new):
                    if values is not None:
                        contents.touched[statements.identity(0, values)] = statements.where(0, values)
            if len(contents.touched) > LARGE_ROWS or contents.whole:
                self.contents.large = True

    # ------------------------------------------------------------ indexes for a while
    def count_rows(self, table: Table) -> int:
        """How many rows of the table there are, up to a factor of two."""
        contents = self.contents.tables.get(table.id)
        if contents is None:
            return self._passing.get(table.id, 0)
        if contents.whole:
            return cast(int, self.query(f"SELECT count(*) FROM main.{quote(table.name)}", ())[0][0])
        return max(contents.count, len(contents.touched))

    def has_lookup(self, lookup: Lookup) -> bool:
        """Whether the index was made."""
        return lookup.name in self.contents.lookups

    def add_lookup(self, lookup: Lookup) -> None:
        """Make an index, which lasts until the transaction ends, or goes back to a savepoint before it.

        Cost: 1 µs for each row of the table; SQLite prepares every statement again when it runs next.
        """
        self.begin()
        self.contents.lookups.add(lookup.name)
        name = _lookup_name(lookup.name)
        # Without an index whose keys cannot be computed of every row, the statement is only slower.
        with suppress(apsw.SQLError):
            self.connection.execute(f"CREATE INDEX IF NOT EXISTS main.{name} {lookup.definition}", can_cache=False)

    def drop_lookups(self) -> None:
        """Drop the indexes that were made for a while, before the schema changes."""
        for name in self.contents.lookups:
            self.connection.execute(f"DROP INDEX IF EXISTS main.{_lookup_name(name)}", can_cache=False)
        self.contents.lookups.clear()

    def close(self) -> None:
        """Close SQLite."""
        self._sqlite.close()
        for _, keys in self._computed.values():
            keys.close()


def _lookup_name(index: str) -> str:
    """The name under which an index is made for a while: one that no application gives."""
    return quote(f"rome lookup {index}")


@lru_cache(maxsize=32)
def _image(statements: tuple[str, ...]) -> bytes:
    """An empty database with this schema. Opening it takes a tenth of the time that running the statements does."""
    connection = apsw.Connection(":memory:")
    add_regexp(connection)
    connection.execute("PRAGMA page_size=1024")
    connection.execute("BEGIN")
    connection.execute("CREATE TABLE rome_page (a)")  # an image needs a page, even without tables
    connection.execute("DROP TABLE rome_page")
    for statement in statements:
        connection.execute(statement)
    connection.execute("COMMIT")
    return connection.serialize("main")


__all__ = ["Contents", "Event", "Identity", "SqlRow", "StatementRun", "Stored", "WorkingSet"]
