"""Change more rows than one transaction may: in many bounded commits, with progress, and resumable.

    import rome.bulk

    rome.bulk.insert(engine, table, rows, job="load the archive")
    rome.bulk.update(engine, update(servers).values(deleted=True).where(servers.c.created < limit))
    rome.bulk.delete(engine, delete(servers).where(servers.c.deleted))

Each commit takes a bounded number of rows; if that is still too large for the store, half of them. A conflict with
another transaction costs one commit's work, which is run again. The whole is not atomic: others see it grow, and what
an error leaves is complete commits. With a `job` the position is kept in the database, in the table rome_bulk, by the
same commits: whoever starts the same job again goes on where it was cut off, and no row is changed twice, not even if
the answer to a commit was lost.

The functions take any engine of SQLAlchemy's, so that the same program can fill another database.
"""

from rome.bulk.changes import delete, update
from rome.bulk.insertion import insert
from rome.bulk.job import JOBS, BulkJobError, BulkJobFinishedError, forget
from rome.bulk.pieces import ROWS_PER_COMMIT
from rome.bulk.progress import BulkProgress

__all__ = [
    "JOBS",
    "ROWS_PER_COMMIT",
    "BulkJobError",
    "BulkJobFinishedError",
    "BulkProgress",
    "delete",
    "forget",
    "insert",
    "update",
]
