"""Counters: positive amounts are added. A read is at least what was certainly added before it began.

And it is at most all that can have been added before it ended. These bounds need clocks that can be compared.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import NamedTuple

from rome.testing.isolation.anomalies import Anomaly, AnomalyKind, Order
from rome.testing.isolation.history import History, RecordedTransaction
from rome.testing.isolation.inference import Findings


class _Read(NamedTuple):
    """A counter as a transaction found it, without what that transaction had added."""

    begin: int
    end: int
    value: int
    reader: RecordedTransaction


class _Sums:
    """The sums of all amounts up to each time."""

    def __init__(self, amounts: list[tuple[int, int]]) -> None:
        amounts.sort()
        self._times = [time for time, _ in amounts]
        self._sums = [0, *accumulate(amount for _, amount in amounts)]

    def before(self, time: int) -> int:
        """The sum of the amounts before a time."""
        return self._sums[bisect_left(self._times, time)]


def infer(history: History) -> Findings:
    """Compare every read with its bounds, and the reads with each other."""
    findings = Findings()
    sure: dict[int, list[tuple[int, int]]] = {}
    possible: dict[int, list[tuple[int, int]]] = {}
    reads: dict[int, list[_Read]] = {}
    for transaction in history.transactions:
        own: dict[int, int] = {}
        for statement, operation in transaction.operations():
            key, value = operation.key, operation.value
            assert not isinstance(value, list)
            if operation.kind == "read":
                if transaction.outcome == "ok":
                    found = (value or 0) - own.get(key, 0)
                    reads.setdefault(key, []).append(_Read(transaction.begin, statement.end, found, transaction))
                continue
            assert value is not None
            own[key] = own.get(key, 0) + value
        for key, amount in own.items():
            if transaction.outcome != "fail":
                possible.setdefault(key, []).append((transaction.begin, amount))
            if transaction.outcome == "ok" and transaction.end is not None:
                sure.setdefault(key, []).append((transaction.end, amount))
    for key, of_key in reads.items():
        _judge_bounds(key, of_key, _Sums(sure.get(key, [])), _Sums(possible.get(key, [])), findings)
        _judge_order(key, of_key, findings)
    return findings


def _judge_bounds(key: int, reads: list[_Read], sure: _Sums, possible: _Sums, findings: Findings) -> None:
    for begin, end, value, reader in reads:
        least, most = sure.before(begin), possible.before(end)
        if value < least:
            findings.report(
                AnomalyKind.LOST_WRITE,
                [reader],
                f"{reader.name} read counter {key} as {value}, when {least} had surely been added before it began",
            )
        elif value > most:
            findings.report(
                AnomalyKind.GARBAGE_READ,
                [reader],
                f"{reader.name} read counter {key} as {value}, when no more than {most} can have been added",
            )


def _judge_order(key: int, reads: list[_Read], findings: Findings) -> None:
    """Report a read of less than an earlier one saw, if that had ended before this one's transaction began."""
    ended = sorted(reads, key=lambda read: read.end)
    highest, after = None, 0
    for read in sorted(reads, key=lambda read: read.begin):
        while after < len(ended) and ended[after].end < read.begin:
            if highest is None or ended[after].value > highest.value:
                highest = ended[after]
            after += 1
        if highest is not None and read.value < highest.value:
            names = (highest.reader.name, read.reader.name)
            story = (
                f"{names[0]} read counter {key} as {highest.value}",
                f"{names[1]} began later, and read {read.value}",
            )
            findings.anomalies.append(Anomaly(AnomalyKind.STALE_READ, names, story, Order.REALTIME))
