"""COMMIT of a transaction of rome.kv: in its turn, with its entry in the feed, and told in the application's names.

Conflicts that concern nothing the application has read are settled here, by sending the commit again:
  * another epoch of the feed has begun;
  * nothing was read at all, and the newest version that the connection had heard of is too old.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from rome.errors import (
    CatalogChangedError,
    CommitAbortedError,
    CommitUnknownError,
    ConflictError,
    Error,
    SnapshotLostError,
    SnapshotTooOldError,
    TransactionTooLargeError,
    TurnTakenError,
)
from rome.kv.feed import STATE_KEY, KnownState, put_entry, read_state
from rome.kv.layout import FEED
from rome.kv.view import RecordView
from rome.store.spi import Store, Version
from rome.transaction.commit_turn import CommitTurn
from rome.transaction.write_set import CommitLimits

SENT_AGAIN = 10
"""How often a commit is sent again because of what the application has not read."""


_OF_THE_SNAPSHOT = (SnapshotTooOldError, SnapshotLostError, CatalogChangedError)


def commit(
    view: RecordView,
    store: Store,
    turn: CommitTurn,
    known: KnownState,
    limits: CommitLimits,
    started: float,
    describe: Callable[[ConflictError], None],
) -> tuple[Version, KnownState]:
    """Commit what a transaction has written; returns the version, and the feed's state as the commit has met it.

    Args:
        known: the feed's state as this process has read it last.
        started: when the transaction began, by time.monotonic().
        describe: puts names into the message of a conflict.

    Raises:
        ConflictError, CommitAbortedError: nothing was written.
        CommitUnknownError: see there. TransactionTooLargeError: nothing was sent.

    Cost: one round trip; after another epoch has begun two more.
    """
    transaction = view.transaction
    view.validate_written()
    blind = transaction.snapshot is None
    entry_id = secrets.token_bytes(16)
    again = SENT_AGAIN
    while True:
        put_entry(view.writes, transaction, known, entry_id, view.changes.values())
        try:
            version = transaction.commit(view.writes, turn.ticket, limits)
        except TurnTakenError as taken:
            describe(taken)
            if not turn.before_commit_again(taken, started, transaction.read_set):
                turn.failed()
                raise
            continue
        except ConflictError as conflict:
            again -= 1
            new_epoch = (conflict.table, conflict.key, conflict.index) == (FEED, STATE_KEY, None)
            if again and (new_epoch or (blind and isinstance(conflict, _OF_THE_SNAPSHOT))):
                known = read_state(store)  # a blind commit takes the connection's newest version, which is now this one
                continue
            describe(conflict)
            _lost(turn, conflict, started, view)
            raise
        except CommitAbortedError as aborted:
            _lost(turn, aborted, started, view)
            raise
        except TransactionTooLargeError as large:
            turn.leave()
            raise TransactionTooLargeError(_in_parts(view, limits, large.limit)) from large
        except Error:
            turn.leave()
            raise
        except BaseException as interruption:
            _settle(view, interruption)
            turn.leave()
            raise
        turn.committed(wrote=True)
        return version, known


def _lost(turn: CommitTurn, conflict: ConflictError | CommitAbortedError, started: float, view: RecordView) -> None:
    turn.met(conflict, started, view.transaction.read_set)
    turn.failed()


def _settle(view: RecordView, interruption: BaseException) -> None:
    """Find out what became of a commit into which an exception from outside came, and note it on the exception."""
    sent = view.transaction.sent
    if sent is None:
        return
    try:
        version = view.transaction.settle()
    except Error as error:
        unknown = CommitUnknownError.unanswered(
            "an exception from outside came into COMMIT",
            error,
            transaction_id=sent.transaction_id,
            snapshot=sent.snapshot.version,
        )
        interruption.add_note(str(unknown))
        return
    interruption.add_note(
        "rome.kv: nothing was committed, and nothing will be"
        if version is None
        else f"rome.kv: the transaction was committed nevertheless, at version {version}"
    )


def _in_parts(view: RecordView, limits: CommitLimits, limit: str) -> str:
    """Return what to say of a transaction beyond the URL's limits, or beyond the store's own `limit`."""
    size = sum(len(key) + len(record or b"") for rows in view.writes.rows.values() for key, record in rows.items())
    written = (
        f"the transaction writes {len(view.changes):,} keys, with the entries of their indexes, and {size:,} bytes"
    )
    if limit:
        return f"{written}; {limit}. Write in parts, each in a transaction of its own"
    return (
        f"{written}; at most {limits.rows:,} rows and {limits.bytes:,} bytes can be committed at once. Write in parts, "
        "each in a transaction of its own; or raise max_commit_rows or max_commit_bytes in the URL (others wait while "
        "such a commit runs)"
    )
