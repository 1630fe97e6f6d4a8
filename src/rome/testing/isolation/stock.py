"""Stock: elements of sets are added once and removed once; a read is of a whole set.

A transaction that finds an element comes after the one that added it, and before the one that removes it. A transaction
that misses it comes before both or after both, and the set does not tell which. So time decides: if the element was
there before a transaction began, the transaction can miss it only because of a removal, and of none that began after
the transaction had ended. (Not: after it had read. A replayed transaction saw the same again, later.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rome.testing.isolation.anomalies import AnomalyKind
from rome.testing.isolation.graph import Dependency, Edge
from rome.testing.isolation.history import History, RecordedTransaction
from rome.testing.isolation.inference import Findings, Writers


class _Read(NamedTuple):
    """A set as a committed transaction found it, without what that transaction had added or removed, which is `own`."""

    place: int
    key: int
    elements: frozenset[int]
    own: frozenset[int]


def infer(history: History) -> Findings:
    """Find what single reads show, and the dependencies of committed transactions.

    Cost: O(reads x elements that a set has ever had): sets should be short-lived, and many.
    """
    return _Inference(history).run()


class _Inference:
    def __init__(self, history: History) -> None:
        self._transactions = history.transactions
        self._writers = Writers(history)
        self._findings = Findings()
        self._removers: dict[tuple[int, int], list[int]] = {}
        """{(key, element): places of the transactions that may have removed it}"""
        self._removed: dict[tuple[int, int], int] = {}
        """{(key, element): places of the transactions that certainly removed it}"""
        self._reads: list[_Read] = []

    def run(self) -> Findings:
        """Look at every transaction, then make the graph."""
        for place, transaction in enumerate(self._transactions):
            if transaction.outcome == "ok":
                self._reads += self._look_at(place, transaction)
            if transaction.outcome != "fail":
                for _, operation in transaction.operations():
                    if operation.kind == "remove":
                        assert isinstance(operation.value, int)
                        self._removers.setdefault((operation.key, operation.value), []).append(place)
        for (key, element), places in self._removers.items():
            self._judge_removal(key, element, places)
        self._add_edges()
        return self._findings

    def _look_at(self, place: int, transaction: RecordedTransaction) -> Iterator[_Read]:
        """Check a transaction's reads against what it did itself; yields what it saw of others."""
        added: dict[int, set[int]] = {}
        removed: dict[int, set[int]] = {}
        found: dict[int, frozenset[int]] = {}
        for _, operation in transaction.operations():
            key, value = operation.key, operation.value
            mine, gone = added.setdefault(key, set()), removed.setdefault(key, set())
            if operation.kind != "read":
                assert isinstance(value, int)
                (mine if operation.kind == "append" else gone).add(value)
                continue
            assert isinstance(value, list)
            elements, own = frozenset(value), frozenset(mine | gone)
            if len(elements) < len(value):
                self._report(AnomalyKind.DUPLICATE, transaction, f"read set {key} as {sorted(value)}")
            if elements & own != mine - gone:
                did = f"added {sorted(mine)} to set {key} and removed {sorted(gone)}"
                self._report(AnomalyKind.INTERNAL, transaction, f"{did}, and then read it as {sorted(value)}")
            before = found.setdefault(key, elements) - own
            if before != elements - own:
                later = f"{sorted(before)}, and later as {sorted(elements - own)}"
                self._report(AnomalyKind.NON_REPEATABLE_READ, transaction, f"read set {key} as {later}")
            yield _Read(place, key, elements - own, own)

    def _report(self, kind: AnomalyKind, transaction: RecordedTransaction, what: str) -> None:
        self._findings.report(kind, [transaction], f"{transaction.name} {what}")

    def _judge_removal(self, key: int, element: int, places: list[int]) -> None:
        sure = [place for place in places if self._transactions[place].outcome == "ok"]
        if not sure:
            return
        remover = self._removed[key, element] = sure[0]
        by = [self._transactions[place] for place in sure]
        if len(sure) > 1:
            story = [f"{one.name} removed {element} from key {key}" for one in by]
            self._findings.report(AnomalyKind.DOUBLE_REMOVAL, by, *story)
        self._writers.judge(self._findings, by[0], key, [element])
        adder = self._writers.place(key, element)
        if adder is not None:
            self._add(Edge(adder, remover, Dependency.WW, key, element, None))

    def _add_edges(self) -> None:
        adders: dict[int, dict[int, int]] = {}
        """{set: {element that was certainly there: place of the transaction that added it}}"""
        for key, element, place in self._writers.acknowledged():
            adders.setdefault(key, {})[element] = place
        for read in self._reads:
            self._writers.judge(self._findings, self._transactions[read.place], read.key, sorted(read.elements))
            for element in read.elements:
                adder = self._writers.place(read.key, element)
                if adder is not None:
                    adders.setdefault(read.key, {})[element] = adder
                    self._add(Edge(adder, read.place, Dependency.WR, read.key, None, element))
        for read in self._reads:
            for element, adder in adders.get(read.key, {}).items():
                if element not in read.elements and element not in read.own:
                    self._add_edge_of_missed(read, element, adder)
        for read in self._reads:  # after the loop above, which found out whose removals were seen
            for element in read.elements:
                remover = self._removed.get((read.key, element))
                if remover is not None:
                    self._add(Edge(read.place, remover, Dependency.RW, read.key, element, None))

    def _add_edge_of_missed(self, read: _Read, element: int, adder: int) -> None:
        key, reader = read.key, self._transactions[read.place]
        sure = self._removed.get((key, element))
        places = self._removers.get((key, element), []) if sure is None else [sure]
        removers = [at for at in places if at != read.place and not _is_after(self._transactions[at], reader)]
        if not removers:
            self._add(Edge(read.place, adder, Dependency.PREDICATE_RW, key, None, element))
        elif len(removers) == 1 and _is_after(reader, self._transactions[adder]):
            self._removed[key, element] = removers[0]
            self._add(Edge(removers[0], read.place, Dependency.WR, key, element, None))

    def _add(self, edge: Edge) -> None:
        if edge.before != edge.after:
            self._findings.edges.append(edge)


def _is_after(later: RecordedTransaction, earlier: RecordedTransaction) -> bool:
    """Whether one certainly began after the other had ended."""
    return earlier.end is not None and earlier.end < later.begin
