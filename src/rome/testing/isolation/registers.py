"""Registers: a number is read before it is replaced, so that it is known which version each one follows.

A write to a key that the transaction did not read says nothing about the order of versions.
"""

from __future__ import annotations

from typing import NamedTuple

from rome.testing.isolation.anomalies import AnomalyKind
from rome.testing.isolation.graph import Dependency, Edge
from rome.testing.isolation.history import History, RecordedTransaction
from rome.testing.isolation.inference import Findings, Writers


class _Read(NamedTuple):
    """A register as a transaction found it; `version` is None if it was not there."""

    place: int
    key: int
    version: int | None
    predicate: bool


class _Step(NamedTuple):
    """The last version that a transaction wrote to a key, and the version that it had found there."""

    place: int
    old: int | None
    new: int


def infer(history: History) -> Findings:
    """Find what single reads show, and the dependencies of committed transactions."""
    findings, writers = Findings(), Writers(history)
    reads: list[_Read] = []
    steps: list[tuple[int, _Step]] = []
    for place, transaction in enumerate(history.transactions):
        if transaction.outcome != "fail":
            acknowledged = transaction.outcome == "ok"
            seen, written = _look_at(place, transaction, findings if acknowledged else Findings())
            steps += written
            reads += seen if acknowledged else ()
    for read in reads:
        if read.version is not None:
            reader = history.transactions[read.place]
            writers.judge(findings, reader, read.key, [read.version])
            writers.judge_last(findings, reader, read.key, read.version)
    observed = {writers.place(read.key, read.version) for read in reads}
    replacers: dict[tuple[int, int | None], list[_Step]] = {}
    for key, step in steps:
        if history.transactions[step.place].outcome == "ok" or step.place in observed:
            replacers.setdefault((key, step.old), []).append(step)
    _judge_steps(replacers, history, writers, findings)
    _add_edges(reads, replacers, writers, findings)
    return findings


def _look_at(
    place: int, transaction: RecordedTransaction, findings: Findings
) -> tuple[list[_Read], list[tuple[int, _Step]]]:
    """What a transaction found of others' writes, and what it wrote on top of these, by key."""
    found: dict[int, _Read] = {}
    own: dict[int, int] = {}
    for statement, operation in transaction.operations():
        key, value = operation.key, operation.value
        assert not isinstance(value, list)
        if operation.kind != "read":
            assert value is not None
            own[key] = value
        elif key in own:
            if value != own[key]:
                findings.report(
                    AnomalyKind.INTERNAL,
                    [transaction],
                    f"{transaction.name} wrote {own[key]} to key {key}, and then read it as {value}",
                )
        else:
            before = found.get(key)
            if before is not None and before.version != value:
                findings.report(
                    AnomalyKind.NON_REPEATABLE_READ,
                    [transaction],
                    f"{transaction.name} read key {key} as {before.version}, and later as {value}",
                )
            found[key] = _Read(place, key, value, statement.predicate)
    steps = [(key, _Step(place, found[key].version, new)) for key, new in own.items() if key in found]
    return list(found.values()), steps


def _judge_steps(
    replacers: dict[tuple[int, int | None], list[_Step]], history: History, writers: Writers, findings: Findings
) -> None:
    for (key, old), steps in replacers.items():
        by = [history.transactions[step.place] for step in steps]
        if len(steps) > 1:
            findings.report(
                AnomalyKind.LOST_UPDATE,
                by,
                *(
                    f"{one.name} read key {key} as {old} and wrote {step.new}"
                    for one, step in zip(by, steps, strict=True)
                ),
            )
        write = writers.find(key, old)
        if write is not None and history.transactions[write.place].outcome == "fail":
            failed = history.transactions[write.place]
            findings.report(
                AnomalyKind.DIRTY_UPDATE,
                [failed, *by],
                f"{by[0].name} replaced {old} of key {key}, which {failed.name} wrote; and {failed.name} had failed",
            )


def _add_edges(
    reads: list[_Read], replacers: dict[tuple[int, int | None], list[_Step]], writers: Writers, findings: Findings
) -> None:
    add = findings.edges.append
    for (key, old), steps in replacers.items():
        writer = writers.place(key, old)
        for step in steps:
            if writer is not None and writer != step.place:
                add(Edge(writer, step.place, Dependency.WW, key, old, step.new))
    for place, key, version, predicate in reads:
        writer = writers.place(key, version)
        if writer is not None and writer != place:
            add(Edge(writer, place, Dependency.WR, key, None, version))
        anti = Dependency.PREDICATE_RW if predicate and version is None else Dependency.RW
        for step in replacers.get((key, version), ()):
            if step.place != place:
                add(Edge(place, step.place, anti, key, version, step.new))
