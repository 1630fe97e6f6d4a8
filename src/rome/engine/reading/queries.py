"""Run a query with the same result as on the whole database: read its plan, hydrate, run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from rome.codec.values import SqlValue
from rome.engine.reading.aggregate import answer
from rome.engine.reading.budget import once_more, within_budget
from rome.engine.reading.direct import show
from rome.engine.reading.joined import join
from rome.engine.reading.lookups import provide_lookups
from rome.engine.reading.overflow_rows import OverflowRows
from rome.engine.reading.overflowing import fill, overflow
from rome.engine.reading.passing import Passing
from rome.engine.reading.reader import Reader
from rome.engine.reading.streaming import stream
from rome.engine.reading.waves import gather, gather_unless_empty
from rome.engine.result import Result, UnreadRows
from rome.engine.statement.prepared import Prepared
from rome.errors import WorkingSetFullError
from rome.transaction.read_set import Validation
from rome.workingset.workingset import SqlRow


def read_plan(reader: Reader, prepared: Prepared, parameters: Sequence[SqlValue], check: Validation) -> None:
    """Read what a SELECT needs, so that the caller can run it.

    Raises:
        WorkingSetFullError: that is too much.
    """
    within_budget(reader, prepared, lambda: gather(reader, prepared.plan, parameters, check))


def query(
    reader: Reader, prepared: Prepared, parameters: Sequence[SqlValue], check: Validation, in_steps: bool
) -> Result:
    """Read what a SELECT needs and run it; answer it without SQLite if it is simple enough.

    Args:
        in_steps: whether the rows may come in steps, which they do where they do not fit in memory.

    Raises:
        WorkingSetFullError: that is too much.
    """
    plan, held = prepared.plan, reader.transaction.budget.used_bytes
    try:
        if plan.direct is not None:
            rows = show(reader, plan, parameters, check)
            if rows is not None:
                return Result(prepared.columns, rows, description=prepared.description)
        elif plan.joined is not None:
            rows = join(reader, plan, parameters, check)
            if rows is not None:
                return Result(prepared.columns, rows, description=prepared.description)
        rows = _run(reader, prepared, parameters, check)
        return Result(prepared.columns, rows, description=prepared.description)
    except WorkingSetFullError as error:
        full = error
    found = _run_full(reader, prepared, parameters, check, in_steps, held, full)
    if isinstance(found, list):
        return Result(prepared.columns, found, description=prepared.description)
    return Result(prepared.columns, more=found, description=prepared.description)


def _run_full(
    reader: Reader,
    prepared: Prepared,
    parameters: Sequence[SqlValue],
    check: Validation,
    in_steps: bool,
    held: int,
    full: WorkingSetFullError,
) -> list[SqlRow] | UnreadRows:
    """Do what `query` does in another way, after its rows have not fit in memory.

    Args:
        held: bytes that other statements' rows took when it began.
        full: what it has raised.
    """
    plan = prepared.plan

    def again() -> list[SqlRow]:
        rows = None if plan.direct is None else show(reader, plan, parameters, check)
        return _run(reader, prepared, parameters, check) if rows is None else rows

    try:
        return once_more(reader, prepared, again, held, full)
    except WorkingSetFullError:
        if in_steps and (steps := _steps(reader, prepared, parameters, check)) is not None:
            return steps
        rows = stream(reader, prepared, parameters, check)
        direct = plan.direct
        if rows is None and (
            direct is None or direct.reads_plan or direct.order
        ):  # else the result does not fit either
            rows = overflow(reader, prepared, parameters, check)
        if rows is None:
            raise
        return rows


def _steps(
    reader: Reader, prepared: Prepared, parameters: Sequence[SqlValue], check: Validation
) -> list[SqlRow] | UnreadRows | None:
    """Return a result of rows that pass through SQLite if it is small; else run the query on a temporary file."""
    with suppress(WorkingSetFullError):
        rows = stream(reader, prepared, parameters, check)
        if rows is not None:
            return rows
    database = fill(reader, prepared, parameters, check)
    if database is None:
        return None
    return OverflowRows(database, reader.working_set.interruption, prepared.statement.text, parameters)


def _run(reader: Reader, prepared: Prepared, parameters: Sequence[SqlValue], check: Validation) -> list[SqlRow]:
    """Read and hydrate all that the plan says, and let SQLite run the statement."""
    plan, working_set = prepared.plan, reader.working_set
    reader.passing = prepared
    try:
        stops = plan.decides and plan.may_be_empty(parameters)
        if gather_unless_empty(reader, plan, parameters, check, stops=stops) is None:
            return []
        passing = reader.passing
    finally:
        reader.passing = None
    if not working_set.begun:
        working_set.begin()
    if isinstance(passing, Passing) and passing.table is not None:
        with working_set.counting(passing.table, passing.rows):
            provide_lookups(reader, prepared)
        return passing.run(parameters)
    if working_set.contents.large:
        provide_lookups(reader, prepared)
    interruption = working_set.interruption
    interruption.running = True
    try:
        return working_set.query(prepared.statement.text, parameters)
    finally:
        interruption.running = False


def aggregate(
    reader: Reader, prepared: Prepared, parameters: Sequence[SqlValue], check: Validation
) -> list[SqlRow] | None:
    """Return the row of a SELECT that the store can answer without sending rows; None for any other SELECT."""
    questions = prepared.plan.questions(parameters)
    if questions is None:
        return None
    try:
        row = answer(reader, questions, check)
    except WorkingSetFullError:  # one row is too large; they can pass through SQLite, which is shown its columns
        return None
    return None if row is None else [row]
