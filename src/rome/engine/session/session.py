"""One connection's engine: runs statements, keeps the transaction, commits, replays on conflict.

Transactions begin with the first statement. A read-only COMMIT, a ROLLBACK and BEGIN cost no round trip.

Checked replay: when the store reports a conflict, the transaction runs again on a new snapshot, statement by
statement; only if each gives the application exactly what it already saw is it committed, otherwise the conflict is
raised. A blind retry would lose updates.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import apsw

from rome.catalog.reflected_table import quote
from rome.engine.attempt import sqlite_file
from rome.engine.attempt.commit_turn import CommitTurn
from rome.engine.attempt.deferred_keys import check_deferred
from rome.engine.attempt.dump import dump
from rome.engine.attempt.open_transaction import OpenTransaction, Savepoint
from rome.engine.attempt.replay_log import LoggedOperation
from rome.engine.observing.observer import Observer, Tracer
from rome.engine.options import Isolation, Options
from rome.engine.reading.reader import CatalogMoved
from rome.engine.result import Result, Stats
from rome.engine.session.conflict_words import tell
from rome.engine.session.connection_pragmas import ConnectionPragmas
from rome.engine.session.dispatch import Statements
from rome.engine.session.replay import ReplayVerdict, run_again
from rome.engine.statement import schema as schemas
from rome.engine.statement.definitions import Definitions, Install
from rome.engine.statement.parameters import Parameters, all_entered, check_count, entered
from rome.engine.statement.schema import SchemaVersion
from rome.engine.statement.syntax import check_syntax, check_text, statement_of
from rome.engine.statement.workspace import Workspace
from rome.engine.writing.harvest import harvest
from rome.engine.writing.id_blocks import IDENTIFIERS, IdBlocks
from rome.errors import (
    CatalogChangedError,
    CommitAbortedError,
    CommitUnknownError,
    ConflictError,
    Error,
    IntegrityError,
    InterfaceError,
    InterruptedTransactionError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    StoreUnavailableError,
    TurnTakenError,
)
from rome.planner.parse.statement import Statement, StatementKind, begins_to_write, classify, split_script
from rome.sql import vacuum
from rome.store.spi import BEYOND, CATALOG_TABLE, ORDER_INDEX, Claim, Store
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest
from rome.workingset.contents import Contents
from rome.workingset.sqlite_errors import translate

Returned = TypeVar("Returned")

_WRITERS = (Claim(CATALOG_TABLE, None),)
"""What BEGIN IMMEDIATE claims. Whoever changes the schema waits for it, too, and nobody else."""
_CATALOG = ReadRequest(CATALOG_TABLE, ORDER_INDEX, (), ((b"", BEYOND),), Validation.NOTHING)


class Session:
    """The engine behind one DBAPI connection. Used by one thread at a time."""

    def __init__(self, store: Store, options: Options, tracer: Tracer | None = None) -> None:
        self._store = store
        self._options = options
        self._isolation = options.isolation
        self._workspace = Workspace(schemas.newest(store.last_snapshot().incarnation) or SchemaVersion.empty())
        self._statements = Statements(self._workspace, foreign_keys=options.foreign_keys, full_scan=options.full_scan)
        self._pragmas = ConnectionPragmas(self._statements, self._workspace)
        self._open: OpenTransaction | None = None
        self._doomed: OperationalError | None = None
        self._user: LoggedOperation | None = None
        """What is being run; nobody else may use the session meanwhile."""
        self._under_way: LoggedOperation | None = None
        """What has begun and has not come to a known end. If it is still there at the next call, it was interrupted."""
        self._was_open: OpenTransaction | None = None
        """What was open when it began."""
        self._stats = Stats()
        self._identifiers = IDENTIFIERS if options.ids == "blocks" else IdBlocks(1)
        self._turn = CommitTurn(store, enabled=options.commit_turn)
        self._observer = Observer(tracer)
        self._closed = False

    # ------------------------------------------------------------ state
    @property
    def in_transaction(self) -> bool:
        interrupted = self._under_way is not None and self._user is None
        return self._open is not None or self._doomed is not None or interrupted

    @property
    def isolation(self) -> Isolation:
        return self._isolation

    @isolation.setter
    def isolation(self, level: Isolation) -> None:
        self._alone(self._settle_if_interrupted)
        if level is not self._isolation and self._open is not None:
            self._dispatch(_OTHER, self._leave_if_it_holds_nothing)
        if level is not self._isolation and self.in_transaction:
            raise ProgrammingError("the isolation level cannot change inside a transaction: COMMIT or ROLLBACK first")
        self._isolation = level

    @property
    def stats(self) -> Stats:
        """A copy of the counters, the open transaction's reads included."""
        stats = Stats(**{name: getattr(self._stats, name) for name in Stats.__slots__})
        stats.round_trips = self._store.round_trips
        stats.turns = self._turn.taken
        if self._open is not None:
            stats.rows += self._open.transaction.rows_read
            stats.bytes += self._open.transaction.bytes_read
            stats.waves += self._open.transaction.waves
        return stats

    def is_usable(self) -> bool:
        """Whether the connection is not known to be lost; no round trip."""
        if self._user is not None:  # whoever runs something finds out; to look at the socket would disturb it
            return not self._closed
        return self._alone(lambda: not self._closed and self._store.is_usable())

    def _alone(self, do: Callable[[], Returned]) -> Returned:
        """Do something that is no operation of the transaction, while nobody uses the session, and let nobody in.

        Raises:
            ProgrammingError: somebody does.
        """
        if self._user is not None:
            raise _busy()
        try:
            self._user = _OTHER
            return do()
        finally:
            self._user = None

    # ------------------------------------------------------------ statements
    def execute(self, sql: str, parameters: Parameters = ()) -> Result:
        """Run one statement; begins a transaction when none is open.

        Raises:
            rome.errors.Error: see there. After a ConflictError the transaction must be rolled back.
        """
        statement = self._classify(sql, "execute() argument 1")
        operation = LoggedOperation(statement, entered(statement, parameters))
        if not statement.reads_or_writes_rows:
            check_count(statement, operation.parameters)
        if self._observer.hears_statements():
            return self._observer.statement(self, sql, operation, self._dispatch)
        return self._dispatch(operation)

    def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Result:
        """Run one INSERT, UPDATE or DELETE with many sets of parameters."""
        statement = self._classify(sql, "executemany() argument 1")
        if statement.kind not in (StatementKind.INSERT, StatementKind.UPDATE, StatementKind.DELETE):
            check_syntax(statement.text)
            raise ProgrammingError("executemany() can only execute DML statements.")
        operation = LoggedOperation(statement, (), all_entered(statement, parameters))
        if self._observer.hears_statements():
            return self._observer.statement(self, sql, operation, self._dispatch)
        return self._dispatch(operation)

    def executescript(self, script: str, before: Callable[[str], object] | None = None) -> None:
        """Commit what is open, then run every statement; what BEGIN opens stays open until COMMIT.

        Outside BEGIN .. COMMIT the whole script is one transaction, committed at its end; also before a BEGIN in
        it: in sqlite3 the statements before are committed one by one.

        Args:
            before: called with each statement, before it is run.
        """
        check_text(script, "executescript() argument")
        self.commit()
        for text in split_script(script):
            if self._open is not None and not self._open.explicit and classify(text).kind is StatementKind.BEGIN:
                self.commit()
            if before is not None:
                before(text)
            self.execute(text)
        if self._open is not None and not self._open.explicit:
            self.commit()

    def _classify(self, sql: str, argument: str) -> Statement:
        if self._closed:
            raise InterfaceError("the connection is closed")
        statement = statement_of(sql, argument)
        if statement.multiple:
            check_syntax(split_script(sql)[0])
            raise ProgrammingError("You can only execute one statement at a time.")
        if statement.skip_locked:
            raise NotSupportedError(
                "SKIP LOCKED is not supported: a transaction that is changing a row need not have locked it, so "
                "there is no telling which rows to skip. Take the row by the change itself: UPDATE .. WHERE id = "
                "(SELECT id .. ORDER BY .. LIMIT 1) RETURNING .."
            )
        self._stats.statements += 1
        return statement

    def _dispatch(self, operation: LoggedOperation, run: Callable[[], Result] | None = None) -> Result:
        """Run an operation, if nobody else is running one, and see what an interrupted one has left.

        Args:
            run: what to do in the place of running the statement.

        The mark `_under_way` is set while it runs. Every way out by which all is known takes it away: a result, or one
        of Rome's errors. After any other exception it stays, and the next call throws the transaction away.

        An exception from outside comes where Python looks for signals, which is where calls begin and end and where
        loops turn, and nowhere between two plain assignments. So do other threads.
        """
        if self._user is not None:
            raise _busy()
        try:
            self._user = operation
            self._workspace.working_set.interruption.asked = False
            if self._under_way is not None:
                self._settle()
            self._was_open = self._open
            self._under_way = operation
            result = self._run(operation) if run is None else run()
            self._under_way = self._was_open = None
            return result
        except Error:
            if self._under_way is operation and (self._open is None or self._open.complete):
                self._under_way = self._was_open = None
            raise
        except apsw.Error as error:
            raise translate(error) from error
        finally:
            self._user = None

    def _run(self, operation: LoggedOperation) -> Result:
        kind = operation.statement.kind
        rows = operation.statement.reads_or_writes_rows
        if not rows:
            check_syntax(operation.statement.text)
        if not rows and kind in (StatementKind.COMMIT, StatementKind.ROLLBACK):
            by_method = operation is _COMMIT or operation is _ROLLBACK  # that is no error, as in sqlite3
            if self._open is None and self._doomed is None and not by_method:
                raise OperationalError(f"cannot {kind.value.lower()} - no transaction is active")
            (self._commit_open if kind is StatementKind.COMMIT else self._roll_back)()
            return Result()
        if self._doomed is not None:
            if kind in (StatementKind.ROLLBACK_TO, StatementKind.RELEASE):
                return Result()
            raise _failed(self._doomed)
        if not rows and (result := self._done_without_transaction(operation)) is not None:
            return result
        if self._isolation is Isolation.AUTOCOMMIT and (self._open is None or not self._open.explicit):
            if kind is not StatementKind.SAVEPOINT:
                return self._autocommit(operation)
            self._begin().explicit = self._begin().by_savepoint = True  # as in SQLite, until it is released
        result = self._in_transaction(operation)
        if self._open is not None and self._open.by_savepoint and not self._open.savepoints:
            self._commit_open()
        return result

    def _done_without_transaction(self, operation: LoggedOperation) -> Result | None:
        """The result of a statement that no transaction runs; None: it is another one."""
        statement = operation.statement
        kind = statement.kind
        if kind is StatementKind.BEGIN:
            return self._begin_explicitly(statement)
        if kind in _REFUSED:
            raise NotSupportedError(_REFUSED[kind])
        if kind is StatementKind.VACUUM:
            return self._vacuum(operation)
        if kind is StatementKind.EMPTY:
            return Result()
        if kind is StatementKind.PRAGMA:
            return self._pragmas.answer(statement, self._open)
        return None

    def _begin_explicitly(self, statement: Statement) -> Result:
        """BEGIN, where sqlite3 would have no transaction yet: also after reads, and after DDL, which is committed then.

        With IMMEDIATE or EXCLUSIVE it waits for those that have begun so, as for the lock of SQLite: none of them loses
        a race to another one. What applications bracket so, as Celery does, they do not run again after a conflict.

        Raises:
            OperationalError: there is a transaction, in SQLite's words.
        """
        if self._statements.query_only and begins_to_write(statement):
            raise OperationalError("attempt to write a readonly database")
        self._leave_if_it_holds_nothing()
        if self._open is not None and self._open.holds_schema_alone():
            self._commit_open()
        if self._open is not None:
            hint = "" if self._open.explicit else ": the statements before have begun one, COMMIT or ROLLBACK first"
            raise OperationalError(f"cannot start a transaction within a transaction{hint}")
        self._begin().explicit = True
        if begins_to_write(statement):
            self._turn.claim(_WRITERS)
        return Result()

    def _vacuum(self, operation: LoggedOperation) -> Result:
        """VACUUM, of which a store has no need; with INTO it writes what is committed to an SQLite file."""
        schema, into = vacuum.parse(operation.statement.text)
        if schema is not None and schema.lower() not in ("main", "temp"):
            raise OperationalError(f"unknown database {schema}")
        with self._newest("VACUUM") as current:
            if into is not None and schema is not None and schema.lower() == "temp":
                raise NotSupportedError("VACUUM temp INTO is not supported: a backup has the tables of the store")
            if into is not None:
                self._refresh(current)
                path = self._statements.file_name(current, into, operation.parameters)
                sqlite_file.write(current, path, self._workspace.equip)
        return Result()

    def copy_into(self, connection: apsw.Connection) -> None:
        """Put what is committed into an empty SQLite database, for Connection.backup().

        Raises:
            OperationalError: the open transaction has written something.
        """

        def copy() -> Result:
            with self._newest("backup()") as current:
                self._refresh(current)
                sqlite_file.fill(current, connection, self._workspace.equip)
            return Result()

        self._dispatch(_OTHER, copy)

    @contextmanager
    def _newest(self, what: str) -> Iterator[OpenTransaction]:
        """A transaction of the block's own that reads what is committed now, in the place of one that holds nothing.

        Raises:
            OperationalError: there is one that holds something, as SQLite says it of VACUUM.
        """
        self._leave_if_it_holds_nothing()
        if self._open is not None:
            raise OperationalError(f"cannot {what} from within a transaction: COMMIT or ROLLBACK first")
        try:
            yield self._begin()
        finally:
            self._end()
            self._turn.leave()

    def _leave_if_it_holds_nothing(self) -> Result:
        """End an implicit transaction that has only read, for a statement that must stand outside; no round trip.

        What the application saw in it was then another transaction, as it is with sqlite3.
        """
        if self._open is not None and self._open.holds_nothing():
            self._end(committed=True)
            self._turn.committed(wrote=False)
        return Result()

    def _begin(self) -> OpenTransaction:
        if self._open is None:
            self._turn.before_first_read()
            self._catch_up()
            self._open = self._was_open = OpenTransaction.begin(
                self._store,
                self._workspace.working_set,
                self._workspace.schema,
                self._options.max_working_set,
                self._identifiers,
            )
            self._open.execution.defer_foreign_keys = self._pragmas.defer_foreign_keys
        return self._open

    def _catch_up(self) -> None:
        """Take the newest schema that the process knows.

        It matters to a transaction that begins with an INSERT, which may read nothing: COMMIT would find that the
        schema was old, but the application would not have seen the errors that the new one raises at the statement.
        """
        newest = schemas.newest(self._store.last_snapshot().incarnation)
        if newest is not None and newest.catalog.version > self._workspace.schema.catalog.version:
            self._workspace.take(newest)

    def _in_transaction(self, operation: LoggedOperation) -> Result:
        """Run an operation, and log what the application sees of it."""
        while True:
            try:
                outcome = self._outcome(operation)
            except ConflictError as conflict:  # the snapshot is gone, or of another schema
                self._replay_or_doom(conflict)
                continue
            break
        if self._open is not None:
            self._open.log.add(operation, outcome)  # from here on it stands, also if we are interrupted
        if isinstance(outcome, Error):
            raise outcome
        return outcome

    def _autocommit(self, operation: LoggedOperation) -> Result:
        """Run an operation as a transaction of its own. Nobody has seen anything of it, so it may simply run again."""
        for attempt in range(1, self._options.max_replays + 2):
            current = self._begin()
            try:
                if attempt > 1:
                    self._refresh(current)
                outcome = self._outcome(operation)
                if self._open is not None:  # also after an error: INSERT OR FAIL keeps the rows before it
                    self._commit_when_it_is_our_turn()
                if isinstance(outcome, Error):
                    raise outcome
            except (ConflictError, CommitAbortedError) as conflict:
                self._turn.met(conflict, current.started, current.transaction.read_set)
                self._stats.conflicts += isinstance(conflict, ConflictError)
                if attempt > self._options.max_replays:
                    tell(conflict, current)
                    self._give_up(conflict)
                    raise
                self._discard(conflict)
                self._workspace.working_set.counters = current.counters
                self._stats.replays += 1
                self._turn.before_replay(attempt)
            except Error:
                if self._open is current:  # its COMMIT failed, of a deferred key: it has changed nothing
                    self._workspace.working_set.changes = 0
                    self._workspace.working_set.total_changes = current.counters.total_changes
                self._end()
                self._turn.leave()
                self._doomed = None
                raise
            else:
                return outcome
        raise AssertionError("unreachable")

    def _outcome(self, operation: LoggedOperation) -> Result | Error:
        """Run an operation; an error that leaves the transaction as it was is an outcome like a result.

        Raises:
            ConflictError: the transaction has to start anew. StoreUnavailableError and its like: it is over.
        """
        current = self._begin()
        savepoints = len(current.savepoints)
        while True:
            try:
                if operation.statement.reads_or_writes_rows:
                    if self._isolation is Isolation.READ_COMMITTED:
                        self._new_statement_snapshot(current)
                    self._claim_rows(current, operation)
                return self._statements.run(current, operation, self._isolation)
            except CatalogMoved as moved:
                self._take_newer(current, moved)
            except ConflictError:
                raise
            except Error as error:
                if isinstance(error, StoreUnavailableError):  # the connection is lost, and the transaction with it
                    self._roll_back()
                    self._doomed = error
                    raise
                if current.transaction.snapshot is None and self._schema_is_stale(current):
                    continue
                if self._workspace.working_set.was_ended:  # INSERT OR ROLLBACK
                    self._roll_back()
                assert savepoints == len(current.savepoints)
                return error

    def _claim_rows(self, current: OpenTransaction, operation: LoggedOperation) -> None:
        """Before a statement locks or changes rows: wait for whoever claimed them first.

        Raises:
            ConflictError: they have probably changed meanwhile, so the transaction goes on with a new snapshot.
        """
        if self._isolation is Isolation.AUTOCOMMIT and not current.explicit:
            return
        while claims := self._statements.claims(current, operation, self._isolation):
            if not self._turn.claim(claims) or current.transaction.snapshot is None:
                return
            if self._isolation is Isolation.READ_COMMITTED:  # other rows may be found now
                self._new_statement_snapshot(current)
            elif self._may_replay(current):
                raise ConflictError.of_locked_rows()
            else:
                return

    def _refresh(self, current: OpenTransaction) -> None:
        """Fix the snapshot, and take its schema."""
        try:
            current.reader.refresh()
        except CatalogMoved as moved:
            self._take_newer(current, moved)

    def _take_newer(self, current: OpenTransaction, moved: CatalogMoved) -> None:
        """Go on with the schema of the snapshot, if nothing rests on ours yet.

        Raises:
            CatalogChangedError: something does.
        """
        if not current.is_pristine():
            raise CatalogChangedError.since(current.base.catalog.version, moved.version) from None
        self._reload(current, moved.version)

    def _schema_is_stale(self, current: OpenTransaction) -> bool:
        """After an error on a schema that was not validated: is there a newer one, under which it may be none?

        Raises:
            CatalogChangedError: there is, and temporary tables were changed under the old one.
        """
        try:
            current.reader.refresh()
        except CatalogMoved as moved:
            if self._workspace.working_set.contents.is_dirty():
                return False
            self._take_newer(current, moved)
            return True
        return False

    def _reload(self, current: OpenTransaction, version: int) -> None:
        """Take the schema of the transaction's snapshot; nothing rests on the old one yet."""
        snapshot = current.transaction.snapshot
        assert snapshot is not None
        found = schemas.known(snapshot.incarnation, version)
        if found is None:
            current.transaction.read([_CATALOG])
            found = schemas.load(snapshot.incarnation, version, current.transaction.rows(_CATALOG))
        self._workspace.working_set.rollback()
        self._workspace.take(found)
        fresh = OpenTransaction.begin(
            self._store, self._workspace.working_set, found, self._options.max_working_set, self._identifiers
        )
        fresh.reader.transaction = current.transaction
        fresh.execution.defer_foreign_keys = current.execution.defer_foreign_keys
        fresh.execution.ids.given = current.execution.ids.given
        for name in ("reader", "execution", "base"):
            setattr(current, name, getattr(fresh, name))
        self._workspace.working_set.begin()
        for savepoint in current.savepoints:
            self._workspace.working_set.query(f"SAVEPOINT {quote(savepoint.name)}", ())
        current.savepoints = [Savepoint(savepoint.name, Contents(), found) for savepoint in current.savepoints]

    def _new_statement_snapshot(self, current: OpenTransaction) -> None:
        """READ COMMITTED: this statement sees what is committed now; rows only read leave the working set.

        It sees them beside rows that this transaction has changed on an older snapshot. So COMMIT validates those even
        if they are changed back, or rolled back to a savepoint: what was seen was seen.
        """
        if current.schema is not current.base or current.transaction.snapshot is None:
            return
        working_set, transaction = self._workspace.working_set, current.transaction
        dirty = working_set.contents.is_dirty()
        current.validated = current.validated or dirty
        if not (dirty or current.savepoints or working_set.temporary_changed):
            working_set.rollback()  # all at once
        else:
            for table, row in working_set.evict_clean(current.schema.catalog.tables.values()):
                transaction.read_set.add_point(table.id, row.key, row.version)
        transaction.new_snapshot()
        current.reader.forget_decoded()

    @contextmanager
    def foreign_keys_off(self) -> Iterator[None]:
        """Do not enforce foreign keys for a while; unlike the PRAGMA also inside a transaction."""
        before = self._statements.foreign_keys
        self._statements.foreign_keys = False
        try:
            yield
        finally:
            self._statements.foreign_keys = before

    # ------------------------------------------------------------ ends
    def commit(self) -> None:
        """Commit what is open; no round trip when nothing was written.

        Raises:
            ConflictError: and no replay could help; the transaction is rolled back.
            IntegrityError: another transaction has committed first what one of its statements cannot stand beside; the
                transaction is rolled back.
            CommitUnknownError: see there. ForeignKeyViolation: a deferred key; the transaction stays open.
        """
        self._dispatch(_COMMIT)

    def _commit_open(self) -> None:
        if self._doomed is not None:
            doomed, self._doomed = self._doomed, None
            raise _failed(doomed)
        if self._open is None:
            return
        if self._observer.hears_commits():
            self._observer.commit(self, self._commit)
        else:
            self._commit()

    def _commit(self) -> None:
        while True:
            try:
                self._commit_when_it_is_our_turn()
            except (ConflictError, CommitAbortedError) as conflict:
                self._stats.conflicts += 1
                self._replay(conflict)
            else:
                return

    def _commit_when_it_is_our_turn(self) -> None:
        """One attempt, as _commit_once; while others come first, it waits for them."""
        while True:
            try:
                self._commit_once()
            except TurnTakenError as taken:
                current = self._open
                assert current is not None
                if not self._turn.before_commit_again(taken, current.started, current.transaction.read_set):
                    raise
            else:
                return

    def _commit_once(self) -> None:
        """One attempt; afterwards the transaction is over, unless a deferred foreign key or a conflict is raised."""
        current = self._open
        assert current is not None
        changed_schema = current.schema is not current.base
        if self._statements.foreign_keys:
            self._workspace.working_set.check_temporary_keys()
        if not (changed_schema or current.validated or self._workspace.working_set.contents.is_dirty()):
            self._end(committed=True)
            self._turn.committed(wrote=False)
            return
        check_deferred(current, self._statements.foreign_keys or current.keys_to_check)
        transaction = current.transaction
        if transaction.snapshot is None:
            would_be_replayed = self._may_replay(current)
            if not would_be_replayed or self._store.last_snapshot().version < current.base.catalog.version:
                self._refresh(current)  # what this connection last heard may be, or is, too old
        writes = harvest(self._workspace.working_set, current.schema, current.base, transaction.read_set)
        if not writes and not current.validated:
            self._end(committed=True)
            self._turn.committed(wrote=False)
            return
        try:
            version = transaction.commit(writes, self._turn.ticket, self._options.commit_limits)
        except TurnTakenError:  # everything is as it was
            raise
        except ConflictError as conflict:
            if conflict.table is not None:
                self._identifiers.discard(self._store.last_snapshot().incarnation, conflict.table)
            raise
        except CommitAbortedError:  # nothing was written, and it may be replayed
            raise
        except Error:
            current.execution.ids.taken.clear()  # the rows may be there
            self._roll_back()
            raise
        current.committed = True
        self._turn.committed(wrote=bool(writes))
        self._stats.commits += 1
        self._statements.own_commits += bool(writes)
        self._stats.rows_written += writes.row_count
        incarnation = self._store.last_snapshot().incarnation
        for table_id, rowid in writes.sequences.items():
            self._identifiers.discard(incarnation, table_id, rowid)
        for table_id in writes.settings:
            self._identifiers.discard(incarnation, table_id)
        if changed_schema:
            self._publish(current, incarnation, version)
        self._end(committed=True)

    def _publish(self, current: OpenTransaction, incarnation: bytes, version: int) -> None:
        """The schema that this commit made is the one to go on with."""
        self._workspace.schema = schemas.remember(incarnation, current.schema.definition.at_version(version))
        if self._workspace.working_set.temporary_changed:
            return  # the end of the transaction commits the working set
        if any(c.hydrated or c.touched or c.whole for c in self._workspace.working_set.contents.tables.values()):
            self._workspace.working_set.rollback()
            self._workspace.open_working_set(self._workspace.schema)
        else:
            self._workspace.working_set.connection.execute("COMMIT")

    def rollback(self) -> None:
        """Forget what is open. No round trip."""
        self._dispatch(_ROLLBACK)

    def _roll_back(self) -> None:
        self._doomed = None
        if self._open is not None:
            self._open.execution.ids.give_up()
        self._end()
        self._turn.leave()

    def _settle_if_interrupted(self) -> None:
        if self._under_way is not None:
            self._settle()

    def _settle(self) -> None:
        """After an operation that was interrupted: find out what it has left, and throw that away if it is not whole.

        It is whole if the operation is in the log. Else the transaction is gone, and every statement until ROLLBACK
        says so, unless the application has been shown nothing of it. A commit that was sent is asked after, so that
        it does not arrive later.
        """
        current = self._open
        if current is not None and current.complete and current.log.noted is self._under_way:
            self._under_way = None
            return
        current = current or self._was_open
        doomed = self._doomed
        committed = False
        if current is not None:
            committed, unknown = _outcome_of(current)
            shown = current.log.noted is not None or current.explicit or current.execution.defer_foreign_keys
            if self._under_way is not None and self._under_way.statement.kind is StatementKind.ROLLBACK:
                shown = False  # that is what the application wants
            if unknown is not None:
                doomed = unknown
            elif shown and not committed:
                doomed = InterruptedTransactionError("an exception from outside came into one of its operations")
        self._workspace.recover(keep_temporary=committed)
        self._store.release()
        self._turn.leave()
        self._open, self._doomed, self._was_open, self._under_way = None, doomed, None, None

    def _end(self, *, committed: bool = False) -> None:
        """End an attempt: empty the working set, but for temporary tables, and give the snapshot back."""
        current = self._open
        self._pragmas.defer_foreign_keys = False
        if current is None:
            return
        current.committed = committed
        self._open = None
        self._stats.rows += current.transaction.rows_read
        self._stats.bytes += current.transaction.bytes_read
        self._stats.waves += current.transaction.waves
        self._workspace.end(keep_temporary=committed)
        self._store.release()
        if current.schema is not current.base and self._workspace.schema is current.base:
            self._workspace.open_mirror(self._workspace.schema)

    def _give_up(self, conflict: ConflictError | CommitAbortedError) -> None:
        """End the transaction: it has failed, and the application will be told."""
        self._discard(conflict)
        self._turn.failed()

    def _discard(self, conflict: ConflictError | CommitAbortedError) -> None:
        """End an attempt; after a change of the catalog the next one does not begin with the schema of this."""
        self._end()
        if isinstance(conflict, CatalogChangedError):
            self._workspace.take(SchemaVersion.empty())

    # ------------------------------------------------------------ replay
    def _may_replay(self, current: OpenTransaction) -> bool:
        return (
            current.log.replayable and current.attempt <= self._options.max_replays and not self._workspace.definitions
        )

    def _replay(self, conflict: ConflictError | CommitAbortedError) -> None:
        """Run the whole transaction again on a new snapshot, until that meets no conflict itself.

        Raises:
            the conflict: it may not be replayed, or would have shown the application something else; it is over.
            IntegrityError: a statement violates a constraint now (see rome.engine.session.replay); it is over, too.
        """
        while True:
            before = self._open
            assert before is not None
            self._turn.met(conflict, before.started, before.transaction.read_set)
            if not self._may_replay(before):
                tell(conflict, before)
                self._give_up(conflict)
                raise conflict
            self._end()
            self._turn.before_replay(before.attempt)
            self._stats.replays += 1
            try:
                verdict = self._run_again(before)
            except ConflictError as again:
                conflict = again
                continue
            if verdict.same:
                return
            tell(conflict, before)
            self._end()
            self._turn.failed()
            if verdict.violation is not None:
                raise verdict.violation from conflict
            raise conflict

    def _run_again(self, before: OpenTransaction) -> ReplayVerdict:
        """One more attempt of a transaction, up to its end, or to where it comes out differently."""
        self._workspace.working_set.counters = before.counters
        current = self._begin()
        current.explicit, current.by_savepoint = before.explicit, before.by_savepoint
        current.log, current.attempt = before.log, before.attempt + 1
        current.execution.defer_foreign_keys = before.execution.defer_foreign_keys
        ids = before.execution.ids
        current.execution.ids.given = deque([*ids.taken, *ids.given])
        current.complete = False
        self._refresh(current)
        verdict = run_again(current, self._outcome, self._isolation)
        current.complete = True
        return verdict

    def _replay_or_doom(self, conflict: ConflictError) -> None:
        """In the middle of a transaction: replay, or fail it until it is rolled back."""
        self._stats.conflicts += 1
        try:
            self._replay(conflict)
        except IntegrityError:  # of a statement before this one, which must not be taken for the one that violates it
            self._doomed = conflict
            raise conflict from None
        except ConflictError as final:
            self._doomed = final
            raise

    # ------------------------------------------------------------ what sqlite3 has
    @property
    def definitions(self) -> Definitions:
        """What the application has defined; `define` is to be called with what a change of it gives."""
        return self._alone(lambda: self._workspace.definitions)

    def define(self, install: Install) -> None:
        """Define something on this connection, or take it away. A transaction that has something is not replayed."""
        self._alone(lambda: self._workspace.define(install))

    def interrupt(self) -> None:
        """End the statement that is being run, if SQLite runs it; may be called by any thread."""
        self._workspace.working_set.interruption.asked = True

    def set_progress_handler(self, handler: Callable[[], object] | None, steps: int) -> None:
        """Ask whether to end a statement after so many of SQLite's steps; None: no longer."""

        def attach() -> None:
            working_set = self._workspace.working_set
            working_set.interruption.set_handler(handler, steps)
            working_set.interruption.attach(working_set.connection)

        self._alone(attach)

    @property
    def total_changes(self) -> int:
        """How many rows were inserted, changed or deleted on this connection, those of foreign key actions included."""

        def look() -> int:
            if self._open is not None:  # it tells how many rows each statement has changed
                self._open.log.show_numbers()
            return self._workspace.working_set.total_changes

        return self._alone(look)

    def limit(self, category: int) -> int:
        """One of SQLite's limits.

        Raises:
            ProgrammingError: there is none of this number.
        """
        if category not in apsw.mapping_limits:
            raise ProgrammingError("'category' is out of bounds")
        return self._alone(lambda: self._workspace.working_set.connection.limit(category))

    def setting(self, number: int) -> bool:
        """One of SQLite's settings (SQLITE_DBCONFIG_..), as the application sees it.

        Raises:
            ProgrammingError: there is none of this number that is on or off.
        """
        if number == apsw.SQLITE_DBCONFIG_ENABLE_FKEY:
            return self._statements.foreign_keys
        try:
            return self._alone(lambda: bool(self._workspace.working_set.connection.config(number, -1)))
        except (apsw.Error, ValueError, TypeError) as error:
            raise ProgrammingError(f"unknown config 'op': {number}") from error

    def iterdump(self) -> Iterator[str]:
        """The database as SQL, in the form of sqlite3's Connection.iterdump(); read in one transaction."""

        def begin() -> Result:
            self._refresh(self._begin())
            return Result()

        self._dispatch(_OTHER, begin)
        assert self._open is not None
        lines = dump(self._open)

        def step() -> Result:
            return Result(None, [(line,) for line in islice(lines, 1)])

        while found := self._dispatch(_OTHER, step).rows:
            yield str(found[0][0])

    def close(self) -> None:
        """Roll back and give everything back. Idempotent; one that was interrupted can be called again."""
        if self._user is not None:
            raise _busy()
        if not self._closed:
            self._closed = True
            self.rollback()
        self._store.close()
        self._workspace.close()
        self._pragmas.close()


_COMMIT, _ROLLBACK, _OTHER = (LoggedOperation(classify(text), ()) for text in ("COMMIT", "ROLLBACK", ""))


_REFUSED = {
    StatementKind.ATTACH: "ATTACH is not supported: open a second connection to the other database",
    StatementKind.DETACH: "DETACH is not supported, as ATTACH is not",
}


def _failed(reason: OperationalError) -> OperationalError:
    """What every statement of a transaction that has failed gets, until it is rolled back."""
    message = f"the transaction has failed, and must be rolled back: {reason}"
    error: OperationalError
    if isinstance(reason, CommitUnknownError):
        error = CommitUnknownError(message, transaction_id=reason.transaction_id, snapshot=reason.snapshot)
    elif isinstance(reason, StoreUnavailableError | InterruptedTransactionError):
        error = type(reason)(message)
    else:
        error = ConflictError(message)
    error.__cause__ = reason
    return error


def _busy() -> ProgrammingError:
    return ProgrammingError(
        "this connection is in use: by another thread, or by the statement that calls this function. A connection runs "
        "one statement at a time; give each thread one of its own"
    )


def _outcome_of(interrupted: OpenTransaction) -> tuple[bool, CommitUnknownError | None]:
    """Whether a transaction was committed before it was interrupted; the error if nobody knows."""
    sent = interrupted.transaction.sent
    if interrupted.committed or sent is None:
        return interrupted.committed, None
    try:
        return interrupted.transaction.settle() is not None, None
    except Error as error:
        unknown = CommitUnknownError.unanswered(
            "an exception from outside came into COMMIT",
            error,
            transaction_id=sent.transaction_id,
            snapshot=sent.snapshot.version,
        )
        unknown.__cause__ = error
        return False, unknown
