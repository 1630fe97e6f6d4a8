"""What a transaction has done and what the application saw of it: what a checked replay runs again and compares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from rome.engine.result import Result
from rome.errors import Error
from rome.planner.statement import Statement

MAX_ROWS = 100_000
"""A transaction that has seen more rows is not kept for replay."""

Parameters = Sequence[object] | Mapping[str, object]


class Operation(Struct, frozen=True):
    """One thing the application asked for; `batch` is executemany's, else None."""

    statement: Statement
    parameters: Parameters
    batch: list[Parameters] | None = None


class Logged(Struct, frozen=True):
    """An operation, and what the application saw of it."""

    operation: Operation
    outcome: Result | Error


class Log:
    """All operations of one transaction, in order; the same object through all of its attempts.

    Attributes:
        begun: something was asked for; true for ever then.
        replayable: it is complete, and running it again does no harm. Not once DDL has run.
    """

    def __init__(self) -> None:
        self.begun = False
        self.replayable = True
        self._logged: list[Logged] = []
        self._rows = 0

    def __iter__(self) -> Iterator[Logged]:
        return iter(self._logged)

    def add(self, operation: Operation, outcome: Result | Error) -> None:
        """Keep an operation, with parameters that the application cannot change any more."""
        self.begun = True
        if not isinstance(outcome, Error):
            self._rows += len(outcome.rows)
        if self._rows > MAX_ROWS:
            self.replayable = False
        if self.replayable:
            kept = Operation(operation.statement, copied(operation.parameters), operation.batch)
            self._logged.append(Logged(kept, outcome))
        else:
            self._logged.clear()


def copied(parameters: Parameters) -> Parameters:
    """Parameters that the application cannot change any more."""
    if type(parameters) is tuple and _IMMUTABLE.issuperset(map(type, parameters)):  # as SQLAlchemy gives them
        return parameters
    if isinstance(parameters, Mapping):
        return {name: _immutable(value) for name, value in parameters.items()}
    return tuple(map(_immutable, parameters))


_IMMUTABLE = frozenset({type(None), int, float, str, bytes})


def _immutable(value: object) -> object:
    return bytes(value) if isinstance(value, bytearray | memoryview) else value


_encode = msgspec.msgpack.Encoder().encode


def same_outcome(one: Result | Error, other: Result | Error) -> bool:
    """Whether the application could not tell the two apart; 1, 1.0 and '1' differ, and so do 0.0 and -0.0."""
    if isinstance(one, Result) and isinstance(other, Result):
        return (one.columns, one.rowcount, one.lastrowid) == (other.columns, other.rowcount, other.lastrowid) and (
            _encode(one.rows) == _encode(other.rows)
        )
    return type(one) is type(other) and str(one) == str(other)
