"""Write a database into an archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import BinaryIO

from sqlalchemy.engine import URL

from rome.archive.format import MAGIC, VERSION, FrameWriter
from rome.archive.tally import OnTally, RowCounter, Tally
from rome.dbapi.admin import database_exists
from rome.dbapi.connection import connect
from rome.dbapi.url import for_a_long_read, make_url
from rome.engine.session.stored import StoredDatabase
from rome.errors import OperationalError
from rome.kv import copies

ROWS_PER_FRAME = 1_000

Frame = tuple[object, ...]


def dump(url: str | URL, file: BinaryIO, progress: OnTally | None = None) -> Tally:
    """Write a database, as it is at one moment, into an archive; returns the rows by table.

    Others may write meanwhile. The archive holds tables with all rows and their rowids, indexes, views, triggers,
    sqlite_sequence, PRAGMA user_version and application_id, and the keys and collections of rome.kv.

    Args:
        file: open for writing, in binary mode; it stays open.
        progress: called after each piece of a table.

    Raises:
        OperationalError: there is no such database.
        TransactionTooLongError: others have replaced more meanwhile than the retention's bytes.
        Error: of the store. The file is incomplete, and load() refuses it.

    Cost: reads every table chunk by chunk, in the memory of one chunk.
    """
    url = make_url(url)
    if not database_exists(url):
        raise OperationalError(f"there is no database {url.database}")
    counter, writer = RowCounter(progress), FrameWriter(file)
    with closing(connect(for_a_long_read(url))) as connection:
        writer.write(MAGIC, VERSION, {"made": datetime.now(UTC).isoformat(timespec="seconds")})
        for frame in connection.session.stored(_frames):
            writer.write(*frame)
            if frame[0] == "table":
                counter.begin(str(frame[1]))
            elif frame[0] == "rows":
                assert isinstance(frame[2], list)
                counter.add(str(frame[1]), len(frame[2]))
            else:
                counter.add_kv(*frame)
    writer.close(counter.tables)
    return counter.tally


def _frames(stored: StoredDatabase) -> Iterator[Frame]:
    yield "header", stored.header
    for item in stored.objects:
        if item.type == "table":
            table = stored.tables[item.name.lower()]
            names = [column.name for column in table.columns if not column.generated]
            yield "table", item.name, item.sql, names, not table.without_rowid and table.rowid_alias is None
        else:
            yield item.type, item.name, item.sql
    for table in stored.tables.values():
        kept = [at for at, column in enumerate(table.columns) if not column.generated]
        with_rowid = not table.without_rowid and table.rowid_alias is None
        for chunk in stored.rows(table):
            rows = [[*([rowid] if with_rowid else []), *(values[at] for at in kept)] for rowid, values in chunk]
            for start in range(0, len(rows), ROWS_PER_FRAME):
                yield "rows", table.name, rows[start : start + ROWS_PER_FRAME]
    yield "sequences", stored.sequences()
    yield from copies.frames(stored.transaction)
