"""The anomalies that the checker knows, and which isolation level allows which.

Names are Adya's (Weak Consistency, 1999) and Elle's (Kingsbury and Alvaro, VLDB 2020), where they have one. The levels
are Rome's, as the table of docs/guarantees.md states them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class AnomalyKind(Enum):
    """A kind of anomaly; its value describes it."""

    GARBAGE_READ = "garbage read: a value that nobody wrote"
    DUPLICATE = "duplicate: one write took effect twice"
    INTERNAL = "internal inconsistency: a transaction does not see its own writes"
    NON_REPEATABLE_READ = "non-repeatable read: a transaction read two values of one key"
    G1A = "G1a, aborted read: a transaction read a value whose transaction had failed"
    G1B = "G1b, intermediate read: a transaction read a value that its own transaction overwrote"
    DIRTY_UPDATE = "dirty update: a committed write was made on top of one that had failed"
    INCOMPATIBLE_ORDER = "incompatible orders: one key's versions were seen in two orders"
    LOST_UPDATE = "lost update: two transactions replaced the same version"
    DOUBLE_REMOVAL = "double removal: two transactions were told that they removed the same row"
    LOST_WRITE = "lost write: it was acknowledged, and is not there"
    INVARIANT = "broken invariant: a statement saw a total that is never there"
    STALE_READ = "stale read: a transaction missed what was committed before it began"
    G0 = "G0, dirty write: a cycle of writes"
    G1C = "G1c, circular information flow: a cycle of writes and reads"
    G_SINGLE = "G-single, read skew: one transaction saw part of another"
    G_NONADJACENT = "G-nonadjacent: transactions saw two others in different orders"
    G2_ITEM = "G2-item, write skew: each transaction missed the other's write"
    G2 = "G2, phantom: each transaction missed a row that another inserted"


class Order(Enum):
    """The order of time that a cycle needs, in addition to what was read and written."""

    NONE = ""
    PROCESS = "against the order of one process's transactions"
    REALTIME = "against real time"


_SKEWS = frozenset({AnomalyKind.G2_ITEM, AnomalyKind.G2})
_ALLOWED = {
    "SERIALIZABLE": frozenset[AnomalyKind](),
    "AUTOCOMMIT": frozenset[AnomalyKind](),
    "SNAPSHOT": _SKEWS,
    "REPEATABLE READ": _SKEWS,
    "READ COMMITTED": _SKEWS
    | {AnomalyKind.NON_REPEATABLE_READ, AnomalyKind.LOST_UPDATE, AnomalyKind.G_SINGLE, AnomalyKind.G_NONADJACENT},
}


def allowed(level: str) -> frozenset[AnomalyKind]:
    """The kinds of anomalies that a level allows. It allows them against real time, too.

    Raises:
        ValueError: there is no such level.
    """
    if level not in _ALLOWED:
        raise ValueError(f"no isolation level {level!r}; known: {', '.join(_ALLOWED)}")
    return _ALLOWED[level]


@dataclass(frozen=True)
class Anomaly:
    """One anomaly. `story` describes it, one line per step; `names` are the transactions in it."""

    kind: AnomalyKind
    names: tuple[str, ...]
    story: tuple[str, ...]
    order: Order = Order.NONE

    def __str__(self) -> str:
        title = self.kind.value if self.order is Order.NONE else f"{self.kind.value} ({self.order.value})"
        return "\n    ".join((title, *self.story))
