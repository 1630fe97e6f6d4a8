"""Copy the rows of one table, resumable, and compare what has arrived."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.engine import Connection, Engine

from rome import bulk
from rome.bulk.insertion import insert_tuples
from rome.transfer.ahead import read_ahead
from rome.transfer.already import already_there
from rome.transfer.errors import TransferError
from rome.transfer.rows import Rows, arrived, pages
from rome.transfer.schema import TableWays
from rome.transfer.values import Carrier, Checksum


class CopyProgress(NamedTuple):
    """How far a copy has come.

    Attributes:
        table: which is under way.
        rows: committed so far, in all tables.
        total: how many there are in all.
        compares: whether the table is there, and is read again.
    """

    table: str
    rows: int
    total: int
    compares: bool = False


OnCopy = Callable[[CopyProgress], object]


def copy_rows(
    connection: Connection,
    target: Engine,
    ways: TableWays,
    progress: Callable[[int], object],
    *,
    job: str,
    may_be_there: bool = False,
) -> Checksum:
    """Copy a table's rows in bounded commits; returns the checksum of all of them.

    If the job was cut off before, the rows that have arrived are passed over.

    Args:
        may_be_there: whether the target's table may hold some of the rows already, as a service's migrations insert
            some. They are deleted before.

    Raises:
        TransferError: it holds other rows.
    """
    source, made = ways
    kinds = [column.type for column in made.columns]
    checksum, carrier = Checksum(kinds), Carrier(kinds)

    def carried_pages() -> Iterator[Rows]:
        for page in pages(connection, source):
            came = carrier.page(page)
            checksum.add(came)
            yield came

    before = _position(target, job)
    if may_be_there and before is None:
        already = already_there(target, ways, carried_pages)
        if already is not None:
            return already
        checksum = Checksum(kinds)

    def tell(done: bulk.BulkProgress) -> None:
        progress((before or 0) + done.rows)

    names = [column.name for column in made.columns]
    with read_ahead(carried_pages()) as read:
        rows = (row for page in read for row in page)
        try:
            insert_tuples(target, made, names, rows, job=job, progress=tell)
        except bulk.BulkJobFinishedError:
            for _ in rows:  # for the checksum
                pass
    return checksum


def compare(target: Engine, ways: TableWays, expected: Checksum) -> None:
    """Read what has arrived.

    Raises:
        TransferError: the number of the rows or their checksum differs.
    """
    found = Checksum([column.type for column in ways.target.columns])
    for page in arrived(target, ways):
        found.add(page)
    if found != expected:
        raise TransferError(
            f"table {ways.target.name} differs: {expected.rows:,} rows with checksum {expected} were read, and "
            f"{found.rows:,} rows with checksum {found} have arrived"
        )


def _position(target: Engine, job: str) -> int | None:
    """How many rows a copy that was cut off has committed; None: it has not begun."""
    with target.connect() as connection:
        found = connection.execute(select(bulk.JOBS.c.position).where(bulk.JOBS.c.job == job)).scalar()
    return None if found is None else json.loads(found) or 0
