"""The checker: compare what a history shows with what its isolation level allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rome.testing.isolation import banks, counters, lists, registers, sets, stock
from rome.testing.isolation.anomalies import Anomaly, allowed
from rome.testing.isolation.graph import Cycle, Dependency, Edge, find_cycles
from rome.testing.isolation.history import History, RecordedTransaction, Setting
from rome.testing.isolation.inference import Findings
from rome.testing.isolation.parts import by_statements, with_reads_of_failed
from rome.testing.isolation.time_order import time_edges

INFERENCES: dict[str, Callable[[History], Findings]] = {
    "lists": lists.infer,
    "registers": registers.infer,
    "sets": sets.infer,
    "counters": counters.infer,
    "bank": banks.infer,
    "stock": stock.infer,
}
"""{name of a workload: its inference}"""

JUDGED_BY_TIME = ("counters", "stock")
"""The workloads of which a read alone does not show which writes came before it."""

_READS_NOT_VALIDATED = frozenset(["SNAPSHOT", "READ COMMITTED"])
"""The levels at which a transaction that writes may have read what was replaced since."""


@dataclass(frozen=True)
class IsolationVerdict:
    """What was found.

    Attributes:
        forbidden: anomalies that the level does not allow. Of a tangle of many cycles only one is reported, so the list
            shows which anomalies there are, not how often.
        tolerated: anomalies that the level allows.
    """

    setting: Setting
    outcomes: dict[str, int]
    forbidden: list[Anomaly]
    tolerated: list[Anomaly]

    @property
    def valid(self) -> bool:
        """Whether nothing forbidden was found."""
        return not self.forbidden


def check(history: History, *, realtime: bool = True) -> IsolationVerdict:
    """Look for everything that the history's isolation level does not allow.

    SERIALIZABLE and AUTOCOMMIT must be strictly serializable, SNAPSHOT must be strong snapshot isolation. READ
    COMMITTED must be Adya's PL-2, and its statements, each taken by itself, must be strictly serializable (registers
    only as far as they were read, since it is then not known which version a transaction replaced). What a failed
    transaction saw must be as consistent as what a read-only transaction saw.

    With near reads, "strictly" holds for transactions that write. Those that only read take their places in the same
    order, but perhaps earlier ones, and those of one process in its order. At SNAPSHOT and READ COMMITTED, which do not
    validate what was read, so do those that write.

    Args:
        realtime: whether the clocks of all processes can be compared. Counters and stock need that.

    Raises:
        ValueError: there is no such level or workload, or the same value was written twice; or the workload is judged
            by real time, and reads are near.
    """
    level, workload = history.setting.level, history.setting.workload
    if history.setting.near and workload in JUDGED_BY_TIME:
        raise ValueError(f"near reads of {workload} cannot be judged: what they may see depends on real time")
    tolerated_kinds = allowed(level)
    if workload not in INFERENCES:
        raise ValueError(f"no workload {workload!r}; known: {', '.join(INFERENCES)}")
    anomalies = _anomalies(with_reads_of_failed(history), realtime)
    forbidden = [each for each in anomalies if each.kind not in tolerated_kinds]
    if level == "READ COMMITTED":
        forbidden += _anomalies(by_statements(history), realtime)
    return IsolationVerdict(
        history.setting,
        dict(Counter(each.outcome for each in history.transactions if each.part is None)),
        list(dict.fromkeys(forbidden)),
        [each for each in anomalies if each.kind in tolerated_kinds],
    )


def _anomalies(history: History, realtime: bool) -> list[Anomaly]:
    findings = INFERENCES[history.setting.workload](history)
    if findings.edges:
        near, writers_too = history.setting.near, history.setting.level in _READS_NOT_VALIDATED
        order = time_edges(history.transactions, realtime=realtime, near=near, writers_too=writers_too)
        edges = [*findings.edges, *order]
        for kind, breaks, cycle in find_cycles(edges):
            names = tuple(history.transactions[edge.before].name for edge in cycle)
            findings.anomalies.append(Anomaly(kind, names, tuple(_told(cycle, history.transactions)), breaks))
    return findings.anomalies


def _told(cycle: Cycle, transactions: list[RecordedTransaction]) -> Iterator[str]:
    """Say why each transaction of a cycle comes before the next one."""
    for edge in cycle:
        yield _reason(edge, transactions[edge.before], transactions[edge.after])
    first = transactions[cycle[0].before].name
    yield f"so {first} comes before itself"


def _reason(edge: Edge, before: RecordedTransaction, after: RecordedTransaction) -> str:
    if edge.new is None and edge.old is not None:
        return _reason_of_removal(edge, before, after)
    old = "empty" if edge.old is None else f"up to {edge.old}"
    match edge.why:
        case Dependency.WW:
            return f"{before.name} wrote {edge.old} to key {edge.key}, and {after.name} then wrote {edge.new}"
        case Dependency.WR:
            return f"{before.name} wrote {edge.new} to key {edge.key}, and {after.name} read it"
        case Dependency.RW:
            return f"{before.name} read key {edge.key} {old}, without {edge.new}, which {after.name} wrote"
        case Dependency.PREDICATE_RW:
            return f"{before.name} looked for rows of key {edge.key} and missed {edge.new}, which {after.name} inserted"
        case Dependency.PROCESS:
            return f"{before.name} ended before {after.name} began, in the same process"
        case Dependency.REALTIME:
            assert before.end is not None
            return f"{before.name} ended {(after.begin - before.end) / 1000:.0f} µs before {after.name} began"


def _reason_of_removal(edge: Edge, before: RecordedTransaction, after: RecordedTransaction) -> str:
    match edge.why:
        case Dependency.WW:
            return f"{before.name} wrote {edge.old} to key {edge.key}, and {after.name} then removed it"
        case Dependency.WR:
            return f"{before.name} removed {edge.old} from key {edge.key}, and {after.name} did not find it"
        case _:
            return f"{before.name} found {edge.old} in key {edge.key}, and {after.name} then removed it"
