"""List-append: every value is appended once, so that one read shows the order of all writes before it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rome.testing.isolation.anomalies import AnomalyKind
from rome.testing.isolation.graph import Dependency, Edge
from rome.testing.isolation.history import History, RecordedTransaction
from rome.testing.isolation.inference import Findings, Writers, shown


def infer(history: History) -> Findings:
    """Find what single reads show, and the dependencies of committed transactions."""
    return _Inference(history).run()


class _Read:
    """A key as a committed transaction found it, without what that transaction had appended."""

    def __init__(self, place: int, key: int, version: list[int], predicate: bool) -> None:
        self.place, self.key, self.version, self.predicate = place, key, version, predicate


class _Inference:
    def __init__(self, history: History) -> None:
        self._transactions = history.transactions
        self._writers = Writers(history)
        self._findings = Findings()
        self._reads: list[_Read] = []
        self._orders: dict[int, list[int]] = {}
        """{key: the longest list that a committed transaction read}"""
        self._longest: dict[int, RecordedTransaction] = {}

    def run(self) -> Findings:
        """Look at every transaction, then make the graph."""
        for place, transaction in enumerate(self._transactions):
            if transaction.outcome == "ok":
                self._look_at(place, transaction)
        for key, order in self._orders.items():
            self._judge_order(key, order)
        self._add_edges()
        return self._findings

    def _look_at(self, place: int, transaction: RecordedTransaction) -> None:
        """Check a transaction's reads against its own writes, and keep what it read of others."""
        own: dict[int, list[int]] = {}
        found: dict[int, list[int]] = {}
        for statement, operation in transaction.operations():
            key, value = operation.key, operation.value
            if operation.kind != "read":
                assert isinstance(value, int)
                own.setdefault(key, []).append(value)
                continue
            assert isinstance(value, list)
            mine = own.get(key, [])
            cut = len(value) - len(mine)
            if cut < 0 or value[cut:] != mine:
                self._findings.report(
                    AnomalyKind.INTERNAL,
                    [transaction],
                    f"{transaction.name} appended {mine} to key {key}, and then read it as {shown(value)}",
                )
                continue
            version = value[:cut]
            before = found.setdefault(key, version)
            if before != version:
                self._findings.report(
                    AnomalyKind.NON_REPEATABLE_READ,
                    [transaction],
                    f"{transaction.name} read key {key} as {shown(before)}, and later as {shown(version)}",
                )
            self._reads.append(_Read(place, key, version, statement.predicate))
            if key not in self._orders or len(value) > len(self._orders[key]):
                self._orders[key], self._longest[key] = value, transaction

    def _judge_order(self, key: int, order: Sequence[int]) -> None:
        reader = self._longest[key]
        self._writers.judge(self._findings, reader, key, order)
        if len(set(order)) < len(order):
            twice = sorted({value for value in order if order.count(value) > 1})
            self._findings.report(
                AnomalyKind.DUPLICATE, [reader], f"{reader.name} read key {key} with {twice} in it twice"
            )
        failed = [self._failed(key, value) for value in order]
        if True in failed and False in failed[failed.index(True) :]:
            self._findings.report(
                AnomalyKind.DIRTY_UPDATE,
                [reader],
                f"key {key}: {order[failed.index(True)]}, whose transaction had failed, was built upon",
            )

    def _failed(self, key: int, value: int) -> bool:
        write = self._writers.find(key, value)
        return write is not None and self._transactions[write.place].outcome == "fail"

    def _add_edges(self) -> None:
        add = self._findings.edges.append
        followers: dict[int, list[tuple[int, int]]] = {}
        """{key: (value, place) of what was certainly appended and is in no list that was read, so comes after these}"""
        seen = {key: frozenset(order) for key, order in self._orders.items()}
        for key, value, place in self._writers.acknowledged():
            if key in seen and value not in seen[key]:
                followers.setdefault(key, []).append((value, place))
        for key, order in self._orders.items():
            chain = [(value, self._writers.place(key, value)) for value in order]
            for (old, before), (new, after) in pairwise(chain):
                if before is not None and after is not None and before != after:
                    add(Edge(before, after, Dependency.WW, key, old, new))
            for new, after in followers.get(key, ()):
                if chain and chain[-1][1] is not None and chain[-1][1] != after:
                    add(Edge(chain[-1][1], after, Dependency.WW, key, chain[-1][0], new))
        for read in self._reads:
            self._add_edges_of(read, followers)

    def _add_edges_of(self, read: _Read, followers: dict[int, list[tuple[int, int]]]) -> None:
        key, version, reader = read.key, read.version, self._transactions[read.place]
        order = self._orders.get(key, [])
        if order[: len(version)] != version:
            longest = self._longest[key]
            self._findings.report(
                AnomalyKind.INCOMPATIBLE_ORDER,
                [reader, longest],
                f"{reader.name} read key {key} as {shown(version)}",
                f"{longest.name} read it as {shown(order)}",
            )
            self._writers.judge(self._findings, reader, key, [value for value in version if value not in order])
            return
        last = version[-1] if version else None
        if last is not None:
            self._writers.judge_last(self._findings, reader, key, last)
            writer = self._writers.place(key, last)
            if writer is not None and writer != read.place:
                self._findings.edges.append(Edge(writer, read.place, Dependency.WR, key, None, last))
        nexts = (
            [(order[len(version)], self._writers.place(key, order[len(version)]))]
            if len(order) > len(version)
            else followers.get(key, ())
        )
        anti = Dependency.PREDICATE_RW if read.predicate and not version else Dependency.RW
        for new, after in nexts:
            if after is not None and after != read.place:
                self._findings.edges.append(Edge(read.place, after, anti, key, last, new))
