"""Check that transactions are isolated: compare what clients did and saw with what a level promises. Extra: `testing`.

    python -m rome.testing.isolation 'rome+redis://127.0.0.1:6379/{db}'     record a load and check it
    check(read_history(paths))                                              check a history recorded by another program

Dependencies between transactions are inferred from values that are written only once, as in Elle (Kingsbury and
Alvaro, VLDB 2020). Anomalies are cycles in the graph of dependencies (Adya 1999), or show in single reads.

The modules: `history` (the format); `lists`, `registers`, `sets`, `counters`, `banks`, `stock` (one inference per
workload); `time_order`; `graph` (cycles); `anomalies` (what each level allows); `check`. Those that make histories:
`workloads`, `client`, `load`.
"""

from rome.testing.isolation.anomalies import Anomaly, AnomalyKind, Order, allowed
from rome.testing.isolation.check import IsolationVerdict, check
from rome.testing.isolation.history import (
    History,
    HistoryWriter,
    RecordedOperation,
    RecordedStatement,
    RecordedTransaction,
    Setting,
    make_history,
    read_history,
)

__all__ = [
    "Anomaly",
    "AnomalyKind",
    "History",
    "HistoryWriter",
    "IsolationVerdict",
    "Order",
    "RecordedOperation",
    "RecordedStatement",
    "RecordedTransaction",
    "Setting",
    "allowed",
    "check",
    "make_history",
    "read_history",
]
