"""A table of which a statement passes over all rows once need not be hydrated: SQLite reads its block in its place.

The statement's text then names a function of rows.c where it named the table, under the table's name as an alias. This
is done only if SQLite's plan for that text is its plan for the statement itself, with a pass over the function in place
of the pass over the table. The rows come in the order of rowids either way, so that not even what SQL leaves open
differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import apsw

from rome.catalog.reflected_table import quote
from rome.catalog.schema import ROWID, Table
from rome.sql.tokens import Token, identifier, tokenize
from rome.workingset.lookups import repeated

_VIRTUAL = " VIRTUAL TABLE INDEX 0:"
_BEHIND_A_TABLE = frozenset(
    {"WHERE", "GROUP", "ORDER", "LIMIT", "HAVING", "WINDOW", "UNION", "EXCEPT", "INTERSECT"}
    | {"ON", "USING", "JOIN", "LEFT", "RIGHT", "FULL", "INNER", "CROSS", "NATURAL", "OUTER", "NOT", "INDEXED"}
)
"""Words that are no alias there."""


def can_pass(table: Table) -> bool:
    """Whether the rows of the table's own key are in the order of rowids, and all that SQLite shows is stored."""
    by_rowid = (ROWID,) if table.rowid_alias is None else (table.rowid_alias,)
    return table.key.columns == by_rowid and not (table.without_rowid or table.has_generated)


def definitions(table: Table) -> list[str]:
    """The columns as a function has to define them, so that SQLite compares their values as those of the table."""
    return [f"{quote(column.name)} {column.affinity} COLLATE {column.collation}" for column in table.columns]


def rewritten(sql: str, table: Table, function: str) -> str | None:
    """The text with a function in place of the table; None if it is not clear where it names the table."""
    tokens = tokenize(sql)
    name = table.name.lower()
    places = [
        number
        for number, token in enumerate(tokens)
        if token.kind in ("word", "quoted", "string") and identifier(token).lower() == name
        if number + 1 == len(tokens) or tokens[number + 1].text != "."  # else it qualifies a column
    ]
    if len(places) != 1:
        return None
    (place,) = places
    token = tokens[place]
    if place == 0 or token.kind == "string" or not _is_table(tokens[place - 1]):
        return None
    behind = tokens[place + 1] if place + 1 < len(tokens) else None
    has_alias = behind is not None and (behind.kind == "quoted" or (behind.word and _is_alias(behind.word)))
    alias = "" if has_alias else f" AS {quote(table.name)}"
    return f"{sql[: token.start]}{function}{alias}{sql[token.stop :]}"


def _is_table(before: Token) -> bool:
    """Whether a table, or a column, may follow. Of a column SQLite will say that there is none."""
    return before.word in ("FROM", "JOIN", ",")


def _is_alias(word: str) -> bool:
    return word == "AS" or (word[0].isalpha() and word not in _BEHIND_A_TABLE)


def has_same_plan(connection: apsw.Connection, sql: str, other: str, parameters: int) -> bool:
    """Whether SQLite runs both texts in the same way, but for one pass over a function, which is not repeated."""
    try:
        plan, changed = (_plan(connection, text, parameters) for text in (sql, other))
        virtual = [line for line in changed if line[1].endswith(_VIRTUAL)]
        if len(virtual) != 1 or plan != [(depth, line.removesuffix(_VIRTUAL)) for depth, line in changed]:
            return False
        scanned = virtual[0][1].removeprefix("SCAN ").removesuffix(_VIRTUAL)
        return all(step.table != scanned for step in repeated(connection, sql, parameters))
    except apsw.SQLError:
        return False


def _plan(connection: apsw.Connection, sql: str, parameters: int) -> Sequence[tuple[int, str]]:
    """The lines of SQLite's plan, each with its depth."""
    rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", (None,) * parameters, can_cache=False).fetchall()
    depths = {0: 0}
    lines = []
    for number, parent, _, detail in cast("list[tuple[int, int, int, str]]", rows):
        depths[number] = depths.get(parent, 0) + 1
        lines.append((depths[number], detail))
    return lines


__all__ = ["can_pass", "definitions", "has_same_plan", "rewritten"]
