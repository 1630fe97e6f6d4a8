"""Insert more rows than one transaction may write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Table
from sqlalchemy import insert as insert_into
from sqlalchemy.engine import Connection, Engine

from rome.bulk.batch import Batch, batch_of
from rome.bulk.job import BulkJobError, Job
from rome.bulk.pieces import ROWS_PER_COMMIT, Pieces
from rome.bulk.progress import Counter, OnProgress

Item = TypeVar("Item")


def insert(
    engine: Engine,
    table: Table,
    rows: Iterable[Mapping[str, Any]],
    *,
    job: str | None = None,
    rows_per_commit: int = ROWS_PER_COMMIT,
    progress: OnProgress | None = None,
) -> int:
    """Insert rows in bounded commits; returns how many this call has inserted.

    Args:
        rows: {column: value} for each row, all with the same columns. They are read as they are needed, so a generator
            can be longer than memory.
        job: a name under which the position is kept, so that the call can be repeated after it was cut off. The rows
            must come again in the same order; those that are there already are passed over.
        rows_per_commit: at most; where so many are too large for the store, fewer.
        progress: called after each commit.

    Raises:
        ValueError: rows_per_commit is not positive.
        BulkJobError: the job is finished, another process runs it, or it had more rows before.
        DBAPIError: of the database. Complete commits stay.

    Cost: one commit per `rows_per_commit` rows, each as executemany of so many.
    """
    statement = insert_into(table)

    def apply(connection: Connection, piece: Sequence[Mapping[str, Any]]) -> None:
        connection.execute(statement, [*piece])

    return _insert(engine, rows, apply, job, rows_per_commit, progress)


def insert_tuples(
    engine: Engine,
    table: Table,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    job: str | None = None,
    progress: OnProgress | None = None,
) -> int:
    """Insert rows as `insert` does, given as the values of these columns; the table has no defaults of SQLAlchemy's.

    Cost: for a driver with positional parameters, without the work of SQLAlchemy's for each row.
    """
    batch: Batch | None = batch_of(engine, table, columns)
    if batch is None:
        mappings = (dict(zip(columns, row, strict=True)) for row in rows)
        return insert(engine, table, mappings, job=job, progress=progress)
    return _insert(engine, rows, batch.execute, job, ROWS_PER_COMMIT, progress)


def _insert(
    engine: Engine,
    rows: Iterable[Item],
    apply: Callable[[Connection, Sequence[Item]], object],
    job: str | None,
    rows_per_commit: int,
    progress: OnProgress | None,
) -> int:
    if rows_per_commit < 1:
        raise ValueError(f"rows_per_commit must be positive, not {rows_per_commit}")
    position = Job(engine, job)
    counter = Counter(progress)
    source = iter(rows)
    done: int = position.position or 0
    if sum(1 for _ in islice(source, done)) < done:
        raise BulkJobError(f"the job {job!r} has inserted {done:,} rows; now there are fewer")

    def counted(connection: Connection, piece: Sequence[Item]) -> int:
        apply(connection, piece)
        return len(piece)

    def after(piece: Sequence[Item]) -> int:
        return (position.position or 0) + len(piece)

    pieces = Pieces(engine, position, counter, counted, after)
    for piece in _pieces(source, rows_per_commit):
        pieces.run(piece)
    position.finish()
    return counter.rows


def _pieces(rows: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while piece := [*islice(rows, size)]:
        yield piece
