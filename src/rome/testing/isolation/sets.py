"""Sets: elements are only added, each once. A read is of a whole set, and missed what is not in it."""

from __future__ import annotations

from typing import NamedTuple

from rome.testing.isolation.anomalies import AnomalyKind
from rome.testing.isolation.graph import Dependency, Edge
from rome.testing.isolation.history import History, RecordedTransaction
from rome.testing.isolation.inference import Findings, Writers


class _Read(NamedTuple):
    """A set as a committed transaction found it, without what that transaction had added."""

    place: int
    key: int
    elements: frozenset[int]


def infer(history: History) -> Findings:
    """Find what single reads show, and the dependencies of committed transactions.

    Cost: O(reads x elements of a set): sets should stay small, and many.
    """
    findings, writers = Findings(), Writers(history)
    reads: list[_Read] = []
    for place, transaction in enumerate(history.transactions):
        if transaction.outcome == "ok":
            reads += _look_at(place, transaction, findings)
    members: dict[int, dict[int, int]] = {}
    """{set: {element that was certainly added, or seen: place of the transaction that added it}}"""
    for key, value, place in writers.acknowledged():
        members.setdefault(key, {})[value] = place
    for read in reads:
        writers.judge(findings, history.transactions[read.place], read.key, sorted(read.elements))
        for element in read.elements:
            writer = writers.place(read.key, element)
            if writer is not None:
                members.setdefault(read.key, {})[element] = writer
    for read in reads:
        for element, writer in members.get(read.key, {}).items():
            if writer == read.place:
                continue
            if element in read.elements:
                findings.edges.append(Edge(writer, read.place, Dependency.WR, read.key, None, element))
            else:
                findings.edges.append(Edge(read.place, writer, Dependency.PREDICATE_RW, read.key, None, element))
    return findings


def _look_at(place: int, transaction: RecordedTransaction, findings: Findings) -> list[_Read]:
    own: dict[int, set[int]] = {}
    found: dict[int, frozenset[int]] = {}
    reads: list[_Read] = []
    for _, operation in transaction.operations():
        key, value = operation.key, operation.value
        mine = own.setdefault(key, set())
        if operation.kind != "read":
            assert isinstance(value, int)
            mine.add(value)
            continue
        assert isinstance(value, list)
        if len(set(value)) < len(value):
            findings.report(
                AnomalyKind.DUPLICATE, [transaction], f"{transaction.name} read set {key} as {sorted(value)}"
            )
        if not mine <= set(value):
            findings.report(
                AnomalyKind.INTERNAL,
                [transaction],
                f"{transaction.name} added {sorted(mine)} to set {key}, and then read it as {sorted(value)}",
            )
        elements = frozenset(value) - mine
        before = found.setdefault(key, elements)
        if before != elements:
            findings.report(
                AnomalyKind.NON_REPEATABLE_READ,
                [transaction],
                f"{transaction.name} read set {key} as {sorted(before)}, and later as {sorted(elements)}",
            )
        reads.append(_Read(place, key, elements))
    return reads
