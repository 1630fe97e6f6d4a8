"""The tables that a statement reads whole, why, and the index with which it would not.

An index is proposed only if the statement's plan with it does not read the table whole any more: the statement is
planned once more, on a catalog to which the index was added. Nothing is created.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, takewhile

import apsw
from msgspec import Struct

from rome.catalog.schema import Catalog, Index, Table
from rome.engine.statement.prepared import Prepared
from rome.planner.planning import plan_statement
from rome.sql.tokens import identifier, tokenize

_MOST_GUESSES = 8

Guess = dict[str, list[tuple[str, ...]]]
"""{table: the columns of each index that it gets}"""


class FullScan(Struct, frozen=True):
    """A table that a statement reads whole.

    Attributes:
        reason: why nothing bounds it, as in EXPLAIN ROME.
        indexes: the statements that would create what helps; empty if no index is known to help.
    """

    table: str
    reason: str
    indexes: tuple[str, ...] = ()


def full_scans(prepared: Prepared, catalog: Catalog) -> list[FullScan]:
    """Every table that the statement reads whole whatever its parameters are.

    Cost: no I/O; without a full scan none, otherwise up to some milliseconds, since the statement is planned again.
    """
    if prepared.plan.asks_aggregates or not prepared.plan.full_scans:
        return []
    reasons = {line.table: line.remark for line in prepared.plan.explain(None) if line.access == "whole table"}
    return [
        FullScan(table.name, reasons.get(table.name, ""), _helping(prepared, table, catalog))
        for table in prepared.plan.full_scans
    ]


def _helping(prepared: Prepared, table: Table, catalog: Catalog) -> tuple[str, ...]:
    """The statements that create the indexes of the first guess that helps, and leads to no other full scan."""
    inspection, plan = prepared.inspection, prepared.plan
    names = inspection.read | (inspection.written - inspection.inserted)
    base_tables = frozenset(name for name in names if name in catalog.tables)
    others = {scanned.id for scanned in plan.full_scans} - {table.id}
    for guess in islice(_guesses(prepared, table), _MOST_GUESSES):
        tables = dict(catalog.tables)
        for of, indexes in guess.items():
            tables[of.lower()] = _with_indexes(tables[of.lower()], indexes)
        found = plan_statement(prepared.statement.text, replace(catalog, tables=tables), base_tables)
        if {scanned.id for scanned in found.full_scans} <= others:
            return tuple(_creating(of, columns) for of, indexes in guess.items() for columns in indexes)
    return ()


def _guesses(prepared: Prepared, table: Table) -> Iterator[Guess]:
    """Indexes on the table; on the tables with which it is joined, too; in the order that the result is to have."""
    plan = prepared.plan
    own = plan.index_candidates(table)
    yield from ({table.name: indexes} for indexes in own)
    joined = {other.name: found[0] for other in plan.tables if (found := plan.index_candidates(other))}
    yield from ({name: indexes} for name, indexes in joined.items() if name != table.name)
    if len(joined) > 1:
        yield joined
    ordered = _order(prepared, table)
    if ordered:
        if own and len(own[0]) == 1:
            yield {table.name: [tuple(dict.fromkeys((*own[0][0], *ordered)))]}
        yield {table.name: [ordered]}


def _order(prepared: Prepared, table: Table) -> tuple[str, ...]:
    """The columns of the last ORDER BY, since LIMIT ends a read in the order of an index; empty without these two."""
    tokens = tokenize(prepared.statement.text)
    words = [token.word for token in tokens]
    if "LIMIT" not in words or "ORDER" not in words:
        return ()
    begin = len(words) - words[::-1].index("ORDER") + 1
    terms = takewhile(lambda token: token.word != "LIMIT", tokens[begin:])
    names = dict.fromkeys(identifier(token).lower() for token in terms if token.kind in ("word", "quoted"))
    return tuple(table.columns[table.positions[name]].name for name in names if name in table.positions)


def _with_indexes(table: Table, wanted: Sequence[tuple[str, ...]]) -> Table:
    made = list(table.indexes)
    for columns in wanted:
        positions = tuple(table.positions[name.lower()] for name in columns)
        number = max(index.id for index in (table.key, *made)) + 1
        collations = tuple(table.columns[position].collation for position in positions)
        made.append(Index(number, f"guess_{number}", False, positions, collations))
    return replace(table, indexes=tuple(made))


def _creating(table: str, columns: Sequence[str]) -> str:
    name = "_".join(["ix", table, *columns])
    return f"CREATE INDEX {_quoted(name)} ON {_quoted(table)} ({', '.join(map(_quoted, columns))})"


def _quoted(name: str) -> str:
    """A name as it stands in a statement; in quotes if it is no plain word."""
    tokens = tokenize(name)
    plain = len(tokens) == 1 and tokens[0].kind == "word" and tokens[0].word not in apsw.keywords
    return name if plain else '"' + name.replace('"', '""') + '"'
