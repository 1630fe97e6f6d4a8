"""SAVEPOINT, RELEASE and ROLLBACK TO in an open transaction: in the working set, and in `contents`."""

from __future__ import annotations

from rome.engine.attempt.attempt import Attempt, Beginning, Savepoint
from rome.planner.parse.statement import Statement, StatementKind


def run(current: Attempt, statement: Statement) -> None:
    """Set a savepoint, release it, or roll back to it.

    Raises:
        OperationalError: there is no savepoint of this name; the message is SQLite's.
        ForeignKeyViolation: the release would commit, but a deferred key is violated; the savepoint stays.
    """
    workspace = current.context.workspace
    name = (statement.name or "").lower()
    if statement.kind is StatementKind.SAVEPOINT:
        contents = workspace.working_set.contents.copy()
        workspace.working_set.query(statement.text, ())
        made = current.made_execution
        ids_taken = 0 if made is None else len(made.ids.taken)
        current.savepoints.append(Savepoint(name, contents, current.schema, ids_taken))
        return
    if statement.kind is StatementKind.RELEASE and current.beginning is Beginning.SAVEPOINT:
        _check_before_last_release(current, name)
    workspace.working_set.query(statement.text, ())  # SQLite raises the error if there is none of this name
    position = max(i for i, savepoint in enumerate(current.savepoints) if savepoint.name == name)
    if statement.kind is StatementKind.RELEASE:
        del current.savepoints[position:]
        return
    savepoint = current.savepoints[position]
    del current.savepoints[position + 1 :]
    workspace.working_set.contents = savepoint.contents.copy()
    if current.made_execution is not None:
        current.made_execution.ids.give_up(savepoint.ids_taken)
    if current.schema is not savepoint.schema:
        current.reader.schema = savepoint.schema
        workspace.open_mirror(savepoint.schema)
        current.reader.forget_decoded()
    elif workspace.working_set.temporary_changed:
        workspace.undo_temporary(savepoint.schema)


def _check_before_last_release(current: Attempt, name: str) -> None:
    """Check deferred foreign keys before the release that commits: if one is violated, the savepoint stays."""
    if [at for at, savepoint in enumerate(current.savepoints) if savepoint.name == name][-1:] == [0]:
        if current.context.foreign_keys:
            current.reader.working_set.check_temporary_keys()
        current.check_deferred_keys()
