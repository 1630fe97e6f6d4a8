"""Every exception Rome raises: PEP 249's tree, and below it one class per thing a caller decides on.

    Warning
    ├─ FullScanWarning             a statement reads a whole table (URL option full_scan=warn)
    └─ PersistenceWarning          the store may lose what it acknowledged, when it or its machine stops
    Error
    ├─ InterfaceError              wrong use of the driver
    │  └─ URLError                 the URL cannot be understood
    └─ DatabaseError
       ├─ DataError
       ├─ OperationalError
       │  ├─ ConflictError         40001, retryable: nothing was written
       │  │  ├─ SnapshotTooOldError    the snapshot is older than what the store still keeps
       │  │  ├─ SnapshotLostError      the snapshot belongs to a history the store no longer has
       │  │  ├─ CatalogChangedError    the schema changed after the snapshot
       │  │  └─ TurnTakenError         it is another transaction's turn to change the row
       │  ├─ CommitUnknownError    40003: sent, not answered; the outcome is not known
       │  ├─ InterruptedTransactionError  40001, retryable: an exception from outside came into a statement or a commit
       │  ├─ CommitAbortedError    40001, retryable: the connection broke, and the commit never arrived
       │  ├─ NotReplicatedError    committed, but on fewer replicas than asked for
       │  ├─ StoreUnavailableError 08006: no connection, or it was lost
       │  ├─ StoreBusyError        57P03, retryable: loading, busy with a script, failing over
       │  ├─ StoreFullError        53200: out of memory, disk or map space
       │  ├─ StoreReadOnlyError    25006: a replica, or a server that refuses writes
       │  ├─ StoreConfigError      55000: the server is set up in a way that can lose data
       │  ├─ AuthenticationError   28000: wrong password, or not permitted
       │  ├─ TransactionTooLargeError  54000
       │  ├─ IdsExhaustedError     2200H: a table's ids have reached 2^63 - 1
       │  ├─ WorkingSetFullError   54000: a statement needs more rows than max_working_set has room for
       │  └─ FullScanError         the statement reads a whole table (full_scan=error)
       ├─ IntegrityError
       │  ├─ UniqueViolation       23505
       │  ├─ ForeignKeyViolation   23503
       │  ├─ NotNullViolation      23502
       │  └─ CheckViolation        23514
       ├─ InternalError
       │  ├─ CorruptRecordError    XX001: stored bytes that cannot be decoded
       │  └─ FormatError           the stored format is newer than this code
       ├─ ProgrammingError
       └─ NotSupportedError        names the construct, and the way out

What callers decide on is a field, never a message: `retryable`, `sqlstate`, and the fields of each class.
Message texts of constraint violations are SQLite's, since applications and oslo.db match them. All errors
pickle.
"""

from __future__ import annotations

from functools import partial
from typing import Self


class Warning(Exception):
    """PEP 249: an important warning."""


class FullScanWarning(Warning, UserWarning):
    """A statement reads a whole table; asked for by full_scan=warn."""


class IgnoredPragmaWarning(Warning, UserWarning):
    """A PRAGMA does nothing where it was given, as in SQLite."""


class PersistenceWarning(Warning, UserWarning):
    """The store may lose acknowledged commits when it stops; said once for each server."""


class Error(Exception):
    """PEP 249: the base of all errors.

    Attributes:
        sqlstate: the class of the error, where there is one for it.
        retryable: nothing was written, and the same may succeed when it is tried again.
        sqlite_errorcode, sqlite_errorname: SQLite's (extended) result code, as in sqlite3; None: SQLite did not raise
            it, and has no code for it.
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


class NotSupportedError(DatabaseError):
    """PEP 249: Rome cannot do this; the message names the construct and the way out."""

    sqlstate = "0A000"


class ConflictError(OperationalError):
    """Something this transaction read has changed; nothing was written.

    Attributes:
        table: numeric id of the table, or None when no single table is to blame.
        index: numeric id of the index of which a range changed; None: it was a row.
        key: the row key, or the start of the range, that changed.
    """

    sqlstate = "40001"
    retryable = True
    sqlite_errorcode = 517  # what SQLite says of a snapshot that is too old to write on
    sqlite_errorname = "SQLITE_BUSY_SNAPSHOT"

    def __init__(
        self, message: str, *, table: int | None = None, index: int | None = None, key: bytes | None = None
    ) -> None:
        super().__init__(message)
        self.table, self.index, self.key = table, index, key

    @classmethod
    def of_row(cls, table: int, key: bytes) -> Self:
        """A row has changed. Stores know numbers only; see `tell_row`."""
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
        """Put into the message how a row is called, as in "row id=1 of table post"."""
        self.args = (f"{row} was changed by another transaction since this one read it; {_RUN_AGAIN}",)

    def tell_rows(self, rows: str) -> None:
        """Put into the message how a range is called, as in "rows of table post with state='new'"."""
        self.args = (
            f"another transaction has added, changed or deleted {rows} since this one read them; {_RUN_AGAIN}",
        )

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), table=self.table, index=self.index, key=self.key), self.args


_RUN_AGAIN = "run the transaction again"


class SnapshotTooOldError(ConflictError):
    """The snapshot is older than what the store keeps (its retention)."""

    @classmethod
    def of(cls, table: int | None = None) -> Self:
        """For a read or a commit that comes too late."""
        return cls(
            "this transaction has lasted longer than the store keeps what others have replaced since; "
            f"{_RUN_AGAIN}, and raise the retention if it cannot be shorter (rome.set_retention)",
            table=table,
        )


class SnapshotLostError(ConflictError):
    """The snapshot is of a history that the store has lost: restarted from older data, or failed over."""

    @classmethod
    def of(cls, version: int) -> Self:
        """For a version that the store does not have, or not any more."""
        return cls(
            f"the store no longer has version {version}, which this transaction has read: it was restarted from older "
            f"data, or failed over; {_RUN_AGAIN}"
        )

    @classmethod
    def of_another(cls, version: int) -> Self:
        """For a snapshot that this connection does not hold: it has ended, or is another connection's."""
        return cls(f"version {version} is not this connection's snapshot")


class CatalogChangedError(ConflictError):
    """The schema changed after this transaction's snapshot."""

    @classmethod
    def since(cls, snapshot: int, changed: int) -> Self:
        """The catalog's last change is newer than the snapshot."""
        return cls(
            f"the schema was changed by another transaction (at version {changed}) after this one began "
            f"(at version {snapshot}); {_RUN_AGAIN}",
            table=0,
        )


class TurnTakenError(ConflictError):
    """Nothing that was read has changed, but transactions that had lost before come first. Wait in line, and try again.

    `key` is the row that somebody claims.
    """

    def tell_row(self, row: str) -> None:
        self.args = (f"it is another transaction's turn to change {row}; {_RUN_AGAIN}",)


class CommitAbortedError(OperationalError):
    """The connection broke during COMMIT; the store was asked, and the commit will never be applied."""

    sqlstate = "40001"
    retryable = True

    @classmethod
    def of(cls, transaction_id: bytes) -> Self:
        """For a commit that reaches the store after somebody has asked what became of it."""
        return cls(f"transaction {transaction_id.hex()} was aborted")

    @classmethod
    def after_lost_connection(cls) -> Self:
        """For the application, whose commit never arrived."""
        return cls("the connection broke during COMMIT; the store was asked: nothing was written, and nothing will be")


class InterruptedTransactionError(OperationalError):
    """An exception from outside (a signal, a timeout, a killed green thread) came into a statement, or into COMMIT.

    What it had done by then is undone, with the rest of the transaction: nothing was written, and nothing will be. All
    statements until ROLLBACK say so.
    """

    sqlstate = "40001"
    retryable = True


class CommitUnknownError(OperationalError):
    """COMMIT was sent and not answered: all of its writes were applied, or none. Not to be retried blindly.

    `rome.was_committed(url, error)` asks the store, once it is back, for as long as the database's retention.

    Attributes:
        transaction_id, snapshot: what the store is asked about.
    """

    sqlstate = "40003"

    def __init__(self, message: str, *, transaction_id: bytes = b"", snapshot: int = 0) -> None:
        super().__init__(message)
        self.transaction_id, self.snapshot = transaction_id, snapshot

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), transaction_id=self.transaction_id, snapshot=self.snapshot), self.args

    @classmethod
    def lost(cls, reason: Exception | str, *, transaction_id: bytes, snapshot: int = 0) -> Self:
        """For a store that has sent a commit, or begun to write it, and cannot tell how that ended."""
        return cls(f"no answer to a commit: {reason}", transaction_id=transaction_id, snapshot=snapshot)

    @classmethod
    def unanswered(cls, cause: str, reason: Exception, *, transaction_id: bytes, snapshot: int) -> Self:
        """For the application, when the store cannot be asked what became of the commit.

        Args:
            cause: what came between COMMIT and its answer, as a sentence without a full stop.
            reason: why the store cannot be asked.
        """
        return cls(
            f"{cause}, and the store cannot be asked what became of transaction {transaction_id.hex()} ({reason}): "
            "all of its writes were applied, or none. Look before you repeat it: rome.was_committed() tells, once the "
            "store is back",
            transaction_id=transaction_id,
            snapshot=snapshot,
        )

    @classmethod
    def trimmed(cls, transaction_id: bytes, snapshot: int) -> Self:
        """For a store that is asked too late."""
        return cls(
            f"transaction {transaction_id.hex()} is older than the retention: nobody knows any more",
            transaction_id=transaction_id,
            snapshot=snapshot,
        )


class NotReplicatedError(OperationalError):
    """Committed on the primary, but fewer replicas than `wait_replicas` acknowledged it in time.

    Attributes:
        version: the commit version, which stands on the primary.
        replicas: how many acknowledged.
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
        return cls(f"{database} was dropped; a new connection makes it anew, empty")


class StoreBusyError(OperationalError):
    """The store is there but cannot serve now: loading its data, busy with a script, failing over."""

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
    """Wrong user or password, or the user may not do this."""

    sqlstate = "28000"


class TransactionTooLargeError(OperationalError):
    """The transaction writes more than the limit; nothing was written."""

    sqlstate = "54000"


class IdsExhaustedError(OperationalError):
    """No id is left for a new row; nothing of the statement was done. Rows that name their ids can still come in."""

    sqlstate = "2200H"
    sqlite_errorcode = 13
    sqlite_errorname = "SQLITE_FULL"

    @classmethod
    def of(cls, whose: str) -> Self:
        """The error, with the words of SQLite's AUTOINCREMENT; the sequences of a store have no names."""
        return cls(f"database or disk is full: {whose} has no id left below 2^63; name the ids of new rows")


class WorkingSetFullError(OperationalError):
    """A statement needs more rows in memory than max_working_set allows; nothing of it was done.

    Attributes:
        table: of which it wanted rows.
        rows: how many; None when they were asked for by key.
    """

    sqlstate = "54000"

    def __init__(self, message: str, *, table: str = "", rows: int | None = None) -> None:
        super().__init__(message)
        self.table, self.rows = table, rows

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), table=self.table, rows=self.rows), self.args


class FullScanError(OperationalError):
    """The statement reads a whole table, and the URL says full_scan=error."""

    sqlstate = "57014"


class UniqueViolation(IntegrityError):
    sqlstate = "23505"
    sqlite_errorcode = 2067
    sqlite_errorname = "SQLITE_CONSTRAINT_UNIQUE"


class ForeignKeyViolation(IntegrityError):
    sqlstate = "23503"
    sqlite_errorcode = 787
    sqlite_errorname = "SQLITE_CONSTRAINT_FOREIGNKEY"


class NotNullViolation(IntegrityError):
    sqlstate = "23502"
    sqlite_errorcode = 1299
    sqlite_errorname = "SQLITE_CONSTRAINT_NOTNULL"


class CheckViolation(IntegrityError):
    sqlstate = "23514"
    sqlite_errorcode = 275
    sqlite_errorname = "SQLITE_CONSTRAINT_CHECK"


class CorruptRecordError(InternalError):
    """Stored bytes cannot be decoded.

    Attributes:
        table: name or numeric id of the table.
        key: the row key.
    """

    sqlstate = "XX001"
    sqlite_errorcode = 11
    sqlite_errorname = "SQLITE_CORRUPT"

    def __init__(self, message: str, *, table: str | int | None = None, key: bytes | None = None) -> None:
        super().__init__(message)
        self.table, self.key = table, key

    @classmethod
    def of_missing_row(cls, table: int, index: int, key: bytes, *, remedy: str = "") -> Self:
        """For an index entry that leads to no row; `remedy` is what the store advises."""
        message = f"table {table}: index {index} names row {key.hex()}, which is not there"
        return cls(f"{message}; {remedy}" if remedy else message, table=table, key=key)

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), table=self.table, key=self.key), self.args


class FormatError(InternalError):
    """The stored format is newer than this code; nothing was read or written."""

    sqlstate = "XX002"
