"""Copy the rows of one table, resumable, and compare what has arrived."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import InvalidRequestError

from rome import bulk
from rome.transfer.family import begin_snapshot
from rome.transfer.rows import pages
from rome.transfer.schema import TableWays
from rome.transfer.values import Checksum, carried


class TransferError(InvalidRequestError):
    """A database cannot be copied, or what has arrived differs."""


class CopyProgress(NamedTuple):
    """How far a copy has come.

    Attributes:
        table: which is under way.
        rows: committed so far, in all tables.
        total: how many there are in all.
    """

    table: str
    rows: int
    total: int


OnCopy = Callable[[CopyProgress], object]


def count(connection: Connection, ways: TableWays) -> int:
    """The rows of the source's table."""
    return int(connection.execute(select(func.count()).select_from(ways.source)).scalar_one())


def copy_rows(
    connection: Connection, target: Engine, ways: TableWays, progress: Callable[[int], object], *, job: str
) -> Checksum:
    """Copy a table's rows in bounded commits; returns the checksum of all of them.

    If the job was cut off before, the rows that have arrived are passed over.
    """
    source, made = ways
    checksum = Checksum([column.type for column in made.columns])
    names = [column.name for column in made.columns]
    kinds = [column.type for column in made.columns]

    def rows() -> Iterator[dict[str, Any]]:
        for page in pages(connection, source):
            came = [tuple(map(carried, row, kinds)) for row in page]
            checksum.add(came)
            for row in came:
                yield dict(zip(names, row, strict=True))

    def tell(done: bulk.BulkProgress) -> None:
        progress(done.rows)

    try:
        bulk.insert(target, made, rows(), job=job, progress=tell)
    except bulk.BulkJobFinishedError:
        for _ in rows():  # for the checksum
            pass
    return checksum


def compare(target: Engine, ways: TableWays, expected: Checksum) -> None:
    """Read what has arrived.

    Raises:
        TransferError: the number of the rows or their checksum differs.
    """
    found = Checksum([column.type for column in ways.target.columns])
    with target.connect() as connection:
        for page in pages(begin_snapshot(connection), ways.target):
            found.add(page)
    if found != expected:
        raise TransferError(
            f"table {ways.target.name} differs: {expected.rows:,} rows with checksum {expected} were read, and "
            f"{found.rows:,} rows with checksum {found} have arrived"
        )
