"""Every exception that Rome raises: PEP 249's tree, and below it a class for each case that callers treat differently.

    Warning
    ├─ FullScanWarning             a statement reads a whole table (URL option full_scan=warn)
    └─ PersistenceWarning          the store may lose acknowledged commits when it or its machine stops
    Error
    ├─ InterfaceError              wrong use of the driver
    │  └─ URLError                 the URL cannot be understood
    └─ DatabaseError
       ├─ DataError
       ├─ OperationalError
       │  ├─ ConflictError         40001, retryable: nothing was written
       │  │  ├─ SnapshotTooOldError    what the snapshot reads was discarded
       │  │  │  └─ TransactionTooLongError   72000, not retryable: it would be so again
       │  │  ├─ SnapshotLostError      the snapshot belongs to a history that the store no longer has
       │  │  ├─ CatalogChangedError    the schema changed after the snapshot
       │  │  └─ TurnTakenError         it is another transaction's turn to change the row
       │  ├─ CommitUnknownError    40003: COMMIT was sent and not answered; the outcome is unknown
       │  ├─ InterruptedTransactionError  40001, retryable: an exception from outside interrupted a statement or COMMIT
       │  ├─ CommitAbortedError    40001, retryable: the connection broke, and the commit never arrived
       │  ├─ NotReplicatedError    01000: committed, but on fewer replicas than wait_replicas
       │  ├─ StoreUnavailableError 08006: no connection, or it was lost
       │  ├─ StoreBusyError        57P03, retryable: loading, busy with a script, failing over
       │  ├─ StoreFullError        53200: out of memory, disk or map space
       │  ├─ StoreReadOnlyError    25006: a replica, or a server that refuses writes
       │  ├─ StoreConfigError      55000: the server is set up in a way that can lose data
       │  ├─ AuthenticationError   28000: wrong password, or not permitted
       │  ├─ TransactionTooLargeError  54000
       │  ├─ IdsExhaustedError     2200H: a table's ids have reached 2^63 - 1
       │  ├─ WorkingSetFullError   54000: a statement needs more rows than max_working_set has room for
       │  ├─ StreamEndedError      24000: rows of a streamed result were asked for after the end of their transaction
       │  └─ FullScanError         the statement reads a whole table (full_scan=error)
       ├─ IntegrityError
       │  ├─ UniqueViolation       23505
       │  ├─ ForeignKeyViolation   23503
       │  ├─ NotNullViolation      23502
       │  └─ CheckViolation        23514
       ├─ InternalError
       │  ├─ CorruptRecordError    XX001: stored bytes that cannot be decoded
       │  └─ FormatError           the stored format is newer than this code
       ├─ MissingObjectError      02000: rome.kv: there is no object with this key
       ├─ ProgrammingError
       │  └─ VersionTokenError     what rome.at_least was given is no version of this database
       └─ NotSupportedError        names the construct, and the way out

Callers decide by fields, never by messages: `retryable`, `sqlstate`, and the fields of each class. The messages of
constraint violations are SQLite's, since applications and oslo.db match them. All errors can be pickled.
"""

from __future__ import annotations

from functools import partial
from typing import Self


class Warning(Exception):
    """PEP 249: an important warning."""


class FullScanWarning(Warning, UserWarning):
    """A statement reads a whole table, and the URL says full_scan=warn."""


class IgnoredPragmaWarning(Warning, UserWarning):
    """A PRAGMA has no effect where it was given, as in SQLite."""


class PersistenceWarning(Warning, UserWarning):
    """The store may lose acknowledged commits when it stops. Issued once for each server."""


class Error(Exception):
    """PEP 249: the base of all errors.

    Attributes:
        sqlstate: the SQLSTATE of the error, if there is one for it.
        retryable: whether nothing was written, and the same transaction may succeed when it runs again.
        sqlite_errorcode, sqlite_errorname: SQLite's (extended) result code, as in sqlite3; None if SQLite did not raise
            the error and has no code for it.
    """

    sqlstate: str | None = None
    retryable: bool = False
    sqlite_errorcode: int | None = None
    sqlite_errorname: str | None = None


class InterfaceError(Error):
    """PEP 249: wrong use of the driver, not of the database."""


class URLError(InterfaceError):
    """The URL cannot be understood; the message says what to write instead."""


class DatabaseError(Error):
    """PEP 249: an error of the database."""


class DataError(DatabaseError):
    """PEP 249: a value cannot be processed."""


class OperationalError(DatabaseError):
    """PEP 249: an error of the database's operation, not necessarily the programmer's."""


class IntegrityError(DatabaseError):
    """PEP 249: a constraint is violated."""


class InternalError(DatabaseError):
    """PEP 249: the database is in a state it should not be in."""


class ProgrammingError(DatabaseError):
    """PEP 249: wrong SQL, a missing table, wrong number of parameters."""


class MissingObjectError(DatabaseError):
    """There is no object with this key in the collection of rome.kv that is to be changed."""

    sqlstate = "02000"


class VersionTokenError(ProgrammingError):
    """What `rome.at_least` was given is not a version of this database, as `rome.last_version` gives it."""

    @classmethod
    def malformed(cls, token: object) -> Self:
        """For something that is not a token, or not a whole one."""
        return cls(f"{token!r:.80} is not a version that rome.last_version has given, or not all of it")

    @classmethod
    def of_another_database(cls, database: str) -> Self:
        """For a token of a database with another name."""
        return cls(f"the version is not one of database {database!r}: rome.last_version gave it for another database")

    @classmethod
    def of_another_history(cls) -> Self:
        """For a token of a database of the same name."""
        return cls(
            "the version is of another history of this database: since rome.last_version gave it, the database has "
            "failed over, was restored or made anew, so what the version had may be lost; or it is another server's "
            "database of the same name"
        )

    @classmethod
    def too_late(cls, snapshot: int, wanted: int) -> Self:
        """For a transaction that has read something older."""
        return cls(
            f"the open transaction reads version {snapshot}, which is older than version {wanted}: COMMIT or ROLLBACK "
            "first"
        )


class NotSupportedError(DatabaseError):
    """PEP 249: Rome cannot do this; the message names the construct and the way out."""

    sqlstate = "0A000"


class ConflictError(OperationalError):
    """Something that this transaction read has changed. Nothing was written: run the transaction again.

    Attributes:
        table: numeric id of the table; None if it is not a single table.
        index: numeric id of the index of which a range changed; None if a row changed.
        key: the key of the row, or the start of the range, that changed.
    """

    sqlstate = "40001"
    retryable = True
    sqlite_errorcode = 517  # SQLite's code for a write on an outdated snapshot
    sqlite_errorname = "SQLITE_BUSY_SNAPSHOT"

    def __init__(
        self, message: str, *, table: int | None = None, index: int | None = None, key: bytes | None = None
    ) -> None:
        super().__init__(message)
        self.table, self.index, self.key = table, index, key

    @classmethod
    def of_row(cls, table: int, key: bytes) -> Self:
        """A row has changed. Stores know only numeric ids; see `tell_row`."""
        error = cls("", table=table, key=key)
        error.tell_row(f"row {key.hex()} of table number {table}")
        return error

    @classmethod
    def of_range(cls, table: int, index: int, start: bytes) -> Self:
        """Something in a range of an index has changed; see `tell_rows`."""
        error = cls("", table=table, index=index, key=start)
        error.tell_rows(f"rows of table number {table} from {start.hex() or 'the first'} on in index {index}")
        return error

    @classmethod
    def of_locked_rows(cls) -> Self:
        """The rows that a statement locks were locked by another transaction, which may have changed them."""
        return cls(
            "another transaction had locked rows that this statement locks, and may have changed them since this one's "
            f"snapshot; {_RUN_AGAIN}"
        )

    @classmethod
    def of_taken_key(cls) -> Self:
        """A row that was committed after this transaction wrote one has the same key (READ COMMITTED)."""
        return cls(
            "a row that another transaction has committed meanwhile has a key of one that this transaction has "
            f"written; {_RUN_AGAIN}"
        )

    def tell_row(self, row: str) -> None:
        """Name the row in the message, as in "row id=1 of table post"."""
        self.args = (f"{row} was changed by another transaction since this one read it; {_RUN_AGAIN}",)

    def tell_rows(self, rows: str) -> None:
        """Name the range in the message, as in "rows of table post with state='new'"."""
        self.args = (
            f"another transaction has added, changed or deleted {rows} since this one read them; {_RUN_AGAIN}",
        )

    def advise(self, function: str) -> None:
        """Put the name of another function that runs the transaction again into the message."""
        self.args = (str(self).replace("(rome.run_transaction does", f"({function} does"),)

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), table=self.table, index=self.index, key=self.key), self.args


_RUN_AGAIN = "run the transaction again (rome.run_transaction does it)"


class SnapshotTooOldError(ConflictError):
    """What the snapshot reads was discarded, since others have replaced it. Run the transaction again.

    Attributes:
        reason: who discarded it, in words, if it was not Rome.
    """

    reason = ""

    @classmethod
    def of(cls, table: int | None = None) -> Self:
        """For a read or a commit whose snapshot is older than what the store keeps."""
        return cls(
            "this transaction has lasted longer than the store keeps what others have replaced since; "
            f"{_RUN_AGAIN}, and raise the retention if it cannot be shorter (rome.set_retention)",
            table=table,
        )

    def tell_age(self, age_s: float, retention_s: float) -> None:
        """Put the transaction's age, which is less than the retention, into the message."""
        if not self.reason:
            self.args = (
                f"what this transaction reads was discarded after {age_s:.0f} s, and the database should keep it for "
                f"{retention_s:g} s: others have replaced more than it has room for (rome.set_retention), or this "
                f"process was paused; {_RUN_AGAIN}",
            )

    @classmethod
    def of_watch(cls, version: int) -> Self:
        """For a watch that goes on from a version whose successors are not all kept any more."""
        return cls(
            f"changes after version {version} have been discarded: they are kept for the database's retention "
            "(rome.set_retention). Read everything again, and watch from that transaction's position"
        )

    @classmethod
    def discarded(cls, server: str, retention_s: float) -> Self:
        """For a read at a revision that somebody has made the engine discard before the retention is over."""
        reason = (
            f"{server} has discarded what this transaction reads, though the retention of {retention_s:g} s is not "
            "over: the server's own compaction, or another user's, keeps less (`rome doctor` tells)"
        )
        error = cls(f"{reason}; {_RUN_AGAIN}")
        error.reason = reason
        return error


class TransactionTooLongError(SnapshotTooOldError):
    """The transaction was open for longer than its history can be kept. Nothing was written.

    It is not retryable: the same work would take as long again. Make it shorter, or let the database keep more.
    """

    sqlstate = "72000"  # PostgreSQL's snapshot_too_old
    retryable = False

    @classmethod
    def of_retention(cls, age_s: float, retention_s: float, table: int | None = None) -> Self:
        """For a transaction that was not pinned."""
        seconds = _more(age_s)
        return cls(
            f"the transaction was open for {age_s:.0f} s, and the database keeps what others replace for "
            f"{retention_s:g} s{_SO_IT_FAILED}, or keep more with rome.set_retention(url, seconds={seconds}) or "
            f"`rome retention URL {seconds}`",
            table=table,
        )

    @classmethod
    def of_bytes(cls, age_s: float, retention_s: float, max_bytes: int, table: int | None = None) -> Self:
        """For a transaction that was pinned, until its pin was overruled."""
        more = 4 * max_bytes
        return cls(
            f"the transaction was open for {age_s:.0f} s; after {retention_s:g} s the database keeps {max_bytes:,} "
            f"bytes of what others replace, and that is used up{_SO_IT_FAILED}, or keep more with "
            f"rome.set_retention(url, max_bytes={more}) or `rome retention URL --max-bytes {more}`",
            table=table,
        )

    @classmethod
    def of_limit(cls, age_s: float, limit_s: float) -> Self:
        """For a transaction that has reached the limit of the URL."""
        return cls(
            f"the transaction was open for {age_s:.0f} s, and max_transaction_seconds in the URL allows {limit_s:g} s"
            f"{_SO_IT_FAILED}, or write max_transaction_seconds={_more(age_s)}"
        )

    @classmethod
    def of_reason(cls, age_s: float, reason: str) -> Self:
        """For a transaction whose history somebody else has discarded."""
        return cls(f"the transaction was open for {age_s:.0f} s: {reason}{_SO_IT_FAILED}")


_SO_IT_FAILED = (
    ". Nothing was written, and another attempt would end in the same way: make the transaction shorter (rome.bulk "
    "commits in parts)"
)


def _more(age_s: float) -> int:
    """A round number of seconds that is well above this one."""
    return max(10, 10 * round(age_s / 5))


class SnapshotLostError(ConflictError):
    """The snapshot is of a history that the store has lost: it restarted from older data, or failed over."""

    @classmethod
    def of(cls, version: int) -> Self:
        """For a version that the store does not have, or no longer has."""
        return cls(
            f"the store no longer has version {version}, which this transaction has read: it was restarted from older "
            f"data, or failed over; {_RUN_AGAIN}"
        )

    @classmethod
    def moved(cls, version: int) -> Self:
        """For a database that another server has now, whose data is the same, and whose snapshots are not."""
        return cls(
            f"another node of the cluster has the database now, since this transaction has read version {version}; "
            f"{_RUN_AGAIN}"
        )

    @classmethod
    def of_another(cls, version: int) -> Self:
        """For a snapshot that this connection does not hold: it has ended, or belongs to another connection."""
        return cls(f"version {version} is not this connection's snapshot")

    @classmethod
    def of_numbers(cls) -> Self:
        """For ids that were taken from the store before, and not used."""
        return cls(
            "the store was restarted, or failed over, since this connection has taken ids, and may have given them to "
            f"others; {_RUN_AGAIN}"
        )

    @classmethod
    def of_watch(cls, version: int) -> Self:
        """For a watch that goes on from a version of a history that the store has lost."""
        return cls(
            f"the store no longer has version {version}, from which this watch goes on: it was restarted from older "
            "data, or failed over. Read everything again, and watch from that transaction's position"
        )


class CatalogChangedError(ConflictError):
    """Another transaction changed the schema after this transaction's snapshot."""

    @classmethod
    def since(cls, snapshot: int, changed: int) -> Self:
        """For a snapshot that is older than the catalog's last change."""
        return cls(
            f"the schema was changed by another transaction (at version {changed}) after this one began "
            f"(at version {snapshot}); {_RUN_AGAIN}",
            table=0,
        )

    @classmethod
    def of_collection(cls, name: str) -> Self:
        """For a collection of rome.kv whose indexes were changed, or that was dropped, after it was opened."""
        return cls(f"collection {name} has got or lost an index, or was dropped, since it was opened; {_RUN_AGAIN}")


class TurnTakenError(ConflictError):
    """Nothing that was read has changed, but transactions that have lost before come first.

    `key` is the row that one of them claims. Join the commit queue, and try again.
    """

    def tell_row(self, row: str) -> None:
        """Put into the message how the claimed row is called."""
        self.args = (f"it is another transaction's turn to change {row}; {_RUN_AGAIN}",)


class CommitAbortedError(OperationalError):
    """The connection broke during COMMIT. The store was asked: the commit will never be applied."""

    sqlstate = "40001"
    retryable = True

    @classmethod
    def of(cls, transaction_id: bytes) -> Self:
        """For a commit that reaches the store after it was resolved as aborted."""
        return cls(f"transaction {transaction_id.hex()} was aborted")

    @classmethod
    def after_lost_connection(cls) -> Self:
        """For the application, whose commit never arrived."""
        return cls("the connection broke during COMMIT; the store was asked: nothing was written, and nothing will be")


class InterruptedTransactionError(OperationalError):
    """An exception from outside (a signal, a timeout, a killed green thread) interrupted a statement or COMMIT.

    The whole transaction is undone: nothing was written, and nothing will be. Every statement raises this until the
    application rolls back.
    """

    sqlstate = "40001"
    retryable = True


class CommitUnknownError(OperationalError):
    """COMMIT was sent and not answered: all of its writes were applied, or none. Never retry it blindly.

    `rome.was_committed(url, error)` asks the store, once it is back, within the database's retention.

    Attributes:
        transaction_id, snapshot: identify the commit to the store.
    """

    sqlstate = "40003"

    def __init__(self, message: str, *, transaction_id: bytes = b"", snapshot: int = 0) -> None:
        super().__init__(message)
        self.transaction_id, self.snapshot = transaction_id, snapshot

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), transaction_id=self.transaction_id, snapshot=self.snapshot), self.args

    @classmethod
    def lost(cls, reason: Exception | str, *, transaction_id: bytes, snapshot: int = 0) -> Self:
        """For a store that has sent a commit, or begun to write it, and cannot tell how it ended."""
        return cls(f"no answer to a commit: {reason}", transaction_id=transaction_id, snapshot=snapshot)

    @classmethod
    def unanswered(cls, cause: str, reason: Exception, *, transaction_id: bytes, snapshot: int) -> Self:
        """For the application, if the store cannot be asked about the commit.

        Args:
            cause: what happened between COMMIT and its answer, as a clause.
            reason: why the store cannot be asked.
        """
        return cls(
            f"{cause}, and the store cannot be asked what became of transaction {transaction_id.hex()} ({reason}): "
            "all of its writes were applied, or none. Before you repeat it, ask rome.was_committed(), once the store "
            "is back",
            transaction_id=transaction_id,
            snapshot=snapshot,
        )

    @classmethod
    def trimmed(cls, transaction_id: bytes, snapshot: int) -> Self:
        """For a question about a transaction that is older than the retention."""
        return cls(
            f"transaction {transaction_id.hex()} is older than the retention: the store no longer knows its outcome",
            transaction_id=transaction_id,
            snapshot=snapshot,
        )


class NotReplicatedError(OperationalError):
    """Committed on the primary, but fewer replicas than `wait_replicas` acknowledged it in time.

    Attributes:
        version: the commit version, which is final on the primary.
        replicas: how many replicas acknowledged it.
    """

    sqlstate = "01000"

    def __init__(self, message: str, *, version: int = 0, replicas: int = 0) -> None:
        super().__init__(message)
        self.version, self.replicas = version, replicas

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), version=self.version, replicas=self.replicas), self.args


class StoreUnavailableError(OperationalError):
    """The store cannot be reached, or the connection to it was lost."""

    sqlstate = "08006"

    @classmethod
    def closed(cls) -> Self:
        """For a connection that its owner has closed."""
        return cls("the connection is closed")

    @classmethod
    def dropped(cls, database: str) -> Self:
        """For a database that was dropped while the connection was open; `database` as messages name it."""
        return cls(f"{database} was dropped; a new connection creates it again, empty")


class StoreBusyError(OperationalError):
    """The store is running but cannot serve now: it is loading its data, busy with a script, or failing over."""

    sqlstate = "57P03"
    sqlite_errorcode = 5
    sqlite_errorname = "SQLITE_BUSY"
    retryable = True


class StoreFullError(OperationalError):
    """The store is out of memory, disk or map space; nothing was written."""

    sqlstate = "53200"
    sqlite_errorcode = 13
    sqlite_errorname = "SQLITE_FULL"


class StoreReadOnlyError(OperationalError):
    """The store refuses writes: it is a replica, or its persistence fails."""

    sqlstate = "25006"
    sqlite_errorcode = 8
    sqlite_errorname = "SQLITE_READONLY"


class StoreConfigError(OperationalError):
    """The store is configured so that it can lose data silently, for example by eviction."""

    sqlstate = "55000"


class AuthenticationError(OperationalError):
    """Wrong user or password, or the user lacks a permission."""

    sqlstate = "28000"


class TransactionTooLargeError(OperationalError):
    """The transaction writes more than the limit. Nothing was written.

    Attributes:
        limit: the store's own limit, in words; empty if it is one that the URL sets.
    """

    sqlstate = "54000"
    limit = ""


class IdsExhaustedError(OperationalError):
    """No id is left for a new row. The statement did nothing. Rows that name their ids can still be inserted."""

    sqlstate = "2200H"
    sqlite_errorcode = 13
    sqlite_errorname = "SQLITE_FULL"

    @classmethod
    def of(cls, whose: str) -> Self:
        """The error in the words of SQLite's AUTOINCREMENT. `whose` names the table or the sequence."""
        return cls(f"database or disk is full: {whose} has no id left below 2^63; name the ids of new rows")


class WorkingSetFullError(OperationalError):
    """A statement needs more rows in memory than max_working_set allows. The statement did nothing.

    Attributes:
        table: the table whose rows did not fit.
        rows: how many it needed; None if they were read by key.
    """

    sqlstate = "54000"

    def __init__(self, message: str, *, table: str = "", rows: int | None = None) -> None:
        super().__init__(message)
        self.table, self.rows = table, rows

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), table=self.table, rows=self.rows), self.args


class StreamEndedError(OperationalError):
    """More rows of a streamed result were asked for, but the transaction whose snapshot has them is over."""

    sqlstate = "24000"

    @classmethod
    def of(cls) -> Self:
        """The error."""
        return cls(
            "the rest of this streamed result cannot be read, because its transaction has ended (COMMIT, ROLLBACK, or "
            "BEGIN or a change of the isolation level after nothing but reads). Fetch all rows before that, commit on "
            "another connection, or do not stream the statement"
        )


class FullScanError(OperationalError):
    """The statement reads a whole table, and the URL says full_scan=error."""

    sqlstate = "57014"


class UniqueViolation(IntegrityError):
    """A UNIQUE or PRIMARY KEY constraint is violated."""

    sqlstate = "23505"
    sqlite_errorcode = 2067
    sqlite_errorname = "SQLITE_CONSTRAINT_UNIQUE"


class ForeignKeyViolation(IntegrityError):
    """A FOREIGN KEY constraint is violated."""

    sqlstate = "23503"
    sqlite_errorcode = 787
    sqlite_errorname = "SQLITE_CONSTRAINT_FOREIGNKEY"


class NotNullViolation(IntegrityError):
    """A NOT NULL constraint is violated."""

    sqlstate = "23502"
    sqlite_errorcode = 1299
    sqlite_errorname = "SQLITE_CONSTRAINT_NOTNULL"


class CheckViolation(IntegrityError):
    """A CHECK constraint is violated."""

    sqlstate = "23514"
    sqlite_errorcode = 275
    sqlite_errorname = "SQLITE_CONSTRAINT_CHECK"


class CorruptRecordError(InternalError):
    """Stored bytes cannot be decoded.

    Attributes:
        table: name or numeric id of the table.
        key: the row's key.
    """

    sqlstate = "XX001"
    sqlite_errorcode = 11
    sqlite_errorname = "SQLITE_CORRUPT"

    def __init__(self, message: str, *, table: str | int | None = None, key: bytes | None = None) -> None:
        super().__init__(message)
        self.table, self.key = table, key

    @classmethod
    def of_missing_row(cls, table: int, index: int, key: bytes, *, remedy: str = "") -> Self:
        """For an index entry that leads to no row. `remedy` is the store's advice."""
        message = f"table {table}: index {index} names row {key.hex()}, which is not there"
        return cls(f"{message}; {remedy}" if remedy else message, table=table, key=key)

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), table=self.table, key=self.key), self.args


class FormatError(InternalError):
    """The stored format is newer than this version of Rome. Nothing was read or written."""

    sqlstate = "XX002"
