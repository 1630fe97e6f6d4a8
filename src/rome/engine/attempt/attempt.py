"""One run of a transaction on one snapshot: its state, and how it ends.

Invariant: if an exception is raised, even from outside at any point, the attempt's log and phase and its transaction's
`sent` show what became of the attempt (see rome.engine.session.interrupted).
"""

from __future__ import annotations

import time
from bisect import bisect_left
from enum import Enum
from typing import NamedTuple

from msgspec import Struct, field

from rome.catalog.reflected_table import quote
from rome.engine.attempt.context import ConnectionContext
from rome.engine.attempt.deferred_keys import check_deferred
from rome.engine.attempt.replay_log import Log
from rome.engine.reading.reader import CatalogMoved, Reader
from rome.engine.statement import schema as schemas
from rome.engine.statement.schema import SchemaVersion
from rome.engine.writing.execution import Execution
from rome.engine.writing.harvest import harvest
from rome.errors import CatalogChangedError, ConflictError, SnapshotLostError, TurnTakenError
from rome.store.spi import BEYOND, CATALOG_TABLE, ORDER_INDEX
from rome.transaction.memory_budget import MemoryBudget
from rome.transaction.read_set import Validation
from rome.transaction.snapshot_cache import SnapshotCache
from rome.transaction.totals import COMMIT_BOUNDS_S
from rome.transaction.transaction import ReadRequest, Transaction
from rome.transaction.write_set import WriteSet
from rome.workingset.contents import Contents
from rome.workingset.workingset import ChangeCounters

_CATALOG = ReadRequest(CATALOG_TABLE, ORDER_INDEX, (), ((b"", BEYOND),), Validation.NOTHING)


class Savepoint(NamedTuple):
    """The state that ROLLBACK TO restores. `ids_taken`: how many times ids had been taken."""

    name: str
    contents: Contents
    schema: SchemaVersion
    ids_taken: int


class Beginning(Enum):
    """What began a transaction, which decides what ends it."""

    STATEMENT = "a statement"
    """Ended by COMMIT or ROLLBACK, at AUTOCOMMIT by the end of the statement; gives way to what must run outside."""
    BEGIN = "BEGIN"
    """Ended by COMMIT or ROLLBACK."""
    SAVEPOINT = "SAVEPOINT"
    """Ended by COMMIT or ROLLBACK, and at AUTOCOMMIT also by the release of the outermost savepoint."""


class Duty(Enum):
    """What COMMIT must do even if no written row requires it any more."""

    VALIDATE = "validate what was read: FOR UPDATE was used, or READ COMMITTED showed changes beside newer rows"
    CHECK_KEYS = "check deferred foreign keys that are enforced no longer: rows were changed while they were"


class Phase(Enum):
    """How far an attempt has come."""

    REPLAYING = "a replay that has not yet done all that its log tells"
    OPEN = "it holds all that its log tells"
    COMMITTED = "its COMMIT has succeeded"
    ABANDONED = "it has ended without"


_COMMITTED, _ABANDONED = Phase.COMMITTED, Phase.ABANDONED
"""For code that every transaction runs; see rome.transaction.read_set.ROWS."""


class Attempt(Struct):
    """A transaction between its first statement and its end. A replay is another attempt.

    A Struct, because creating one makes no Python call; parts that a query does not need are created on first use.

    Attributes:
        base: the schema that the store has.
        counters: the working set's counters when the transaction began; a replay starts from them.
        log: the operations that were run; the next attempt takes it over.
        incarnation: of the database, as far as known when the attempt began.
        number: 1 is the first run.
        beginning: what began the transaction; the next attempt takes it over.
        phase: how far the attempt has come (see Phase).
        started: when, by time.monotonic().
        duties: what COMMIT must do beyond sending what was written.
    """

    context: ConnectionContext
    transaction: Transaction
    reader: Reader
    base: SchemaVersion
    counters: ChangeCounters
    incarnation: bytes
    log: Log = field(default_factory=Log)
    number: int = 1
    beginning: Beginning = Beginning.STATEMENT
    started: float = field(default_factory=time.monotonic)
    duties: frozenset[Duty] = frozenset()
    phase: Phase = Phase.OPEN
    savepoints: list[Savepoint] = field(default_factory=list)
    made_execution: Execution | None = None

    @classmethod
    def begin(cls, context: ConnectionContext, incarnation: bytes) -> Attempt:
        """Begin on the newest schema that the process knows, without a round trip: the first read fixes the snapshot.

        The schema matters to a transaction that begins with an INSERT, which may read nothing: COMMIT would find that
        the schema was old, but the application would not have seen the errors that the new one raises at the statement.
        """
        store, workspace = context.store, context.workspace
        schema, newest = workspace.schema, schemas.newest(incarnation)
        if newest is not schema and newest is not None and newest.catalog.version > schema.catalog.version:
            workspace.take(newest)
            schema = newest
        working_set = workspace.working_set
        transaction = Transaction(store, MemoryBudget(context.options.max_working_set))
        counters = ChangeCounters(
            working_set.connection.last_insert_rowid(), working_set.changes, working_set.total_changes
        )
        attempt = cls(context, transaction, Reader(transaction, workspace, schema), schema, counters, incarnation)
        if context.defer_foreign_keys:
            attempt.execution.defer_foreign_keys = True
        return attempt

    @property
    def schema(self) -> SchemaVersion:
        """The schema as this transaction sees it, including its own DDL."""
        return self.reader.schema

    @property
    def execution(self) -> Execution:
        """The Execution that runs statements which change rows; created for the first of them."""
        made = self.made_execution
        if made is None:
            made = self.made_execution = Execution(self.reader, self.context.store, self.context.ids)
        return made

    @property
    def defers_foreign_keys(self) -> bool:
        """Whether all foreign keys wait for COMMIT."""
        return self.made_execution is not None and self.made_execution.defer_foreign_keys

    def next(self) -> Attempt:
        """Return the attempt that follows this ended one: it has this one's log, which it must run, and its ids."""
        self.context.workspace.working_set.counters = self.counters
        after = Attempt.begin(self.context, self.context.store.last_snapshot().incarnation)
        after.log, after.number, after.beginning = self.log, self.number + 1, self.beginning
        before = self.made_execution
        if before is not None:
            after.execution.defer_foreign_keys = before.defer_foreign_keys
            after.execution.ids.given.extend([*before.ids.taken, *before.ids.given])
        after.phase = Phase.REPLAYING
        return after

    # ------------------------------------------------------------ what it holds
    def may_be_replayed(self) -> bool:
        """Whether the transaction may run again after a conflict."""
        return (
            self.log.replayable
            and self.number <= self.context.options.max_replays
            and not self.context.workspace.definitions
        )

    def has_ids(self) -> bool:
        """Whether the transaction has taken ids from the store, which a replay would use again."""
        made = self.made_execution
        return made is not None and bool(made.ids.taken or made.ids.given)

    def check_ids(self, before: Attempt) -> None:
        """Whether the ids of the attempt before this one are of this one's history.

        Raises:
            SnapshotLostError: the store has restarted or failed over since, and may have given them to others.
        """
        seen, now = before.transaction.snapshot, self.transaction.snapshot
        known = before.incarnation if seen is None else seen.incarnation
        if now is not None and now.incarnation != known and self.has_ids():
            raise SnapshotLostError.of_numbers()

    def holds_nothing(self) -> bool:
        """Whether the transaction was begun implicitly and has changed and locked nothing, so that nobody needs it.

        sqlite3 would not have begun one, so this transaction ends by itself before anything that must run outside of
        one.
        """
        return not (
            self.beginning is not Beginning.STATEMENT
            or self.savepoints
            or Duty.VALIDATE in self.duties
            or self.schema is not self.base
            or self.reader.working_set.contents.is_dirty()
            or self.reader.working_set.temporary_changed
        )

    def holds_schema_alone(self) -> bool:
        """Whether the transaction is implicit and holds only DDL, which sqlite3 would have committed by now."""
        return not (
            self.beginning is not Beginning.STATEMENT
            or self.savepoints
            or Duty.VALIDATE in self.duties
            or self.log.changes_rows
        )

    def is_pristine(self) -> bool:
        """Whether nothing depends on the schema yet, so that a newer one may still replace it."""
        return (
            self.schema is self.base
            and not self.reader.working_set.contents.is_dirty()
            and not self.reader.working_set.temporary_changed
            and len(self.transaction.read_set) == 0
        )

    def was_shown(self) -> bool:
        """Whether the application knows of the transaction."""
        return self.log.noted is not None or self.beginning is not Beginning.STATEMENT or self.defers_foreign_keys

    # ------------------------------------------------------------ its snapshot and schema
    def refresh(self) -> None:
        """Fix the snapshot, and adopt its schema."""
        try:
            self.reader.refresh()
        except CatalogMoved as moved:
            self.take_newer(moved)

    def take_newer(self, moved: CatalogMoved) -> None:
        """Go on with the schema of the snapshot, if nothing depends on the current one yet.

        Raises:
            CatalogChangedError: something depends on the current schema.
        """
        if not self.is_pristine():
            raise CatalogChangedError.since(self.base.catalog.version, moved.version) from None
        self._take(self._schema_at(moved.version))

    def schema_is_stale(self) -> bool:
        """After an error on a schema that was not validated, return whether a newer one exists that may avoid it.

        Raises:
            CatalogChangedError: a newer schema exists, and temporary tables were changed under the old one.
        """
        try:
            self.reader.refresh()
        except CatalogMoved as moved:
            if self.reader.working_set.contents.is_dirty():
                return False
            self.take_newer(moved)
            return True
        return False

    def _schema_at(self, version: int) -> SchemaVersion:
        snapshot = self.transaction.snapshot
        assert snapshot is not None
        found = schemas.known(snapshot.incarnation, version)
        if found is None:
            self.transaction.read([_CATALOG])
            found = schemas.load(snapshot.incarnation, version, self.transaction.rows(_CATALOG))
        return found

    def _take(self, schema: SchemaVersion) -> None:
        """Go on with another schema. Nothing depends on the old one, but savepoints may be open."""
        workspace, before = self.context.workspace, self.made_execution
        workspace.working_set.rollback()
        workspace.take(schema)
        self.base = schema
        self.reader = Reader(self.transaction, workspace, schema)
        self.made_execution = None
        if before is not None:
            self.execution.defer_foreign_keys = before.defer_foreign_keys
            self.execution.ids.given = before.ids.given
        workspace.working_set.begin()
        for savepoint in self.savepoints:
            workspace.working_set.query(f"SAVEPOINT {quote(savepoint.name)}", ())
        self.savepoints = [Savepoint(savepoint.name, Contents(), schema, 0) for savepoint in self.savepoints]

    def new_snapshot(self) -> None:
        """Let the next statement of READ COMMITTED see what is committed by then; drop rows that were only read.

        The statement sees them beside rows that this transaction has changed on an older snapshot. COMMIT therefore
        validates those rows even if they were changed back, or rolled back to a savepoint: the application may have
        seen them.
        """
        if self.schema is not self.base or self.transaction.snapshot is None:
            return
        working_set, transaction = self.reader.working_set, self.transaction
        dirty = working_set.contents.is_dirty()
        if dirty:
            self.duties |= {Duty.VALIDATE}
        if not (dirty or self.savepoints or working_set.temporary_changed):
            working_set.rollback()  # all at once
        else:
            for table, row in working_set.evict_clean(self.schema.catalog.tables.values()):
                transaction.read_set.add_point(table.id, row.key, row.version)
        transaction.new_snapshot()
        self.reader.forget_decoded()

    # ------------------------------------------------------------ its end
    def harvest(self) -> WriteSet | None:
        """Return what COMMIT must send, or None if there is nothing to send and nothing to validate.

        Raises:
            ForeignKeyViolation: a deferred key is violated; the transaction stays open.
            ConflictError: see Transaction.read.
        """
        context, working_set = self.context, self.reader.working_set
        if working_set.temporary_changed and context.foreign_keys:
            working_set.check_temporary_keys()
        schema = self.reader.schema
        validates = Duty.VALIDATE in self.duties
        if not (
            working_set.buffered
            or validates
            or schema is not self.base
            or (working_set.begun and working_set.contents.is_dirty())
        ):
            return None
        if schema.has_deferred_keys or self.defers_foreign_keys:
            self.check_deferred_keys()
        if self.transaction.snapshot is None and not (
            self.may_be_replayed() and context.store.last_snapshot().version >= self.base.catalog.version
        ):
            self.refresh()  # what this connection last heard may be too old, or is
        writes = harvest(working_set, self.reader.schema, self.base, self.transaction.read_set)
        return writes if writes or validates else None

    def check_deferred_keys(self) -> None:
        """Check the foreign keys of stored tables that wait for COMMIT.

        Raises:
            ForeignKeyViolation: the transaction stays open.
        """
        if self.context.foreign_keys or Duty.CHECK_KEYS in self.duties:
            check_deferred(self.reader, self.base, everything=self.defers_foreign_keys)

    def send(self, writes: WriteSet, ticket: bytes) -> bool:
        """Commit, and return whether anything was written; afterwards only `end` is left to do.

        Raises:
            ConflictError: nothing was written; after a TurnTakenError it may be tried again.
            rome.errors.Error: see Transaction.commit.
        """
        context = self.context
        try:
            version = self.transaction.commit(writes, ticket, context.commit_limits)
        except TurnTakenError:  # everything is as it was
            raise
        except ConflictError as conflict:
            if conflict.table is not None:
                context.ids.discard(context.store.last_snapshot().incarnation, conflict.table)
            raise
        self.phase = Phase.COMMITTED
        took_s, durations = self.transaction.commit_s, context.durations
        durations.within[bisect_left(COMMIT_BOUNDS_S, took_s)] += 1  # no call of Python's, as everywhere on the way
        durations.seconds += took_s
        context.stats.commits += 1
        wrote = bool(writes)
        context.own_commits += wrote
        context.stats.rows_written += writes.row_count
        incarnation = context.store.last_snapshot().incarnation
        for table_id, rowid in writes.sequences.items():
            context.ids.discard(incarnation, table_id, rowid)
        for table_id in writes.settings:
            context.ids.discard(incarnation, table_id)
        if self.reader.schema is not self.base:
            self._publish(incarnation, version)
        return wrote

    def _publish(self, incarnation: bytes, version: int) -> None:
        """Publish the schema that this commit made, and go on with it."""
        workspace, working_set = self.context.workspace, self.reader.working_set
        workspace.schema = schemas.remember(incarnation, self.schema.definition.at_version(version))
        if working_set.temporary_changed:
            return  # the end of the transaction commits the working set
        if any(c.hydrated or c.touched or c.whole for c in working_set.contents.tables.values()):
            working_set.rollback()
            workspace.open_working_set(workspace.schema)
        else:
            working_set.connection.execute("COMMIT")

    def end(self, *, committed: bool) -> None:
        """Empty the working set, except for temporary tables, and release the snapshot."""
        self.phase = _COMMITTED if committed else _ABANDONED
        context, transaction = self.context, self.transaction
        workspace, stats = context.workspace, context.stats
        stats.rows += transaction.rows_read
        stats.bytes += transaction.bytes_read
        stats.waves += transaction.waves
        working_set = workspace.working_set
        if working_set.begun or working_set.buffered or working_set.connection.in_transaction:
            workspace.end(keep_temporary=committed)
        if transaction.cache.has_blocks:  # a store may read what is left of them when its snapshot ends
            transaction.cache = SnapshotCache()
        context.store.release()
        if self.reader.schema is not self.base and workspace.schema is self.base:
            workspace.open_mirror(workspace.schema)

    def keep_ids_taken(self) -> None:
        """Keep the attempt's ids from being handed out again: rows with them may have been stored."""
        if self.made_execution is not None:
            self.made_execution.ids.taken.clear()
