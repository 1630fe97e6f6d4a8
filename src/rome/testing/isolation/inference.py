"""What the inferences share: who wrote a value, and the anomalies that one value shows by itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from rome.testing.isolation.anomalies import Anomaly, AnomalyKind
from rome.testing.isolation.graph import Edge
from rome.testing.isolation.history import History, RecordedTransaction, RecordedValue


@dataclass
class Findings:
    """Anomalies found without a graph, and the edges of the graph. A place is a position in the history."""

    anomalies: list[Anomaly] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)

    def report(self, kind: AnomalyKind, transactions: Iterable[RecordedTransaction], *story: str) -> None:
        """Add an anomaly."""
        self.anomalies.append(Anomaly(kind, tuple(dict.fromkeys(each.name for each in transactions)), story))


class InferredWrite(NamedTuple):
    """The write of a value.

    Attributes:
        place: of its transaction.
        final: whether the transaction wrote nothing to the key after it.
    """

    place: int
    final: bool


class Writers:
    """Knows who wrote each value of each key. Writing a value twice is a fault of the workload.

    A transaction of unknown outcome counts as committed once somebody else has read what it wrote.
    """

    def __init__(self, history: History) -> None:
        self._transactions = history.transactions
        self._writes: dict[tuple[int, int], InferredWrite] = {}
        last: dict[tuple[int, int], int] = {}
        for place, transaction in enumerate(history.transactions):
            for _, operation in transaction.operations():
                if operation.kind in ("read", "remove"):
                    continue
                key, value = operation.key, operation.value
                assert isinstance(value, int)
                if (key, value) in self._writes:
                    raise ValueError(f"value {value} of key {key} is written twice: this history cannot be checked")
                self._writes[key, value] = InferredWrite(place, True)
                before = last.get((place, key))
                if before is not None:
                    self._writes[key, before] = InferredWrite(place, False)
                last[place, key] = value

    def find(self, key: int, value: int | None) -> InferredWrite | None:
        """The write of a value; None if there is no value, or nobody wrote it."""
        return None if value is None else self._writes.get((key, value))

    def place(self, key: int, value: int | None) -> int | None:
        """The place of the transaction that wrote a value; None if there is none, nobody wrote it, or it failed."""
        write = self.find(key, value)
        if write is None or self._transactions[write.place].outcome == "fail":
            return None
        return write.place

    def acknowledged(self) -> Iterable[tuple[int, int, int]]:
        """(key, value, place) of each write that is certain to be committed."""
        for (key, value), write in self._writes.items():
            if self._transactions[write.place].outcome == "ok":
                yield key, value, write.place

    def judge(self, findings: Findings, reader: RecordedTransaction, key: int, values: Iterable[int]) -> None:
        """Report values that nobody wrote, and values of transactions that had failed."""
        for value in values:
            write = self.find(key, value)
            if write is None:
                findings.report(
                    AnomalyKind.GARBAGE_READ, [reader], f"{reader.name} read {value} in key {key}, which nobody wrote"
                )
            elif self._transactions[write.place].outcome == "fail":
                writer = self._transactions[write.place]
                findings.report(
                    AnomalyKind.G1A,
                    [reader, writer],
                    f"{reader.name} read {value} in key {key}, which {writer.name} wrote; and {writer.name} had failed",
                )

    def judge_last(self, findings: Findings, reader: RecordedTransaction, key: int, value: int) -> None:
        """Report a version that its own transaction overwrote."""
        write = self.find(key, value)
        if write is None or write.final:
            return
        writer = self._transactions[write.place]
        findings.report(
            AnomalyKind.G1B,
            [reader, writer],
            f"{reader.name} read key {key} up to {value}, and {writer.name}, which wrote that, wrote on",
        )


def shown(value: RecordedValue) -> str:
    """A value as a story shows it; of a long list only the end."""
    if not isinstance(value, list) or len(value) <= 6:
        return f"{value}"
    return f"[.. {', '.join(map(str, value[-6:]))}] ({len(value)} long)"
