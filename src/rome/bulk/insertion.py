"""Insert more rows than one transaction may write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Table
from sqlalchemy import insert as insert_into
from sqlalchemy.engine import Connection, Engine

from rome.bulk.job import BulkJobError, Job
from rome.bulk.pieces import ROWS_PER_COMMIT, Pieces
from rome.bulk.progress import Counter, OnProgress


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
    if rows_per_commit < 1:
        raise ValueError(f"rows_per_commit must be positive, not {rows_per_commit}")
    position = Job(engine, job)
    counter = Counter(progress)
    source = iter(rows)
    done: int = position.position or 0
    if sum(1 for _ in islice(source, done)) < done:
        raise BulkJobError(f"the job {job!r} has inserted {done:,} rows; now there are fewer")
    statement = insert_into(table)

    def apply(connection: Connection, piece: Sequence[Mapping[str, Any]]) -> int:
        connection.execute(statement, [*piece])
        return len(piece)

    def after(piece: Sequence[Mapping[str, Any]]) -> int:
        return (position.position or 0) + len(piece)

    pieces = Pieces(engine, position, counter, apply, after)
    for piece in _pieces(source, rows_per_commit):
        pieces.run(piece)
    position.finish()
    return counter.rows


def _pieces(rows: Iterator[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    while piece := [*islice(rows, size)]:
        yield piece
