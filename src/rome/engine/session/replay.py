"""Runs operations in transactions; after a conflict, replays the transaction on a new snapshot or gives up.

Checked replay: when the store reports a conflict, the transaction runs again on a new snapshot, statement by statement.
It is committed only if each statement gives exactly what the application already saw; otherwise the conflict is raised.
A blind retry would lose updates. (What "exactly" means: rome.engine.session.comparison.)
"""

from __future__ import annotations

from collections.abc import Sequence

from rome.engine.attempt.attempt import Attempt, Beginning, Phase
from rome.engine.attempt.context import ConnectionContext
from rome.engine.attempt.replay_log import LoggedOperation
from rome.engine.observing.observer import Tracer
from rome.engine.options import READ_COMMITTED, Isolation
from rome.engine.reading.reader import CatalogMoved
from rome.engine.result import Result, UnreadRows
from rome.engine.session.comparison import ReplayVerdict, run_again
from rome.engine.session.conflict_words import tell
from rome.engine.session.dispatch import Statements
from rome.engine.session.states import IDLE, ConnectionState, Failed
from rome.engine.statement.schema import SchemaVersion
from rome.errors import (
    CatalogChangedError,
    CommitAbortedError,
    ConflictError,
    Error,
    IntegrityError,
    SnapshotLostError,
    StoreUnavailableError,
    StreamEndedError,
    TurnTakenError,
)
from rome.transaction.commit_turn import CLIENT, LOSERS, CommitTurn, of_thread
from rome.workingset.workingset import SqlRow

_NOTHING = Result()


class Replay:
    """The transactions of one connection, one after the other.

    Attributes:
        state: what is open; only this class and rome.engine.session.interrupted change it.
        last: the attempt that was open when the current operation began, or that was begun since, even if it has ended.
        turn: the connection's CommitTurn.
    """

    def __init__(self, context: ConnectionContext, statements: Statements, tracer: Tracer | None) -> None:
        self._context = context
        self._statements = statements
        self._tracer = tracer
        self.state: ConnectionState = IDLE
        self.last: Attempt | None = None
        self.turn = CommitTurn(context.store, enabled=context.options.commit_turn)

    def begin(self) -> Attempt:
        """Return the open attempt, or begin one. No round trip, unless other transactions have priority."""
        state = self.state
        if type(state) is Attempt:
            return state
        incarnation = self._context.store.last_snapshot().incarnation
        if LOSERS and (CLIENT.get() or of_thread.client).lost:
            self.turn.before_first_read(incarnation)
        self.state = self.last = state = Attempt.begin(self._context, incarnation)
        return state

    # ------------------------------------------------------------ operations
    def run(self, operation: LoggedOperation) -> Result:
        """Run an operation in the transaction, and log what the application sees of the result.

        Raises:
            rome.errors.Error: raised by the operation. After a ConflictError the transaction has failed; if it already
                has, that is raised again.
        """
        if type(self.state) is Failed:
            raise self.state.error()
        while True:
            try:
                outcome = self._outcome(operation)
            except ConflictError as conflict:  # the snapshot is gone, or has another schema
                self._replay_or_fail(conflict)
                continue
            break
        state = self.state
        if type(state) is Attempt:
            state.log.add(operation, outcome)  # from here on the result stands, even if we are interrupted
        if type(outcome) is Result:
            return outcome
        assert isinstance(outcome, Error)
        raise outcome

    def run_alone(self, operation: LoggedOperation) -> Result:
        """Run an operation as its own transaction. It may simply run again: the application has seen nothing of it."""
        if type(self.state) is Failed:
            raise self.state.error()
        context, max_replays = self._context, self._context.options.max_replays
        for number in range(1, max_replays + 2):
            current = self.begin()
            try:
                if number > 1:
                    current.refresh()
                outcome = self._outcome(operation)
                if isinstance(outcome, Result) and outcome.more is not None and outcome.more.reads:
                    return outcome  # the transaction ends with the stream
                if type(self.state) is Attempt:  # also after an error: INSERT OR FAIL keeps the rows before it
                    self._commit_in_turn(self.state)
                if isinstance(outcome, Error):
                    raise outcome
            except (ConflictError, CommitAbortedError) as conflict:
                self._note(conflict, current)
                context.stats.conflicts += isinstance(conflict, ConflictError)
                if number > max_replays or not conflict.retryable:
                    tell(conflict, current)
                    self._give_up(conflict)
                    raise
                self._discard(conflict)
                context.workspace.working_set.counters = current.counters
                context.stats.replays += 1
                self.turn.before_replay(number)
            except Error:
                if self.state is current:  # its COMMIT failed because of a deferred key, and nothing was changed
                    context.workspace.working_set.changes = 0
                    context.workspace.working_set.total_changes = current.counters.total_changes
                self.end(committed=False)
                self.turn.leave()
                self.state = IDLE
                raise
            else:
                return outcome
        raise AssertionError("unreachable")

    def _outcome(self, operation: LoggedOperation) -> Result | Error:
        """Run an operation, and return its result, or its error if that leaves the transaction as it was.

        Raises:
            ConflictError: the transaction must start again. StoreUnavailableError and similar: the transaction is over.
        """
        state = self.state
        current = state if type(state) is Attempt else self.begin()
        savepoints = len(current.savepoints)
        isolation, statement = self._context.isolation, operation.statement
        while True:
            try:
                if isolation is READ_COMMITTED and statement.reads_or_writes_rows:
                    current.new_snapshot()
                    self._claim_rows(current, operation)
                elif statement.for_update and statement.reads_or_writes_rows:
                    self._claim_rows(current, operation)
                held = current.transaction.held
                if held is not None and held.failure is not None:
                    current.transaction.check_held()
                return self._statements.run(current, operation, isolation)
            except CatalogMoved as moved:
                current.take_newer(moved)
            except ConflictError:
                raise
            except Error as error:
                if isinstance(error, StoreUnavailableError):  # the connection is lost, and the transaction with it
                    self.roll_back()
                    self.state = Failed(error)
                    raise
                if current.transaction.snapshot is None and current.schema_is_stale():
                    continue
                if self._context.workspace.working_set.was_ended:  # INSERT OR ROLLBACK
                    self.roll_back()
                assert savepoints == len(current.savepoints)
                return error

    def read_on(self, stream: UnreadRows) -> Sequence[SqlRow]:
        """The next rows of a stream.

        Raises:
            StreamEndedError: its transaction has ended. rome.errors.Error: as Session.execute; after a ConflictError
                the transaction has failed.
        """
        state = self.state
        if stream.reads and not self.has_snapshot_of(stream):
            stream.refuse(state.error() if type(state) is Failed else StreamEndedError.of())
        try:
            return stream.next_rows()
        except ConflictError as conflict:
            if self.has_snapshot_of(stream):
                self._replay_or_fail(conflict)  # which fails, as what was streamed cannot be compared
            raise
        except StoreUnavailableError as error:
            if self.has_snapshot_of(stream):
                self.roll_back()
                self.state = Failed(error)
            raise

    def has_snapshot_of(self, stream: UnreadRows) -> bool:
        """Whether the open transaction still has the snapshot at which a stream reads."""
        state = self.state
        return type(state) is Attempt and stream.is_of(state.transaction)

    def _claim_rows(self, current: Attempt, operation: LoggedOperation) -> None:
        """Before a statement locks or changes rows, wait for the transactions that claimed those rows first.

        Raises:
            ConflictError: the rows have probably changed meanwhile, so the transaction needs a new snapshot.
        """
        isolation = self._context.isolation
        if isolation is Isolation.AUTOCOMMIT and current.beginning is Beginning.STATEMENT:
            return
        while claims := self._statements.claims(current, operation, isolation):
            if not self.turn.claim(claims) or current.transaction.snapshot is None:
                return
            if isolation is Isolation.READ_COMMITTED:  # other rows may be found now
                current.new_snapshot()
            elif current.may_be_replayed():
                raise ConflictError.of_locked_rows()
            else:
                return

    # ------------------------------------------------------------ ends
    def commit(self) -> None:
        """Commit the open transaction, and replay it after conflicts; no round trip if nothing was written.

        Raises:
            ConflictError: no replay could help; the transaction is rolled back.
            IntegrityError: one of its statements violates a constraint after another transaction's commit; the
                transaction is rolled back.
            CommitUnknownError: see there. ForeignKeyViolation: a deferred key; the transaction stays open.
        """
        while True:
            current = self.state
            assert type(current) is Attempt
            try:
                self._commit_in_turn(current)
            except (ConflictError, CommitAbortedError) as conflict:
                self._context.stats.conflicts += 1
                self._replay(conflict)
            else:
                return

    def _commit_in_turn(self, current: Attempt) -> None:
        """Commit once, waiting while other transactions have priority.

        Raises:
            as commit. Of a conflict the caller has to end the attempt.
        """
        while True:
            writes = current.harvest()
            if writes is None:
                self.end(committed=True)
                self.turn.committed(wrote=False)
                return
            try:
                wrote = current.send(writes, self.turn.ticket)
            except TurnTakenError as taken:
                if not self.turn.before_commit_again(taken, current.started, current.transaction.read_set):
                    raise
            except (ConflictError, CommitAbortedError):  # nothing was written, and it may be replayed
                raise
            except Error:
                current.keep_ids_taken()
                self.roll_back()
                raise
            else:
                self.end(committed=True)
                self.turn.committed(wrote=wrote)
                if self._tracer is not None and wrote:
                    self._tracer.committed(current, writes)
                return

    def roll_back(self, _: LoggedOperation | None = None) -> Result:
        """Discard the open or failed transaction. No round trip, unless it must leave the commit queue."""
        state, self.state = self.state, IDLE
        if type(state) is Attempt:
            if state.made_execution is not None:
                state.made_execution.ids.give_up()
            state.end(committed=False)
        self._context.defer_foreign_keys = False
        self.turn.leave()
        return _NOTHING

    def is_settled(self) -> bool:
        """Whether a ROLLBACK, while no transaction is open, would change nothing."""
        return self.turn.is_left and not self._context.defer_foreign_keys

    def end(self, *, committed: bool) -> None:
        """End the open attempt, if there is one."""
        self._context.defer_foreign_keys = False
        state = self.state
        if type(state) is Attempt:
            self.state = IDLE  # not later: if interrupted from here on, it is no longer open
            state.end(committed=committed)

    def leave_if_it_holds_nothing(self) -> None:
        """End an implicit transaction that has only read, before a statement that must run outside; no round trip.

        What the application has read so far then belongs to another transaction than the statement, as in sqlite3.
        """
        if type(self.state) is Attempt and self.state.holds_nothing():
            self.end(committed=True)
            self.turn.committed(wrote=False)

    def _note(self, conflict: ConflictError | CommitAbortedError, current: Attempt) -> None:
        """Take note of a conflict that an attempt has met, before it ends."""
        self.turn.met(conflict, current.started, current.transaction.read_set)
        if self._tracer is not None:
            self._tracer.met_conflict(conflict, current)

    def _give_up(self, conflict: ConflictError | CommitAbortedError) -> None:
        """End the transaction as failed; the caller raises the conflict."""
        self._discard(conflict)
        self.turn.failed()

    def _discard(self, conflict: ConflictError | CommitAbortedError) -> None:
        """End an attempt. If the catalog has changed, the next attempt does not begin with the same schema."""
        self.end(committed=False)
        if isinstance(conflict, CatalogChangedError):
            self._context.workspace.take(SchemaVersion.empty())

    # ------------------------------------------------------------ again
    def _replay(self, conflict: ConflictError | CommitAbortedError) -> None:
        """Run the whole transaction again on a new snapshot, until a run meets no conflict.

        Raises:
            the conflict: the transaction may not be replayed, or shows the application something else; it is over.
            IntegrityError: a statement now violates a constraint (see comparison); the transaction is over, too.
        """
        while True:
            before = self.state
            assert type(before) is Attempt
            self._note(conflict, before)
            took_too_long = before.number > 1 and not conflict.retryable  # even without the application's own time
            lost_ids = isinstance(conflict, SnapshotLostError) and before.has_ids()  # the store may give them to others
            if took_too_long or lost_ids or not before.may_be_replayed():
                tell(conflict, before)
                self._give_up(conflict)
                raise conflict
            self.end(committed=False)
            self.turn.before_replay(before.number)
            self._context.stats.replays += 1
            try:
                verdict = self._run_again(before)
            except ConflictError as again:
                conflict = again
                continue
            if verdict.same:
                return
            tell(conflict, before)
            self.end(committed=False)
            self.turn.failed()
            if verdict.violation is not None:
                raise verdict.violation from conflict
            raise conflict

    def _run_again(self, before: Attempt) -> ReplayVerdict:
        """Run one more attempt of a transaction, to its end or to the first difference."""
        self.turn.before_first_read(self._context.store.last_snapshot().incarnation)
        self.state = self.last = current = before.next()
        current.refresh()
        current.check_ids(before)
        verdict = run_again(current, self._outcome, self._context.isolation)
        current.phase = Phase.OPEN
        return verdict

    def _replay_or_fail(self, conflict: ConflictError) -> None:
        """In the middle of a transaction, replay it, or let it fail until it is rolled back."""
        self._context.stats.conflicts += 1
        try:
            self._replay(conflict)
        except IntegrityError:  # of an earlier statement, not of the one that now runs
            self.state = Failed(conflict)
            raise conflict from None
        except ConflictError as final:
            self.state = Failed(final)
            raise
