"""What clients did and saw, transaction by transaction: the input of the checker, and its file format.

A file is JSON lines. The first line is the setting, every other one a transaction:

    {"workload":"lists","level":"SERIALIZABLE","facts":{},"format":1}
    {"process":0,"number":7,"begin":1000,"end":5000,"outcome":"ok",
     "statements":[[1000,2000,false,[["append",3,70]]],[2100,3000,true,[["read",3,[12,70]],["read",4,[]]]]]}

Times are nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share. Who checks clients on several
machines must not compare their times: see `check`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

FORMAT = 1
UNDONE = -1

Outcome = Literal["ok", "fail", "unknown"]
"""fail: surely nothing was written. unknown: all was written, or nothing."""

RecordedAction = Literal["read", "append", "remove", "write", "increment"]
RecordedValue = int | list[int] | None


class RecordedOperation(msgspec.Struct, frozen=True, array_like=True):
    """One thing that a statement read or wrote.

    read: `value` is what was there: a list (lists, sets), a number (registers, counters, accounts), or None for no row.
    append: to a list, or to a set. remove: from a set. write: a register's new number. increment: `value` was added.
    """

    kind: RecordedAction
    key: int
    value: RecordedValue


class RecordedStatement(msgspec.Struct, frozen=True, array_like=True):
    """One SQL statement that returned, or a write that was sent.

    `predicate`: its reads are of all keys that match a condition, and tell also which were not there.
    """

    begin: int
    end: int
    predicate: bool
    operations: list[RecordedOperation]


class RecordedTransaction(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt of one transaction.

    Attributes:
        number: counts the process's transactions.
        end: None: nobody knows when, or whether, it ended.
        part: of a transaction that was taken apart. UNDONE: its writes that were undone by a savepoint.
    """

    process: int
    number: int
    begin: int
    end: int | None
    outcome: Outcome
    statements: list[RecordedStatement]
    part: int | None = None

    @property
    def name(self) -> str:
        return f"T{self.process}.{self.number}" + ("" if self.part is None else f"#{self.part}")

    def operations(self) -> Iterator[tuple[RecordedStatement, RecordedOperation]]:
        """All operations in order, each with its statement."""
        for statement in self.statements:
            for operation in statement.operations:
                yield statement, operation


class Setting(msgspec.Struct, frozen=True):
    """How a history came about. `facts` are what a workload promises: bank has {"total": .., "accounts": ..}."""

    workload: str
    level: str
    facts: dict[str, int] = {}
    format: int = FORMAT


class History(msgspec.Struct, frozen=True):
    """All transactions of one run, in the order in which they began."""

    setting: Setting
    transactions: list[RecordedTransaction]


def make_history(setting: Setting, transactions: Iterable[RecordedTransaction]) -> History:
    """Put transactions in order. Of those with the same process and number the last one counts.

    So a client that may be killed announces a transaction as unknown before it begins, and overrides that later.
    """
    latest = {(each.process, each.number, each.part): each for each in transactions}
    return History(setting, sorted(latest.values(), key=lambda each: each.begin))


def read_history(paths: Iterable[Path]) -> History:
    """Read the files of one run, one per process; a last line that is cut off is left out.

    Raises:
        ValueError: no file, another format, or files of different settings.
        msgspec.DecodeError: a line is not of the format.
    """
    decoder = msgspec.json.Decoder(RecordedTransaction)
    settings: set[str] = set()
    transactions: list[RecordedTransaction] = []
    setting: Setting | None = None
    for path in paths:
        with path.open("rb") as file:
            head = file.readline()
            setting = msgspec.json.decode(head, type=Setting)
            settings.add(repr(setting))
            transactions += [decoder.decode(line) for line in file if line.endswith(b"\n")]
    if setting is None or len(settings) != 1:
        raise ValueError(f"not one history, but of {len(settings)} settings: {'; '.join(sorted(settings))}")
    if setting.format != FORMAT:
        raise ValueError(f"a history of format {setting.format}; this checker reads format {FORMAT}")
    return make_history(setting, transactions)


class HistoryWriter:
    """Writes one process's part of a history; every line reaches the file at once, so that SIGKILL costs none."""

    def __init__(self, path: Path, setting: Setting) -> None:
        self._file = path.open("wb", buffering=0)
        self._encoder = msgspec.json.Encoder()
        self._write(setting)

    def add(self, transaction: RecordedTransaction) -> None:
        self._write(transaction)

    def _write(self, line: Setting | RecordedTransaction) -> None:
        self._file.write(self._encoder.encode(line) + b"\n")

    def close(self) -> None:
        self._file.close()
