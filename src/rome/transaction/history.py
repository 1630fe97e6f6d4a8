"""What becomes of a transaction whose history the store has not kept."""

from __future__ import annotations

from typing import NoReturn

from rome.errors import ConflictError, Error, SnapshotTooOldError, TransactionTooLongError
from rome.store import keeper
from rome.store.spi import HeldSnapshot, Retention, Store

ALWAYS_AGAIN_S = 1.0
"""A shorter transaction may be run again, whatever the retention is: next time it may be done before others write."""


def raise_explained(error: ConflictError, held: HeldSnapshot | None, store: Store) -> NoReturn:
    """Raise the error of a transaction whose snapshot a store has refused, in the transaction's terms.

    If it is too old, and the transaction has been open for longer than the database keeps history, the same work would
    take as long again: the error is a TransactionTooLongError, which is not retryable. It is retryable if the history
    was discarded earlier than that, or if the process was paused, or could not reach the store to have it kept.

    Cost: one round trip for a snapshot that is too old.
    """
    explained = _explained(error, held, store)
    if explained is error:
        raise error
    raise explained from error


def _explained(error: ConflictError, held: HeldSnapshot | None, store: Store) -> ConflictError:
    if held is None or not isinstance(error, SnapshotTooOldError) or isinstance(error, TransactionTooLongError):
        return error
    age_s = keeper.KEEPER.age_s(held)
    retention = _retention(store)
    if age_s < retention.seconds:
        error.tell_age(age_s, retention.seconds)
        return error
    if age_s < ALWAYS_AGAIN_S:
        return error
    if held.unreachable:
        return error
    if error.reason:
        return TransactionTooLongError.of_reason(age_s, error.reason)
    if held.pinned:
        return TransactionTooLongError.of_bytes(age_s, retention.seconds, retention.max_bytes, error.table)
    return TransactionTooLongError.of_retention(age_s, retention.seconds, error.table)


def _retention(store: Store) -> Retention:
    try:
        return store.retention()
    except Error:
        return store.known_retention()
