"""Indexes of the stored schema that a working set gets for a while, since a statement looks up rows by them.

A working set has unique indexes only. That is enough where a statement passes over a table once. But a correlated
subquery, or a join for which SQLite makes no automatic index, passes over it for every row of another table. SQLite's
own plan on the mirror, which has all indexes, says by which index it would look rows up there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, cast

import apsw

from rome.sql.tokens import tokenize


class Lookup(NamedTuple):
    """An index by which a statement looks up rows again and again.

    Attributes:
        table: its table's name in lower case.
        definition: its CREATE INDEX, from ON.
    """

    name: str
    table: str
    definition: str


class Step(NamedTuple):
    """A loop over a table in SQLite's plan that runs several times, as EXPLAIN QUERY PLAN shows it.

    Attributes:
        table: the table's name or alias in the statement.
        way: what follows USING; empty for a pass over all rows.
        correlated: it is in a subquery that runs several times. SQLite makes an automatic index there each time.
    """

    table: str
    way: str
    correlated: bool


def lookups(mirror: apsw.Connection, working_set: apsw.Connection, sql: str, parameters: int) -> tuple[Lookup, ...]:
    """The indexes that SQLite would use on the stored schema where it passes over a table again and again here.

    Args:
        mirror: an SQLite with the schema as it is stored. working_set: one without some of its indexes.
        parameters: how many the statement has.

    Cost: SQLite prepares the statement twice.
    """
    steps = repeated(working_set, sql, parameters)
    automatic = {step.table for step in steps if step.way.startswith("AUTOMATIC ") and not step.correlated}
    ways = [step.way for step in repeated(mirror, sql, parameters) if step.table not in automatic]
    if not ways:
        return ()
    return tuple(found for found in _indexes(mirror) if any(_names(way, found.name) for way in ways))


def index_lookups(mirror: apsw.Connection, names: Iterable[str]) -> tuple[Lookup, ...]:
    """The indexes of these names."""
    wanted = {name.lower() for name in names}
    return tuple(found for found in _indexes(mirror) if found.name.lower() in wanted)


def _names(way: str, index: str) -> bool:
    """Whether a way through a table leads along this index."""
    _, found, rest = way.partition(f"INDEX {index}")
    return bool(found) and (not rest or rest[0] == " ")


def _indexes(mirror: apsw.Connection) -> Iterator[Lookup]:
    """The indexes of which the working set may lack one: the unique ones are always there."""
    rows = mirror.execute("SELECT name, tbl_name, sql FROM main.sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    for name, table, sql in cast("list[tuple[str, str, str]]", rows.fetchall()):
        tokens = tokenize(sql)
        if tokens[1].word != "UNIQUE":
            start = next(token.start for token in tokens if token.word == "ON")
            yield Lookup(name, table.lower(), sql[start:])


def repeated(connection: apsw.Connection, sql: str, parameters: int) -> Iterator[Step]:
    """The loops of a statement's plan that run again for each row of another loop."""
    repeated = {0: False}
    looped: set[int] = set()
    plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", (None,) * parameters, can_cache=False)
    for number, parent, _, detail in cast("list[tuple[int, int, int, str]]", plan.fetchall()):
        correlated = again = repeated.get(parent, False)
        if detail.startswith(("SCAN ", "SEARCH ", "MULTI-INDEX OR")):
            again = again or parent in looped
            looped.add(parent)
            if again and not detail.startswith("MULTI"):
                table, _, way = detail.partition(" ")[2].partition(" USING ")
                yield Step(table.removesuffix(" EXISTS"), way, correlated)
        repeated[number] = again or detail.startswith(("CORRELATED ", "RECURSIVE STEP"))


__all__ = ["Lookup", "index_lookups", "lookups", "repeated"]
