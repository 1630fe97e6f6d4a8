"""What clients did and saw, transaction by transaction: the input of the checker, and its file format.

A file holds JSON lines. The first line is the setting, each other line a transaction:

    {"workload":"lists","level":"SERIALIZABLE","facts":{},"format":1}
    {"process":0,"number":7,"begin":1000,"end":5000,"outcome":"ok",
     "statements":[[1000,2000,false,[["append",3,70]]],[2100,3000,true,[["read",3,[12,70]],["read",4,[]]]]]}

Times are nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share. Times of clients on different machines
must not be compared: see `check`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

FORMAT = 1
UNDONE = -1

Outcome = Literal["ok", "fail", "unknown"]
"""fail: it is certain that nothing was written. unknown: everything was written, or nothing."""

RecordedAction = Literal["read", "append", "remove", "write", "increment"]
RecordedValue = int | list[int] | None


class RecordedOperation(msgspec.Struct, frozen=True, array_like=True):
    """One thing that a statement read or wrote.

    Attributes:
        kind: read, append (to a list or a set), remove (from a set), write (a register), or increment.
        value: of a read, what was there: a list (lists, sets), a number (registers, counters, accounts), or None for no
            row. Otherwise the element, the register's new number, or the amount that was added.
    """

    kind: RecordedAction
    key: int
    value: RecordedValue


class RecordedStatement(msgspec.Struct, frozen=True, array_like=True):
    """One SQL statement that returned, or a write that was sent.

    If `predicate`, it read all keys that match a condition, so its reads also show which keys were absent.
    """

    begin: int
    end: int
    predicate: bool
    operations: list[RecordedOperation]


class RecordedTransaction(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt of one transaction.

    Attributes:
        number: counts the process's transactions.
        end: None if it is not known when, or whether, it ended.
        part: which part of a transaction that was taken apart. UNDONE: its writes that a savepoint undid.
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
        """How stories name it: T<process>.<number>, and #<part> if it is a part."""
        return f"T{self.process}.{self.number}" + ("" if self.part is None else f"#{self.part}")

    def operations(self) -> Iterator[tuple[RecordedStatement, RecordedOperation]]:
        """All operations in order, each with its statement."""
        for statement in self.statements:
            for operation in statement.operations:
                yield statement, operation


class Setting(msgspec.Struct, frozen=True):
    """How a history came about.

    Attributes:
        facts: what the workload promises: for bank {"total": .., "accounts": ..}.
        near: processes with a lower number read near (`reads=near`): what only reads may be old, and runs backwards in
            no process.
    """

    workload: str
    level: str
    facts: dict[str, int] = {}
    format: int = FORMAT
    near: int = 0


class History(msgspec.Struct, frozen=True):
    """All transactions of one run, in the order in which they began."""

    setting: Setting
    transactions: list[RecordedTransaction]


def make_history(setting: Setting, transactions: Iterable[RecordedTransaction]) -> History:
    """Put transactions in order. Of several with the same process and number only the last one counts.

    So a client that may be killed can record a transaction as unknown before it begins, and overwrite that later.
    """
    latest = {(each.process, each.number, each.part): each for each in transactions}
    return History(setting, sorted(latest.values(), key=lambda each: each.begin))


def read_history(paths: Iterable[Path]) -> History:
    """Read the files of one run, one per process. An incomplete last line is ignored.

    Raises:
        ValueError: there is no file, its format is another, or the files are of different settings.
        msgspec.DecodeError: a line does not have the format.
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
    """Writes one process's part of a history. Every line reaches the file at once, so SIGKILL loses none."""

    def __init__(self, path: Path, setting: Setting) -> None:
        self._file = path.open("wb", buffering=0)
        self._encoder = msgspec.json.Encoder()
        self._write(setting)

    def add(self, transaction: RecordedTransaction) -> None:
        """Write one transaction."""
        self._write(transaction)

    def _write(self, line: Setting | RecordedTransaction) -> None:
        self._file.write(self._encoder.encode(line) + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
