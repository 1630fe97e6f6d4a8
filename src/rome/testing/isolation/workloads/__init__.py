"""What the clients of a load do: kinds of transactions, each with values from which its inference can conclude.

Keys go out of use and new ones come as a process counts its transactions, so that lists stay short and rows come into
being all the time: phantoms need that.
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
"""By the name that a history's setting gives."""
