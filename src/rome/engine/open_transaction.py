"""The state of one open transaction, and the log from which it can be replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from rome.engine.execution import Execution
from rome.engine.reader import Reader
from rome.engine.result import Result
from rome.engine.schema import Schema
from rome.errors import Error
from rome.planner.statement import Statement
from rome.store.spi import Store
from rome.transaction.transaction import Transaction
from rome.workingset.contents import Contents
from rome.workingset.workingset import Counters, WorkingSet

Parameters = Sequence[object] | Mapping[str, object]


class Operation(NamedTuple):
    """One thing the application asked for; `batch` is executemany's, else None."""

    statement: Statement
    parameters: Parameters
    batch: list[Parameters] | None = None


class Logged(NamedTuple):
    """An operation, and what the application saw of it."""

    operation: Operation
    outcome: Result | Error


class Savepoint(NamedTuple):
    """What ROLLBACK TO goes back to."""

    name: str
    contents: Contents
    schema: Schema


@dataclass(slots=True)
class OpenTransaction:
    """A transaction between its first statement and its end.

    Attributes:
        base: the schema that the store has.
        explicit: begun by BEGIN, so that AUTOCOMMIT waits for COMMIT.
        by_savepoint: begun by SAVEPOINT under AUTOCOMMIT: the release of the outermost one commits.
        locked: FOR UPDATE was used: COMMIT validates even if nothing was written.
        replayable: not once DDL has run.
        counters: of the working set, when the transaction began; a replay begins with them.
    """

    transaction: Transaction
    reader: Reader
    execution: Execution
    base: Schema
    counters: Counters
    explicit: bool = False
    by_savepoint: bool = False
    locked: bool = False
    replayable: bool = True
    savepoints: list[Savepoint] = field(default_factory=list)
    log: list[Logged] = field(default_factory=list)
    log_rows: int = 0

    @classmethod
    def begin(cls, store: Store, working_set: WorkingSet, schema: Schema) -> OpenTransaction:
        transaction = Transaction(store)
        reader = Reader(transaction, working_set, schema)
        return cls(transaction, reader, Execution(reader, store), schema, working_set.counters)

    @property
    def schema(self) -> Schema:
        return self.reader.schema

    def is_pristine(self) -> bool:
        """Nothing rests on the schema yet, so that a newer one may still take its place."""
        return (
            self.schema is self.base
            and not self.reader.working_set.contents.is_dirty()
            and len(self.transaction.read_set) == 0
        )


_encode = msgspec.msgpack.Encoder().encode


def same_outcome(one: Result | Error, other: Result | Error) -> bool:
    """Whether the application could not tell the two apart; 1, 1.0 and '1' differ, and so do 0.0 and -0.0."""
    if isinstance(one, Result) and isinstance(other, Result):
        return (one.columns, one.rowcount, one.lastrowid) == (other.columns, other.rowcount, other.lastrowid) and (
            _encode(one.rows) == _encode(other.rows)
        )
    return type(one) is type(other) and str(one) == str(other)
