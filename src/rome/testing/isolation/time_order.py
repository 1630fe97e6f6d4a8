"""The order of time: which transactions had ended before another began."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rome.testing.isolation.graph import Dependency, Edge
from rome.testing.isolation.history import RecordedTransaction


def time_edges(
    transactions: Sequence[RecordedTransaction], *, realtime: bool = True, near: int = 0, writers_too: bool = False
) -> Iterator[Edge]:
    """The order of each process's transactions and, if `realtime`, of all; without edges that follow from others.

    A transaction that ended at an unknown time comes before no other.

    Args:
        transactions: in the order in which they began. Failed ones take no part.
        near: processes with a lower number read near: their transactions that wrote nothing may be older than real time
            says.
        writers_too: the same of those that wrote, since their level does not validate what they have read.

    Cost: O(transactions x how many were in progress at once).
    """
    yield from _process_order(transactions)
    if realtime:
        yield from _real_time(transactions, near, writers_too)


def _process_order(transactions: Sequence[RecordedTransaction]) -> Iterator[Edge]:
    last: dict[int, int] = {}
    for place, transaction in enumerate(transactions):
        if transaction.outcome == "fail":
            continue
        before = last.get(transaction.process)
        if before is not None:
            end = transactions[before].end
            if end is not None and end < transaction.begin:
                yield Edge(before, place, Dependency.PROCESS)
        last[transaction.process] = place


def _real_time(transactions: Sequence[RecordedTransaction], near: int, writers_too: bool) -> Iterator[Edge]:
    """Edges from each transaction of the frontier: the ended ones that no other ended one follows.

    Nothing comes before a near read, so it also takes nobody's place in the frontier.
    """
    events: list[tuple[int, int, int]] = []  # at equal times beginnings come first
    for place, transaction in enumerate(transactions):
        if transaction.outcome != "fail":
            events.append((transaction.begin, 0, place))
            if transaction.end is not None:
                events.append((transaction.end, 1, place))
    frontier: set[int] = set()
    before: dict[int, frozenset[int]] = {}
    for _, ends, place in sorted(events):
        if ends:
            frontier -= before.pop(place)
            frontier.add(place)
        elif transactions[place].process < near and (writers_too or not _writes(transactions[place])):
            before[place] = frozenset()
        else:
            before[place] = frozenset(frontier)
            for earlier in frontier:
                yield Edge(earlier, place, Dependency.REALTIME)


def _writes(transaction: RecordedTransaction) -> bool:
    return any(operation.kind != "read" for _, operation in transaction.operations())
