"""The Driver of rome.store.ordered for an etcd cluster: each of its transactions is one Txn of etcd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rome.errors import AuthenticationError, Error, TransactionTooLargeError
from rome.store.etcd.client import EtcdClient
from rome.store.etcd.failures import BytesLimitError, OperationsLimitError
from rome.store.etcd.messages import (
    COMPACT,
    STATUS,
    TXN,
    WATCH,
    CompactionRequest,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    StatusRequest,
    TxnRequest,
    WatchCreateRequest,
    WatchRequest,
)
from rome.store.etcd.messages import Compare as CompareMessage
from rome.store.etcd.ownership import is_shared
from rome.store.ordered.driver import (
    Condition,
    Delete,
    Driver,
    DriverCompare,
    DriverTransaction,
    Pair,
    Put,
    Raise,
    Range,
    RangeResult,
    Revision,
    RevisionAheadError,
    RevisionGoneError,
    TransactionOutcome,
    Write,
)

WANTED_BYTES = 8 * 1024 * 1024
"""The --max-request-bytes that docs/etcd.md recommends."""

ENVELOPE_BYTES = 1024
"""The most that a member adds to a request, its ids and the user's name, before it looks at --max-request-bytes."""

MAX_BYTES = WANTED_BYTES - ENVELOPE_BYTES
"""Of one request. A member acknowledges a request beyond 10 MB where --max-request-bytes allows it, and can never read
its log again afterwards (https://github.com/etcd-io/etcd/issues/14025)."""

WANTED_OPERATIONS = 20_000
"""The --max-txn-ops that docs/etcd.md recommends, so that bulk loads go through, too."""

_EQUAL, _GREATER, _LESS = 0, 1, 2
_CREATE, _MODIFIED, _VALUE = 1, 2, 3
_ASCENDING, _DESCENDING, _BY_KEY = 1, 2, 0

COMPACT_TIMEOUT_S = 5.0

CHANGES_S = 2.0
"""How long to wait for the changes that `rome top` shows."""


class EtcdDriver(Driver):
    """Talks to one member at a time; see EtcdClient for what happens when that one is lost."""

    def __init__(self, client: EtcdClient) -> None:
        self.client = client
        self._newest: Revision = 0
        """The newest revision that this connection was told of, or has committed."""
        self.near_trips = 0
        self.reads_near = client.settings.reads_near

    @property
    def trips(self) -> int:  # type: ignore[override]  # the driver's interface has an attribute, which is only read
        return self.client.trips

    @property
    def server(self) -> str:
        return self.client.server

    def run(
        self, transactions: Sequence[DriverTransaction], aside: Sequence[DriverTransaction] = (), *, fresh: bool = True
    ) -> list[TransactionOutcome]:
        outcomes = self._run(transactions, aside, fresh=fresh)
        if not fresh and any(outcome.revision < self._newest for outcome in outcomes):
            # Another member has answered, which is behind. Asked for fresh data, it answers with all that we know.
            outcomes = self._run(transactions, (), fresh=True)
        self._newest = max(self._newest, *(outcome.revision for outcome in outcomes))
        return outcomes

    def _run(
        self, transactions: Sequence[DriverTransaction], aside: Sequence[DriverTransaction], *, fresh: bool
    ) -> list[TransactionOutcome]:
        calls = [(TXN, _txn(transaction, fresh=fresh)) for transaction in transactions]
        for _, message in calls:
            if message.ByteSize() > MAX_BYTES:
                raise TransactionTooLargeError(
                    f"the commit is a request of {message.ByteSize()} bytes, and Rome sends {MAX_BYTES} at most, since "
                    "a member could not read its own log after a larger one; commit less at a time"
                )
        only_reads = not fresh and not any(transaction.writes for transaction in transactions)
        near = self.client.near if only_reads else None
        before = self.client.trips
        looks = near is not None and self.client.is_near and near.is_look_due()
        if looks:
            calls.append((STATUS, StatusRequest()))
        try:
            answers = self.client.call(
                calls, [(TXN, _txn(transaction, fresh=True)) for transaction in aside], needs_leader=not only_reads
            )
        except RevisionAheadError:
            if fresh:
                raise
            return self._run(transactions, (), fresh=True)
        except OperationsLimitError as error:
            raise _too_many_operations([message for _, message in calls], error) from error
        except BytesLimitError as error:
            raise _too_many_bytes([message for _, message in calls], error) from error
        if near is not None and self.client.is_near:
            self.near_trips += self.client.trips - before
            if looks and near.is_cut_off(has_leader=bool(answers.messages.pop().leader)):
                self.client.leave_near()
                return self._run(transactions, (), fresh=True)
            if not answers.resent:
                near.answered()
        return [
            _outcome(transaction, message, resent=answers.resent)
            for transaction, message in zip(transactions, answers.messages, strict=False)
        ]

    def is_near(self) -> bool:
        return self.client.goes_near()

    @property
    def was_sent(self) -> bool:
        return self.client.resent

    def changes(
        self, start: bytes, stop: bytes, since: Revision, until: Revision
    ) -> list[tuple[Revision, bytes]] | None:
        found: list[tuple[Revision, bytes]] = []
        canceled = False

        def take(response: Any) -> bool:
            nonlocal canceled
            canceled = response.canceled  # since it was compacted, or the user may not read this
            found.extend((event.kv.mod_revision, event.kv.key) for event in response.events)
            return canceled or bool(found and found[-1][0] >= until)

        watch = WatchRequest(create_request=WatchCreateRequest(key=start, range_end=stop, start_revision=since))
        complete = self.client.listen(WATCH, watch, CHANGES_S, take) and not canceled
        return [change for change in found if change[0] <= until] if complete else None

    def used_bytes(self) -> int | None:
        try:
            [status] = self.client.call([(STATUS, StatusRequest())]).messages
        except AuthenticationError:  # a cluster may keep that from users of few rights
            return None
        return status.db_size_in_use or status.db_size or None

    def discard(self, revision: Revision) -> None:
        compact = self.client.settings.compact
        if not compact or (compact == "auto" and is_shared(self.client)):
            return
        try:
            self.client.call([(COMPACT, CompactionRequest(revision=revision))], timeout_s=COMPACT_TIMEOUT_S)
        except RevisionGoneError:  # another client was faster
            pass
        except Error:  # nothing depends on it: it is tried again with the next commits
            pass

    def is_usable(self) -> bool:
        return self.client.is_usable()

    def close(self) -> None:
        self.client.close()


def _too_many_operations(messages: Sequence[Any], error: OperationsLimitError) -> TransactionTooLargeError:
    needed = max(map(_operations, messages))
    return TransactionTooLargeError(
        f"{error}: the transaction takes {needed} operations, one for each row, index entry and mark that it writes; "
        f"start the members with --max-txn-ops={max(needed, WANTED_OPERATIONS)}, or commit less at a time"
    )


def _too_many_bytes(messages: Sequence[Any], error: BytesLimitError) -> TransactionTooLargeError:
    size = max(message.ByteSize() for message in messages)
    return TransactionTooLargeError(
        f"{error}: the request has {size} bytes; start the members with --max-request-bytes={WANTED_BYTES}, or commit "
        "less at a time"
    )


def _operations(txn: Any) -> int:
    """Return the --max-txn-ops that a Txn needs. A Txn within it has what the outer one leaves of the limit."""
    nested = max((_operations(each.request_txn) for each in txn.success if each.HasField("request_txn")), default=0)
    return nested + max(len(txn.compare), len(txn.success), len(txn.failure))


def _txn(transaction: DriverTransaction, *, fresh: bool) -> Any:
    local = not fresh and not transaction.writes
    return TxnRequest(
        compare=[_compare(compare) for compare in transaction.conditions],
        # Reads come first, since a Txn's later operations see the effects of earlier ones.
        success=[
            *(_range(each, local) for each in transaction.then),
            *(_write(write) for write in transaction.writes),
        ],
        failure=[_range(each, local) for each in transaction.otherwise],
    )


def _compare(compare: DriverCompare) -> Any:
    key, stop = compare.start, compare.stop or b""
    operand: Any = compare.operand
    match compare.condition:
        case Condition.MODIFIED_UP_TO:
            return CompareMessage(target=_MODIFIED, result=_LESS, mod_revision=operand + 1, key=key, range_end=stop)
        case Condition.CREATED_UP_TO:
            return CompareMessage(target=_CREATE, result=_LESS, create_revision=operand + 1, key=key, range_end=stop)
        case Condition.MODIFIED_SINCE:
            return CompareMessage(target=_MODIFIED, result=_GREATER, mod_revision=operand - 1, key=key)
        case Condition.MODIFIED_AT:
            return CompareMessage(target=_MODIFIED, result=_EQUAL, mod_revision=operand, key=key)
        case Condition.VALUE_IS:
            return CompareMessage(target=_VALUE, result=_EQUAL, value=operand, key=key)
        case Condition.VALUE_BELOW:
            return CompareMessage(target=_VALUE, result=_LESS, value=operand, key=key)


def _range(asked: Range, local: bool) -> Any:
    return RequestOp(
        request_range=RangeRequest(
            key=asked.start,
            range_end=asked.stop or b"",
            limit=asked.limit,
            revision=asked.revision,
            sort_order=_DESCENDING if asked.reverse else 0,
            sort_target=_BY_KEY,
            serializable=local,
            keys_only=asked.keys_only,
            count_only=asked.count_only,
            min_mod_revision=asked.modified_after + 1 if asked.modified_after else 0,
            min_create_revision=asked.created_after + 1 if asked.created_after else 0,
        )
    )


def _write(write: Write) -> Any:
    match write:
        case Put():
            return RequestOp(request_put=PutRequest(key=write.key, value=write.value))
        case Delete():
            return RequestOp(request_delete_range=DeleteRangeRequest(key=write.start, range_end=write.stop or b""))
        case Raise():
            # Less or absent cannot be asked, greater or equal can: values are 8 bytes, so that is "above one less".
            below = CompareMessage(target=_VALUE, result=_GREATER, value=_one_less(write.value), key=write.key)
            put = RequestOp(request_put=PutRequest(key=write.key, value=write.value))
            return RequestOp(request_txn=TxnRequest(compare=[below], failure=[put]))


def _one_less(value: bytes) -> bytes:
    """Return the next lower value of the same length; for zero the empty value, which is below every other."""
    number = int.from_bytes(value, "big")
    return (number - 1).to_bytes(len(value), "big") if number else b""


def _outcome(transaction: DriverTransaction, message: Any, *, resent: bool) -> TransactionOutcome:
    asked = transaction.then if message.succeeded else transaction.otherwise
    responses = list(message.responses)
    found = [_found(response.response_range) for response in responses[: len(asked)]]
    deleted = [
        response.response_delete_range.deleted
        for write, response in zip(transaction.writes, responses[len(asked) :], strict=False)
        if isinstance(write, Delete)
    ]
    return TransactionOutcome(message.header.revision, message.succeeded, found, deleted, resent)


def _found(response: Any) -> RangeResult:
    pairs = [Pair(kv.key, kv.value, kv.create_revision, kv.mod_revision) for kv in response.kvs]
    return RangeResult(pairs, response.count, response.more)
