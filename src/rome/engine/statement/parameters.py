"""Parameters where they enter: made plain values once, by what they are worth and not by how they show themselves.

Invariant: behind this there are only None, int, float, str and bytes, of exactly these types, in tuples and dicts that
the application cannot change any more; what SQLite does not know is passed on, for `Prepared.bind` to refuse. A member
of `class State(str, Enum)` is its text, whatever its __str__ says: sqlite3, too, reads the value from below. So a
replay runs with what the first run had, and an adapter is called once.

Adapters are sqlite3's (sqlite3.register_adapter, and __conform__ with its PrepareProtocol), in its order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from rome.codec.values import PLAIN_TYPES, by_value
from rome.errors import ProgrammingError
from rome.planner.parse.canonical import number_parameters
from rome.planner.parse.statement import Statement, StatementKind
from rome.sql.tokens import tokenize

Parameters = Sequence[object] | Mapping[str, object]

_adapters: Mapping[tuple[type, type], Callable[[Any], object]] = sqlite3.adapters


class _Taken:
    """The types that are taken as they are: those of PLAIN_TYPES that no adapter was registered for.

    Attributes:
        adapters: how many adapters there were when that was looked up. They are never unregistered.
    """

    def __init__(self) -> None:
        self.adapters = -1
        self.types = PLAIN_TYPES

    def look_up(self) -> None:
        self.adapters = len(_adapters)
        self.types = frozenset(kind for kind in PLAIN_TYPES if (kind, sqlite3.PrepareProtocol) not in _adapters)


_taken = _Taken()


def entered(statement: Statement, parameters: Parameters) -> Parameters:
    """One set of parameters, plain. Of a mapping only what the statement names; what is missing there is left out.

    Raises:
        ProgrammingError: it is neither a sequence nor a mapping. Whatever an adapter raises.

    Cost: 0.3 µs for a tuple of plain values.
    """
    if len(_adapters) != _taken.adapters:
        _taken.look_up()
    kind = type(parameters)
    if (kind is tuple or kind is list) and _taken.types.issuperset(map(type, parameters)):  # as SQLAlchemy gives them
        return tuple(parameters)
    if isinstance(parameters, Mapping):
        named: dict[str, object] = {}
        for name in statement.parameter_names:
            try:
                value = parameters[name]  # not by `in`: a dict may have __missing__
            except LookupError:
                continue
            named[name] = _plain(value)
        return named
    if not (hasattr(parameters, "__getitem__") and hasattr(parameters, "__len__")):
        raise ProgrammingError("parameters are of unsupported type")
    return tuple(map(_plain, parameters))


def check_count(statement: Statement, parameters: Parameters) -> None:
    """Refuse parameters for a statement that has none. For statements about rows, SQLite's own count decides.

    Raises:
        ProgrammingError: there are more parameters than the statement has, or fewer.
    """
    if statement.kind in _OF_ANY_COUNT or isinstance(parameters, Mapping):
        return
    slots = [slot for _, slot in number_parameters(tokenize(statement.text))]
    ends = [slot.stop if isinstance(slot, range) else slot + 1 for slot in slots if isinstance(slot, int | range)]
    wanted = max(ends, default=0)
    if len(parameters) != wanted:
        raise wrong_count(wanted, len(parameters))


_OF_ANY_COUNT = frozenset(
    {StatementKind.EXPLAIN_ROME, StatementKind.EXPLAIN_ROME_ANALYZE, StatementKind.OTHER, StatementKind.EMPTY}
)


def wrong_count(wanted: int, given: int) -> ProgrammingError:
    """sqlite3's error for a wrong number of parameters."""
    return ProgrammingError(
        f"Incorrect number of bindings supplied. The current statement uses {wanted}, and there are {given} supplied."
    )


def all_entered(statement: Statement, batch: Iterable[Parameters]) -> list[Parameters]:
    """Many sets of parameters, each plain."""
    return [entered(statement, parameters) for parameters in batch]


def _plain(value: object) -> object:
    kind = type(value)
    return value if kind in _taken.types else by_value(_adapted(value, kind))


def _adapted(value: object, kind: type) -> object:
    """What an adapter makes of a value; without one it is itself."""
    adapter = _adapters.get((kind, sqlite3.PrepareProtocol))
    if adapter is not None:
        if kind in _DEFAULT and getattr(adapter, "__module__", "") == "sqlite3.dbapi2":
            adapter = _DEFAULT[kind]
        return adapter(value)
    conform = getattr(value, "__conform__", None)
    if conform is not None:
        try:
            made = conform(sqlite3.PrepareProtocol)
        except TypeError:  # it knows other protocols: sqlite3 goes on, too
            made = None
        if made is not None:
            return made
    return value


# sqlite3's own, without its DeprecationWarning: what these values become is part of what Rome stores.
_DEFAULT: dict[type, Callable[[Any], object]] = {
    date: date.isoformat,
    datetime: lambda value: datetime.isoformat(value, " "),
}
