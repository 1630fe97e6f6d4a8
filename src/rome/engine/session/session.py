"""One connection's engine: what the application asks for.

Transactions begin with the first statement. A read-only COMMIT, a ROLLBACK and BEGIN cost no round trip.

The parts: `use` admits one caller at a time and settles interrupted operations. `replay` runs an operation in the open
transaction, and replays that after a conflict. An attempt (rome.engine.attempt) is one run on one snapshot. This class
decides which of them handles a statement.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar
from weakref import ref

import apsw

from rome.engine.attempt.attempt import Attempt, Beginning
from rome.engine.attempt.context import ConnectionContext
from rome.engine.attempt.dump import dump
from rome.engine.attempt.replay_log import LoggedOperation
from rome.engine.observing.observer import STATEMENTS, TRANSACTIONS, Examined, Observer, Tracer
from rome.engine.options import AUTOCOMMIT, Isolation, Options
from rome.engine.result import Result, Stats, UnreadRows
from rome.engine.session.connection_pragmas import ConnectionPragmas
from rome.engine.session.dispatch import Statements
from rome.engine.session.outside import Outside
from rome.engine.session.replay import Replay
from rome.engine.session.sqlite_settings import SqliteSettings
from rome.engine.session.states import IDLE, Failed
from rome.engine.session.stored import StoredDatabase
from rome.engine.session.use import OTHER, Use, busy
from rome.engine.statement.parameters import Parameters, all_entered, check_count, entered
from rome.engine.statement.syntax import check_syntax, check_text, classified, statement_of
from rome.errors import InterfaceError, NotSupportedError, OperationalError, ProgrammingError, VersionTokenError
from rome.planner.parse.statement import Statement, StatementKind, classify, split_script
from rome.store.seen import newest_snapshot
from rome.store.spi import Snapshot, Store, StoreUsage
from rome.transaction import totals
from rome.transaction.totals import Totals, conflicts_by_table
from rome.workingset.workingset import SqlRow

Item = TypeVar("Item")


class Session:
    """The engine behind one DBAPI connection. Used by one thread at a time.

    Attributes:
        settings: the settings and definitions of a connection that users of sqlite3 know.
    """

    def __init__(self, store: Store, options: Options, tracer: Tracer | None = None) -> None:
        self._context = ConnectionContext(store, options)
        self._statements = Statements(self._context)
        self._replay = Replay(self._context, self._statements, tracer)
        self._use = Use(self._context, self._replay)
        self._pragmas = ConnectionPragmas(self._context)
        self._outside = Outside(self._context, self._replay, self._statements, self._commit)
        self._observer = Observer(tracer)
        self.settings = SqliteSettings(self._context, self._replay, self._use)
        self._streams: list[ref[UnreadRows]] = []
        self._closed = False
        # Made once: Python makes an object of each method that is handed on.
        self._runs, self._runs_in_transaction, self._rolls_back = self._run, self._replay.run, self._replay.roll_back

    # ------------------------------------------------------------ state
    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, or has failed and is not rolled back yet."""
        return self._replay.state is not IDLE or self._use.is_interrupted

    @property
    def isolation(self) -> Isolation:
        """The level with which transactions begin."""
        return self._context.isolation

    @isolation.setter
    def isolation(self, level: Isolation) -> None:
        self._use.alone(self._use.settle_if_interrupted)
        if level is not self._context.isolation and type(self._replay.state) is Attempt:
            self._do(self._replay.leave_if_it_holds_nothing)
        if level is not self._context.isolation and self.in_transaction:
            raise ProgrammingError("the isolation level cannot change inside a transaction: COMMIT or ROLLBACK first")
        self._context.isolation = level

    @property
    def stats(self) -> Stats:
        """A copy of the counters, the open transaction's reads included."""
        stats = self._context.stats.copy()
        stats.round_trips = self._context.store.round_trips
        stats.near_trips = self._context.store.near_trips
        stats.turns = self._replay.turn.taken
        state = self._replay.state
        if type(state) is Attempt:
            stats.rows += state.transaction.rows_read
            stats.bytes += state.transaction.bytes_read
            stats.waves += state.transaction.waves
        return stats

    def totals(self) -> Totals:
        """A copy of the counters without those of the open transaction, and what else `rome.metrics` shows."""
        context, counts = self._context, self._replay.turn.counts
        stats, store = context.stats, context.store
        made: dict[str, float] = {name: getattr(stats, name) for name in Stats.__slots__}
        made |= {"round_trips": store.round_trips, "near_trips": store.near_trips, "turns": self._replay.turn.taken}
        made |= {"claims": counts.claims, "queue_wait_s": counts.queue_wait_s, "failures": counts.failures}
        tables = context.workspace.schema.definition.tables_by_id if counts.conflicts else {}
        names = {table_id: table.name for table_id, table in tables.items()}
        return Totals(made, conflicts_by_table(counts.conflicts.copy(), names), context.durations)

    def usage(self, recent: int = 0) -> StoreUsage:
        """See Store.usage."""
        return self._use.alone(lambda: self._context.store.usage(recent))

    def examine(self, statement: Statement) -> Examined | None:
        """The plan of a statement that has been run, and its catalog; None if it has no plan, or the schema changed."""
        state, workspace = self._replay.state, self._context.workspace
        schema = workspace.as_seen(state.schema if type(state) is Attempt else workspace.schema)
        prepared = schema.prepared.get(statement.text) or schema.find(statement.text)
        return None if prepared is None else Examined(prepared, schema.catalog)

    def is_usable(self) -> bool:
        """Whether the connection is not known to be lost; no round trip."""
        if self._use.user is not None:  # the running operation will find out; looking at the socket would disturb it
            return not self._closed
        return self._use.alone(lambda: not self._closed and self._context.store.is_usable())

    # ------------------------------------------------------------ versions
    def last_version(self) -> Snapshot:
        """The newest version that this connection, or another one of the process, has read or committed; no trip."""
        store = self._context.store
        heard = store.last_snapshot()
        seen = newest_snapshot(store.place) or heard
        return heard if heard.incarnation == seen.incarnation and heard.version > seen.version else seen

    def take_snapshot(self) -> None:
        """Begin a transaction unless one is open, and fix its snapshot. Cost: a round trip, if it is not fixed yet."""
        self._do(lambda: self._replay.begin().refresh())

    def at_least(self, wanted: Snapshot) -> None:
        """Let no later transaction read anything older than this version; no round trip.

        Raises:
            VersionTokenError: the open transaction has read something older. Whether the version is of this database
                is seen at the next transaction's first read, which raises it, too.
        """
        state = self._replay.state
        if type(state) is Attempt and (snapshot := state.transaction.snapshot) is not None:
            if snapshot.incarnation == wanted.incarnation and snapshot.version >= wanted.version:
                return
            if self._context.isolation is not Isolation.READ_COMMITTED:
                raise VersionTokenError.too_late(snapshot.version, wanted.version)
        self._context.store.at_least = wanted

    # ------------------------------------------------------------ statements
    def execute(self, sql: str, parameters: Parameters = (), *, streams: bool = False) -> Result:
        """Run one statement; begins a transaction when none is open.

        Args:
            streams: whether the result may have only the first rows, with a stream of the others, for `read_on`.

        Raises:
            rome.errors.Error: see that class. After a ConflictError the transaction must be rolled back.
        """
        if self._closed:
            raise _closed()
        try:
            statement = classified(sql, "execute() argument 1")
        except TypeError:  # the text has no hash
            statement = statement_of(sql, "execute() argument 1")
        if statement.is_refused:
            _refuse(sql, statement)
        self._context.stats.statements += 1
        operation = LoggedOperation(statement, entered(statement, parameters), None, streams)
        if not statement.reads_or_writes_rows:
            check_count(statement, operation.parameters)
        if streams:
            return self._begin_stream(sql, operation)
        if self._observer.tracer is not None or STATEMENTS.isEnabledFor(logging.DEBUG):
            return self._observer.statement(self, sql, operation, self._run_alone)
        if self._streams or not statement.reads_or_writes_rows or self._context.isolation is AUTOCOMMIT:
            return self._use.run(operation, self._runs)
        return self._use.run(operation, self._runs_in_transaction)  # most often; `_run` would do the same

    def _begin_stream(self, sql: str, operation: LoggedOperation) -> Result:
        if self._observer.hears_statements():
            result = self._observer.statement(self, sql, operation, self._run_alone)
        else:
            result = self._use.run(operation, self._run)
        if result.more is not None:
            self._streams = [*(each for each in self._streams if each() is not None), ref(result.more)]
        return result

    def read_on(self, stream: UnreadRows) -> Sequence[SqlRow]:
        """The next rows of a stream; there may be none although it is not finished.

        Raises:
            StreamEndedError: the transaction has ended. rome.errors.Error: see `execute`.
        """
        found: list[Sequence[SqlRow]] = []

        def read(_: LoggedOperation) -> Result:
            found.append(self._replay.read_on(stream))
            if stream.is_finished:
                self._leave(stream)
            return _NOTHING

        self._use.run(OTHER, read)
        return found[0]

    def drop(self, stream: UnreadRows) -> None:
        """End a stream; nobody asks for its rows any more."""
        if self._use.user is None and not stream.is_finished:
            self._use.alone(stream.close)
            if self._use.under_way is None:
                self._use.alone(lambda: self._leave(stream))

    def _leave(self, stream: UnreadRows) -> None:
        """At AUTOCOMMIT, end the transaction that a stream was."""
        self._streams = [each for each in self._streams if each() not in (None, stream)]
        if self._is_each_alone() and self._replay.has_snapshot_of(stream):
            self._replay.leave_if_it_holds_nothing()

    def _settle_streams(self, operation: LoggedOperation) -> None:
        """Before a statement that takes a snapshot of its own, read what open streams need of theirs."""
        alone = self._is_each_alone()
        renews = self._context.isolation is Isolation.READ_COMMITTED and operation.statement.reads_or_writes_rows
        if alone or renews:
            streams, self._streams = [stream for each in self._streams if (stream := each()) is not None], []
            for stream in streams:
                if stream.reads and self._replay.has_snapshot_of(stream):
                    stream.read_rest()
        if alone:
            self._replay.leave_if_it_holds_nothing()

    def _has_open_stream(self) -> bool:
        return any((rows := each()) is not None and rows.reads for each in self._streams)

    def _is_each_alone(self) -> bool:
        """Whether each statement is a transaction of its own."""
        return self._context.isolation is Isolation.AUTOCOMMIT and not self._is_bracketed()

    def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Result:
        """Run one INSERT, UPDATE or DELETE with many sets of parameters."""
        if self._closed:
            raise _closed()
        statement = statement_of(sql, "executemany() argument 1")
        if statement.is_refused:
            _refuse(sql, statement)
        self._context.stats.statements += 1
        if statement.kind not in (StatementKind.INSERT, StatementKind.UPDATE, StatementKind.DELETE):
            check_syntax(statement.text)
            raise ProgrammingError("executemany() can only execute DML statements.")
        operation = LoggedOperation(statement, (), all_entered(statement, parameters))
        if self._observer.hears_statements():
            return self._observer.statement(self, sql, operation, self._run_alone)
        return self._use.run(operation, self._run)

    def executescript(self, script: str, before: Callable[[str], object] | None = None) -> None:
        """Commit the open transaction, then run every statement; a transaction that BEGIN opens lasts until COMMIT.

        Outside of BEGIN .. COMMIT the whole script is one transaction, committed at its end or before a BEGIN in it.
        (sqlite3 commits those statements one by one.)

        Args:
            before: called with each statement, before it is run.
        """
        check_text(script, "executescript() argument")
        self.commit()
        for text in split_script(script):
            if self._has_implicit_transaction() and classify(text).kind is StatementKind.BEGIN:
                self.commit()
            if before is not None:
                before(text)
            self.execute(text)
        if self._has_implicit_transaction():
            self.commit()

    def _has_implicit_transaction(self) -> bool:
        state = self._replay.state
        return type(state) is Attempt and state.beginning is Beginning.STATEMENT

    def commit(self) -> None:
        """Commit the open transaction; no round trip if nothing was written.

        Raises:
            see Replay.commit.
        """
        self._use.run(_COMMIT, self._commit)

    def rollback(self) -> None:
        """Discard the open transaction. No round trip."""
        replay, use = self._replay, self._use
        if replay.state is IDLE and use.user is None and use.under_way is None and replay.is_settled():
            return  # as most often when a pool takes its connection back
        self._use.run(_ROLLBACK, self._rolls_back)

    def _run_alone(self, operation: LoggedOperation) -> Result:
        return self._use.run(operation, self._run)

    def _do(self, do: Callable[[], None]) -> None:
        """Run something that is not a statement as an operation."""

        def run(_: LoggedOperation) -> Result:
            do()
            return _NOTHING

        self._use.run(OTHER, run)

    def _run(self, operation: LoggedOperation) -> Result:
        """Run an operation of any kind."""
        if self._streams:
            self._settle_streams(operation)
        replay = self._replay
        if not operation.statement.reads_or_writes_rows:
            return self._run_other(operation)
        if self._context.isolation is AUTOCOMMIT and not self._is_bracketed():
            return replay.run_alone(operation)
        return replay.run(operation)

    def _run_other(self, operation: LoggedOperation) -> Result:
        """Run a statement that is not about rows."""
        replay, kind = self._replay, operation.statement.kind
        check_syntax(operation.statement.text)
        if kind is StatementKind.COMMIT or kind is StatementKind.ROLLBACK:
            return self._end(operation)
        if type(replay.state) is Failed:
            if kind in (StatementKind.ROLLBACK_TO, StatementKind.RELEASE):
                return Result()
            raise replay.state.error()
        if (result := self._outside_of_transactions(operation)) is not None:
            return result
        if self._is_each_alone():
            if kind is not StatementKind.SAVEPOINT:
                return replay.run_alone(operation)
            replay.begin().beginning = Beginning.SAVEPOINT  # as in SQLite, until it is released
        result = replay.run(operation)
        state = replay.state
        if type(state) is Attempt and state.beginning is Beginning.SAVEPOINT and not state.savepoints:
            self._commit()
        return result

    def _is_bracketed(self) -> bool:
        """Whether BEGIN or SAVEPOINT has begun the open transaction."""
        state = self._replay.state
        return type(state) is Attempt and state.beginning is not Beginning.STATEMENT

    def _end(self, operation: LoggedOperation) -> Result:
        kind = operation.statement.kind
        if self._replay.state is IDLE:
            raise OperationalError(f"cannot {kind.value.lower()} - no transaction is active")
        return self._commit() if kind is StatementKind.COMMIT else self._replay.roll_back()

    def _commit(self, _: LoggedOperation | None = None) -> Result:
        """Commit the open transaction, if there is one, as sqlite3's method does."""
        replay, observer = self._replay, self._observer
        if self._streams and self._is_each_alone() and self._has_open_stream():
            return _NOTHING  # nothing to commit, and a transaction that lasts until its rows are fetched
        if type(replay.state) is Failed:
            error = replay.state.error()
            replay.state = IDLE
            raise error
        if replay.state is not IDLE:
            if observer.tracer is not None or TRANSACTIONS.isEnabledFor(logging.DEBUG):
                observer.commit(self, replay.commit)
            else:
                replay.commit()
        return _NOTHING

    def _outside_of_transactions(self, operation: LoggedOperation) -> Result | None:
        """Return the result of a statement that runs outside of transactions; None for any other statement."""
        statement = operation.statement
        kind = statement.kind
        if kind is StatementKind.BEGIN:
            return self._outside.begin(statement)
        if kind in _REFUSED:
            raise NotSupportedError(_REFUSED[kind])
        if kind is StatementKind.VACUUM:
            return self._outside.vacuum(operation)
        if kind is StatementKind.EMPTY:
            return Result()
        if kind is StatementKind.PRAGMA:
            state = self._replay.state
            return self._pragmas.answer(statement, state if type(state) is Attempt else None)
        return None

    # ------------------------------------------------------------ the whole database
    def copy_into(self, connection: apsw.Connection) -> None:
        """Copy the committed database into an empty SQLite database, for Connection.backup().

        Raises:
            OperationalError: the open transaction has written something.
        """
        self._do(lambda: self._outside.copy_into(connection))

    def iterdump(self) -> Iterator[str]:
        """The database as SQL, in the form of sqlite3's Connection.iterdump(); read in one transaction."""
        return self._steps(dump(self._fixed()))

    def stored(self, walk: Callable[[StoredDatabase], Iterator[Item]]) -> Iterator[Item]:
        """What a walk through the stored database yields, at the snapshot of the open transaction, or of a new one.

        Each step is an operation of its own, so that the connection can be used between them.
        """
        return self._steps(walk(StoredDatabase(self._fixed())))

    def _fixed(self) -> Attempt:
        """The open transaction, or a new one, with its snapshot fixed."""
        self._do(lambda: self._replay.begin().refresh())
        current = self._replay.state
        assert type(current) is Attempt
        return current

    def _steps(self, items: Iterator[Item]) -> Iterator[Item]:
        found: list[Item] = []

        def step(_: LoggedOperation) -> Result:
            found[:] = islice(items, 1)
            return _NOTHING

        while True:
            self._use.run(OTHER, step)
            if not found:
                return
            yield found[0]

    @contextmanager
    def foreign_keys_off(self) -> Iterator[None]:
        """Do not enforce foreign keys inside the block; unlike the PRAGMA, this works inside a transaction."""
        before = self._context.foreign_keys
        self._context.foreign_keys = False
        try:
            yield
        finally:
            self._context.foreign_keys = before

    def close(self) -> None:
        """Roll back and release all resources. Idempotent; after an interruption it can be called again."""
        if self._use.user is not None:
            raise busy()
        if not self._closed:
            self._closed = True
            self.rollback()
            totals.closed(self)
        self._context.store.close()
        self._context.workspace.close(whole=self._use.under_way is None)
        self._pragmas.close()


_COMMIT, _ROLLBACK = (LoggedOperation(classify(text), ()) for text in ("COMMIT", "ROLLBACK"))
_NOTHING = Result()

_REFUSED = {
    StatementKind.ATTACH: "ATTACH is not supported: open a second connection to the other database",
    StatementKind.DETACH: "DETACH is not supported, as ATTACH is not",
}


def _closed() -> InterfaceError:
    return InterfaceError("the connection is closed")


def _refuse(sql: str, statement: Statement) -> None:
    """Raise the error for a text that Rome never runs."""
    if statement.multiple:
        check_syntax(split_script(sql)[0])
        raise ProgrammingError("You can only execute one statement at a time.")
    raise NotSupportedError(
        "SKIP LOCKED is not supported: a transaction that is changing a row need not have locked it, so "
        "there is no telling which rows to skip. Take the row by the change itself: UPDATE .. WHERE id = "
        "(SELECT id .. ORDER BY .. LIMIT 1) RETURNING .."
    )
