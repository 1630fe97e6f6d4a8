"""Update or delete more rows than one transaction may write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Column, Select, Table, and_, bindparam, select
from sqlalchemy import Delete as DeleteStatement
from sqlalchemy import Update as UpdateStatement
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError

from rome.bulk.job import Job
from rome.bulk.paging import ranges_after
from rome.bulk.pieces import ROWS_PER_COMMIT, Pieces
from rome.bulk.progress import Counter, OnProgress
from rome.retry import run_transaction

Key = tuple[Any, ...]
"""The values of a row's primary key."""


def update(
    engine: Engine,
    statement: UpdateStatement,
    *,
    job: str | None = None,
    rows_per_commit: int = ROWS_PER_COMMIT,
    progress: OnProgress | None = None,
) -> int:
    """Run an UPDATE of any size in bounded commits; returns how many rows this call has changed.

    The rows are found by pages of the primary key. A row that begins to satisfy the condition behind the page that is
    being changed is not changed; one that ceases to satisfy it before its turn is not changed, either.

    Args:
        statement: of a table with a primary key, which it does not set.
        job: a name under which the key of the last row is kept, so that the call can be repeated after it was cut off,
            without changing a row twice. The key must consist of numbers and texts.
        rows_per_commit: at most; where so many are too large for the store, fewer.
        progress: called after each commit.

    Raises:
        ArgumentError: the table has no primary key, or the statement sets it.
        BulkJobError: the job is finished, or another process runs it.
        DBAPIError: of the database. Complete commits stay.

    Cost: one read of a page of keys and one commit per `rows_per_commit` rows. The condition decides how the keys are
    found: pages go along the primary key, so all keys of the table are passed once.
    """
    _check_sets_no_key(statement)
    return _change(engine, statement, job, rows_per_commit, progress)


def delete(
    engine: Engine,
    statement: DeleteStatement,
    *,
    job: str | None = None,
    rows_per_commit: int = ROWS_PER_COMMIT,
    progress: OnProgress | None = None,
) -> int:
    """Run a DELETE of any size in bounded commits; returns how many rows this call has deleted.

    Args, Raises and Cost are those of update(). Rows that foreign keys delete with them are not counted; they add to
    the size of a commit.
    """
    return _change(engine, statement, job, rows_per_commit, progress)


def _change(
    engine: Engine,
    statement: UpdateStatement | DeleteStatement,
    job: str | None,
    rows_per_commit: int,
    progress: OnProgress | None,
) -> int:
    if rows_per_commit < 1:
        raise ValueError(f"rows_per_commit must be positive, not {rows_per_commit}")
    columns = _key_of(statement)
    position = Job(engine, job)
    counter = Counter(progress)

    def apply(connection: Connection, keys: Sequence[Key]) -> int:
        if len(columns) == 1:
            changed = connection.execute(statement.where(columns[0].in_([key[0] for key in keys])))
        else:
            names = [f"rome_key_{at}" for at in range(len(columns))]
            equal = and_(*(column == bindparam(name) for column, name in zip(columns, names, strict=True)))
            changed = connection.execute(statement.where(equal), [dict(zip(names, key, strict=True)) for key in keys])
        return changed.rowcount

    pieces = Pieces(engine, position, counter, apply, lambda keys: [*keys[-1]])
    last = None if position.position is None else tuple(position.position)
    for keys in _pages(engine, statement, columns, last, rows_per_commit):
        pieces.run(keys)
    position.finish()
    return counter.rows


def _pages(
    engine: Engine,
    statement: UpdateStatement | DeleteStatement,
    columns: Sequence[Column[Any]],
    last: Key | None,
    size: int,
) -> Iterator[list[Key]]:
    """The keys of the rows that satisfy the condition, after `last`, page by page."""
    while True:
        keys: list[Key] = []
        for range_ in ranges_after(columns, last):
            query = select(*columns).where(*range_)
            if statement.whereclause is not None:
                query = query.where(statement.whereclause)
            query = query.order_by(*columns).limit(size - len(keys))
            keys += run_transaction(engine, partial(_keys, query))
            if len(keys) == size:
                break
        if not keys:
            return
        yield keys
        last = keys[-1]


def _keys(query: Select[Any], connection: Connection) -> list[Key]:
    return [tuple(row) for row in connection.execute(query)]


def _key_of(statement: UpdateStatement | DeleteStatement) -> list[Column[Any]]:
    table = statement.table
    if not isinstance(table, Table):
        raise ArgumentError(f"rome.bulk changes a table, not a {type(table).__name__}")
    columns = [*table.primary_key.columns]
    if not columns:
        raise ArgumentError(f"rome.bulk goes along the primary key, and table {table.name} has none")
    return columns


def _check_sets_no_key(statement: UpdateStatement) -> None:
    names = {column.name for column in _key_of(statement)}
    # SQLAlchemy has no public way to ask; 2.0 keeps ordered_values() apart.
    given = [*(statement._values or ()), *(key for key, _ in getattr(statement, "_ordered_values", None) or ())]
    forbidden = sorted(names & {getattr(key, "name", str(key)) for key in given})
    if forbidden:
        raise ArgumentError(f"rome.bulk goes along the primary key, so it cannot set {', '.join(forbidden)}")
