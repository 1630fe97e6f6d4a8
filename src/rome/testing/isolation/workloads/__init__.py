"""What the clients of a load do: kinds of transactions, each with values from which its inference can draw conclusions.

As a process counts its transactions, it moves on to new keys. So lists stay short, and rows are created all the time,
which phantoms need.
"""

from __future__ import annotations

from rome.testing.isolation.workloads.bank import Bank
from rome.testing.isolation.workloads.counters import CounterWorkload
from rome.testing.isolation.workloads.keyed import KeyedWorkload, LastRead
from rome.testing.isolation.workloads.lists import Lists
from rome.testing.isolation.workloads.registers import Registers
from rome.testing.isolation.workloads.sets import Sets
from rome.testing.isolation.workloads.stock import Stock

__all__ = ["WORKLOADS", "KeyedWorkload", "LastRead"]

WORKLOADS: dict[str, type[KeyedWorkload]] = {
    "lists": Lists,
    "registers": Registers,
    "sets": Sets,
    "counters": CounterWorkload,
    "bank": Bank,
    "stock": Stock,
}
"""{name in a history's setting: workload}"""
