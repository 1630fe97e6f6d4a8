"""Takes numbers of sequences, in a transaction of their own, starting from the value that this process believes stored.

The engine cannot add, so a transaction says: if the sequence has the value that we believe, set it to this one. If it
has another value, the answer tells which, and the next attempt succeeds unless another client was faster again.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from msgspec import Struct

from rome.errors import IdsExhaustedError
from rome.store.ordered.driver import Condition, DriverCompare, DriverTransaction, Put, Range, TransactionOutcome
from rome.store.ordered.hints import Hints
from rome.store.ordered.layout import Layout, number_of, number_value
from rome.store.spi import MAX_NUMBER, Reserve


class Taking(Struct, frozen=True):
    """An attempt: if its conditions hold, `numbers` are taken, and `after` has the sequences' new values."""

    transaction: DriverTransaction
    numbers: list[int]
    after: dict[int, bytes]
    exhausted: int | None
    """A sequence with too few numbers left, if it has the value that we believe; then nothing is taken."""


def plan_taking(layout: Layout, stored: bytes, reserves: Sequence[Reserve], hints: Hints) -> Taking:
    """Return the attempt to send. `stored`: the database's description, which must still be stored."""
    before = {reserve.sequence: hints.numbers.get(reserve.sequence, b"") for reserve in reserves}
    stood = {sequence: number_of(value) for sequence, value in before.items()}
    after = dict(stood)
    numbers = []
    exhausted = None
    for reserve in reserves:
        first = reserve.first_after(after[reserve.sequence])
        numbers.append(first)
        if reserve.size:
            last = first + reserve.size - 1
            if last > MAX_NUMBER:
                exhausted = reserve.sequence
                break
            after[reserve.sequence] = max(after[reserve.sequence], last)
    conditions = [layout.exists(stored)]
    for sequence, value in before.items():
        key = layout.sequence(sequence)
        if value:
            conditions.append(DriverCompare(Condition.VALUE_IS, value, key))
        else:
            conditions.append(DriverCompare(Condition.MODIFIED_AT, 0, key))
    taker = secrets.token_bytes(8)
    values = dict(before)
    if exhausted is None:
        values.update((n, number_value(last, taker)) for n, last in after.items() if last != stood[n])
    writes = [Put(layout.sequence(n), value) for n, value in values.items() if value != before[n]]
    otherwise = [layout.head_range(), *(Range(layout.sequence(sequence)) for sequence in before)]
    return Taking(DriverTransaction(conditions, writes, otherwise=otherwise), numbers, values, exhausted)


def settle_taking(taking: Taking, outcome: TransactionOutcome, hints: Hints) -> list[int] | None:
    """Return the numbers; None if the sequences had other values, which the next attempt knows.

    Raises:
        IdsExhaustedError: a sequence has too few numbers left.
    """
    if not outcome.held:
        found = {
            n: each.pairs[0].value if each.pairs else b""
            for n, each in zip(taking.after, outcome.found[1:], strict=True)
        }
        hints.numbers.update(found)
        # All values are those of this attempt, with its taker, so an earlier sending of it was done.
        if not (outcome.resent and taking.transaction.writes and found == taking.after):
            return None
    if taking.exhausted is not None:
        raise IdsExhaustedError.of(f"sequence {taking.exhausted}")
    hints.numbers.update(taking.after)
    return taking.numbers
