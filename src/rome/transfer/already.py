"""Rows that a target's table has before anything is copied: those that a service's migrations insert."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from sqlalchemy import delete
from sqlalchemy.engine import Engine

from rome.transfer.errors import TransferError
from rome.transfer.rows import Rows, arrived
from rome.transfer.schema import TableWays
from rome.transfer.values import Checksum

_FEW = 1_000
"""Rows that migrations may insert into a table; and that one transaction deletes."""


def already_there(target: Engine, ways: TableWays, source_pages: Callable[[], Iterator[Rows]]) -> Checksum | None:
    """Look at what the table holds, and empty it if the source has all of it, too.

    Returns:
        the checksum of the source's rows, if the table holds just these; None: it is empty now.

    Raises:
        TransferError: it holds a row that the source does not have.

    Cost: reads both tables, if the target's has rows.
    """
    kinds = [column.type for column in ways.target.columns]
    found, few = Checksum(kinds), Counter[int]()
    for page in arrived(target, ways):
        found.add(page)
        if found.rows <= _FEW:
            few.update(found.digests(page))
    if not found.rows:
        return None
    expected = Checksum(kinds)
    for page in source_pages():
        expected.add(page)
        if found.rows <= _FEW:
            few.subtract(digest for digest in expected.digests(page) if digest in few)
    if found == expected:
        return expected
    if found.rows > _FEW or any(count > 0 for count in few.values()):
        raise TransferError(
            f"table {ways.target.name} of the target has rows already, and they are not the source's: empty it, or "
            "copy into an empty database"
        )
    with target.begin() as connection:
        connection.execute(delete(ways.target))
    return None
