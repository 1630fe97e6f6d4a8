"""Runs a transaction again on a new snapshot, and says how that differs from what the application was shown.

A replay that differs ends the transaction. If the first difference is a statement that succeeded and now violates a
constraint, the application is told of that violation: had the transaction run after the others, it would have failed
at this statement, in these words. So "insert, and catch IntegrityError" works although the winner of the race
committed after the statement ran.

  * SERIALIZABLE: everything before the statement must have come out as it did. A transaction that looked for the row
    before it inserted it gets the conflict, since it is the look that has to be repeated. (PostgreSQL does the same.)
  * Below SERIALIZABLE, what a plain SELECT showed need not hold until COMMIT, so it does not hide the violation.
  * A statement inside a savepoint: the application is prepared to handle its failure there, and to go on. After the
    conflict it can run the transaction again, and then the statement fails where that is expected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rome.engine.attempt.attempt import Attempt, Beginning
from rome.engine.attempt.replay_log import LoggedOperation, same_outcome
from rome.engine.options import Isolation
from rome.engine.result import Result
from rome.errors import Error, IntegrityError
from rome.planner.parse.statement import Statement, StatementKind


class ReplayVerdict(NamedTuple):
    """The outcome of a replay: the same as before; or not, perhaps with a violation that must be raised."""

    same: bool
    violation: IntegrityError | None = None


def run_again(
    current: Attempt, run: Callable[[LoggedOperation], Result | Error], isolation: Isolation
) -> ReplayVerdict:
    """Run all that the log of a new attempt holds, up to where it comes out differently.

    Args:
        run: what runs one operation. Its exceptions are passed on.
    """
    below_serializable = isolation in (Isolation.SNAPSHOT, Isolation.READ_COMMITTED)
    savepoints: list[str] = []
    same = True
    for operation, shown in current.log.logged:
        statement = operation.statement
        outcome = run(operation)
        if same_outcome(outcome, shown):
            if isinstance(outcome, Result) and isinstance(shown, Result):
                shown.take_numbers(outcome)
                _follow(savepoints, statement)
            continue
        if isinstance(outcome, IntegrityError) and isinstance(shown, Result):
            guarded = len(savepoints) > (
                current.beginning is Beginning.SAVEPOINT
            )  # then the outermost one is the transaction
            return ReplayVerdict(False, None if guarded else outcome)
        if not (below_serializable and statement.kind is StatementKind.SELECT and not statement.for_update):
            return ReplayVerdict(False)
        same = False
    return ReplayVerdict(same)


def _follow(savepoints: list[str], statement: Statement) -> None:
    """Keep the names of the open savepoints, outermost first, after a statement that has succeeded."""
    name = (statement.name or "").lower()
    if statement.kind is StatementKind.SAVEPOINT:
        savepoints.append(name)
    elif statement.kind in (StatementKind.RELEASE, StatementKind.ROLLBACK_TO):
        position = max(n for n, each in enumerate(savepoints) if each == name)
        del savepoints[position + (statement.kind is StatementKind.ROLLBACK_TO) :]
