"""Runs operations in transactions: again on a new snapshot after a conflict, or not any more.

Checked replay: when the store reports a conflict, the transaction runs again on a new snapshot, statement by
statement; only if each gives the application exactly what it already saw is it committed, otherwise the conflict is
raised. A blind retry would lose updates. (What "exactly" means: rome.engine.session.comparison.)
"""

from __future__ import annotations

from rome.engine.attempt.attempt import Attempt, Beginning, Phase
from rome.engine.attempt.commit_turn import CLIENT, CommitTurn, of_thread
from rome.engine.attempt.context import ConnectionContext
from rome.engine.attempt.replay_log import LoggedOperation
from rome.engine.options import Isolation
from rome.engine.reading.reader import CatalogMoved
from rome.engine.result import Result
from rome.engine.session.comparison import ReplayVerdict, run_again
from rome.engine.session.conflict_words import tell
from rome.engine.session.dispatch import Statements
from rome.engine.session.states import IDLE, Failed, State
from rome.engine.statement.schema import SchemaVersion
from rome.errors import (
    CatalogChangedError,
    CommitAbortedError,
    ConflictError,
    Error,
    IntegrityError,
    StoreUnavailableError,
    TurnTakenError,
)

_NOTHING = Result()


class Replay:
    """The transactions of one connection, one after the other.

    Attributes:
        state: what is open; only this class and rome.engine.session.interrupted change it.
        last: the attempt that was open when the operation began that is under way, or that was begun since; also when
            it has ended.
        turn: the connection's part in the commit turn.
    """

    def __init__(self, context: ConnectionContext, statements: Statements) -> None:
        self._context = context
        self._statements = statements
        self.state: State = IDLE
        self.last: Attempt | None = None
        self.turn = CommitTurn(context.store, enabled=context.options.commit_turn)

    def begin(self) -> Attempt:
        """The open attempt; a new one if there is none. No round trip, unless others come first."""
        state = self.state
        if type(state) is Attempt:
            return state
        incarnation = self._context.store.last_snapshot().incarnation
        if (CLIENT.get() or of_thread.client).lost:
            self.turn.before_first_read(incarnation)
        self.state = self.last = state = Attempt.begin(self._context, incarnation)
        return state

    # ------------------------------------------------------------ operations
    def run(self, operation: LoggedOperation) -> Result:
        """Run an operation in the transaction, and log what the application sees of it.

        Raises:
            rome.errors.Error: what the operation raises. After a ConflictError the transaction has failed.
        """
        while True:
            try:
                outcome = self._outcome(operation)
            except ConflictError as conflict:  # the snapshot is gone, or of another schema
                self._replay_or_fail(conflict)
                continue
            break
        if type(self.state) is Attempt:
            self.state.log.add(operation, outcome)  # from here on it stands, also if we are interrupted
        if isinstance(outcome, Error):
            raise outcome
        return outcome

    def run_alone(self, operation: LoggedOperation) -> Result:
        """Run an operation as a transaction of its own. Nobody has seen anything of it, so it may simply run again."""
        context, max_replays = self._context, self._context.options.max_replays
        for number in range(1, max_replays + 2):
            current = self.begin()
            try:
                if number > 1:
                    current.refresh()
                outcome = self._outcome(operation)
                if type(self.state) is Attempt:  # also after an error: INSERT OR FAIL keeps the rows before it
                    self._commit_in_turn(self.state)
                if isinstance(outcome, Error):
                    raise outcome
            except (ConflictError, CommitAbortedError) as conflict:
                self.turn.met(conflict, current.started, current.transaction.read_set)
                context.stats.conflicts += isinstance(conflict, ConflictError)
                if number > max_replays:
                    tell(conflict, current)
                    self._give_up(conflict)
                    raise
                self._discard(conflict)
                context.workspace.working_set.counters = current.counters
                context.stats.replays += 1
                self.turn.before_replay(number)
            except Error:
                if self.state is current:  # its COMMIT failed, of a deferred key: it has changed nothing
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
        """Run an operation; an error that leaves the transaction as it was is an outcome like a result.

        Raises:
            ConflictError: the transaction has to start anew. StoreUnavailableError and its like: it is over.
        """
        state = self.state
        current = state if type(state) is Attempt else self.begin()
        savepoints = len(current.savepoints)
        isolation, statement = self._context.isolation, operation.statement
        while True:
            try:
                if statement.reads_or_writes_rows:
                    if isolation is Isolation.READ_COMMITTED:
                        current.new_snapshot()
                        self._claim_rows(current, operation)
                    elif statement.for_update:
                        self._claim_rows(current, operation)
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

    def _claim_rows(self, current: Attempt, operation: LoggedOperation) -> None:
        """Before a statement locks or changes rows, wait for the transactions that claimed them first.

        Raises:
            ConflictError: they have probably changed meanwhile, so the transaction goes on with a new snapshot.
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
        """Commit what is open, replaying it after conflicts; no round trip when nothing was written.

        Raises:
            ConflictError: and no replay could help; the transaction is rolled back.
            IntegrityError: another transaction has committed first what one of its statements cannot stand beside; the
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
        """Commit once; while others come first, wait for them.

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
                return

    def roll_back(self, _: LoggedOperation | None = None) -> Result:
        """Forget what is open, also if it has failed. No round trip, unless there is a place in line to give up."""
        state, self.state = self.state, IDLE
        if type(state) is Attempt:
            if state.made_execution is not None:
                state.made_execution.ids.give_up()
            state.end(committed=False)
        self._context.defer_foreign_keys = False
        self.turn.leave()
        return _NOTHING

    def end(self, *, committed: bool) -> None:
        """End the attempt, if there is one."""
        self._context.defer_foreign_keys = False
        state = self.state
        if type(state) is Attempt:
            self.state = IDLE  # not later: interrupted from here on, it is not open any more
            state.end(committed=committed)

    def leave_if_it_holds_nothing(self) -> None:
        """End an implicit transaction that has only read, before a statement that must run outside. No round trip.

        What the application has read in it then belongs to another transaction, as in sqlite3.
        """
        if type(self.state) is Attempt and self.state.holds_nothing():
            self.end(committed=True)
            self.turn.committed(wrote=False)

    def _give_up(self, conflict: ConflictError | CommitAbortedError) -> None:
        """End the transaction: it has failed, and the conflict will be raised."""
        self._discard(conflict)
        self.turn.failed()

    def _discard(self, conflict: ConflictError | CommitAbortedError) -> None:
        """End an attempt. If the catalog has changed, the next attempt does not begin with the same schema."""
        self.end(committed=False)
        if isinstance(conflict, CatalogChangedError):
            self._context.workspace.take(SchemaVersion.empty())

    # ------------------------------------------------------------ again
    def _replay(self, conflict: ConflictError | CommitAbortedError) -> None:
        """Run the whole transaction again on a new snapshot, until that meets no conflict itself.

        Raises:
            the conflict: it may not be replayed, or would have shown the application something else; it is over.
            IntegrityError: a statement violates a constraint now (see comparison); it is over, too.
        """
        while True:
            before = self.state
            assert type(before) is Attempt
            self.turn.met(conflict, before.started, before.transaction.read_set)
            if not before.may_be_replayed():
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
        """Run one more attempt of a transaction, to its end, or to the first difference."""
        self.turn.before_first_read(self._context.store.last_snapshot().incarnation)
        self.state = self.last = current = before.next()
        current.refresh()
        verdict = run_again(current, self._outcome, self._context.isolation)
        current.phase = Phase.OPEN
        return verdict

    def _replay_or_fail(self, conflict: ConflictError) -> None:
        """In the middle of a transaction: replay it, or let it fail until it is rolled back."""
        self._context.stats.conflicts += 1
        try:
            self._replay(conflict)
        except IntegrityError:  # of a statement before this one, which must not be taken for the one that violates it
            self.state = Failed(conflict)
            raise conflict from None
        except ConflictError as final:
            self.state = Failed(final)
            raise
