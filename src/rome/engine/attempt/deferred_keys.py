"""Deferred foreign keys, checked at COMMIT on the final state of the rows that the transaction touched.

SQLite's own counter of deferred violations is not used: hydration confuses it, both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rome.catalog.reflected_table import quote
from rome.catalog.schema import ROWID, ForeignKey, Table
from rome.codec.values import SqlValue
from rome.engine.reading.lookups import provide_key_lookups
from rome.engine.reading.reader import Reader
from rome.engine.statement import foreign_keys
from rome.engine.statement.schema import SchemaVersion
from rome.engine.writing.harvest import changes, same_values
from rome.errors import ForeignKeyViolation
from rome.transaction.transaction import ReadRequest
from rome.workingset.contents import Stored
from rome.workingset.workingset import SqlRow


def check_deferred(reader: Reader, base: SchemaVersion, *, everything: bool) -> None:
    """Check the keys that may be deferred; immediate keys were checked when their statements ran.

    Args:
        base: the schema that the store has.
        everything: all keys may be deferred, because PRAGMA defer_foreign_keys is on.

    Raises:
        ForeignKeyViolation: a key is violated; as after SQLite's COMMIT, the transaction stays open.

    Cost: no I/O for a schema without deferred keys; otherwise one round trip for rows that have not been read yet.
    """
    catalog = reader.schema.catalog
    if not (everything or reader.schema.has_deferred_keys):
        return
    questions: list[DeferredCheck] = []
    for row in changes(reader.working_set, reader.schema, base):
        table, before, after = row.table, row.before, row.after
        for key in table.foreign_keys:
            parent = catalog.tables.get(key.parent.lower())
            if after is not None and parent is not None and (key.deferred or everything):
                questions += _parent(table, parent, key, before, after[1])
        for child, key in catalog.referencing.get(table.name.lower(), ()):
            if before is not None and (key.deferred or everything):
                questions += _children(table, child, key, before, after)
    requests = [request for question in questions for request in question.requests]
    reader.read(requests)
    reader.hydrate(requests)
    if reader.working_set.contents.large:
        provide_key_lookups(reader, [name for name in catalog.referencing if name in catalog.tables], len(questions))
    for question in questions:
        if bool(reader.working_set.query(question.sql, question.values)) is not question.expected:
            raise ForeignKeyViolation("FOREIGN KEY constraint failed")


class DeferredCheck(NamedTuple):
    """A query to run on the working set once the requested rows are in it, and whether it should return a row."""

    requests: list[ReadRequest]
    sql: str
    values: Sequence[SqlValue]
    expected: bool


def _parent(
    table: Table, parent: Table, key: ForeignKey, before: Stored | None, row: Sequence[SqlValue]
) -> list[DeferredCheck]:
    """Check that a row has its parent, unless the parent was already missing before this transaction."""
    if foreign_keys.are_computed(table, key.columns):
        return [_orphans(parent, table, key)]
    values = [row[position] for position in key.columns]
    if None in values or (before is not None and same_values(values, [before.values[i] for i in key.columns])):
        return []
    positions = foreign_keys.parent_positions(parent, key)
    request = foreign_keys.rows_by(parent, positions, values, table, key.columns)
    conditions = " AND ".join(f"{name} = ?" for name in _names(parent, positions))
    return [DeferredCheck([request], f"SELECT 1 FROM main.{quote(parent.name)} WHERE {conditions}", values, True)]


def _children(
    table: Table, child: Table, key: ForeignKey, before: Stored, after: tuple[int, SqlRow] | None
) -> list[DeferredCheck]:
    """Check that children of a row's old key remain only if some row still has that key.

    Values are compared as SQLite compares foreign keys: with the parent's affinity (the plus removes the child's) and
    collation (that of the left side). If the child compares differently, or a column is computed, all rows are checked.
    """
    positions = foreign_keys.parent_positions(table, key)
    if foreign_keys.are_computed(table, positions):
        return [_orphans(table, child, key)]
    values = _values(positions, before.rowid, before.values)
    if None in values or (after is not None and same_values(values, _values(positions, *after))):
        return []
    if not foreign_keys.compare_alike(child, key.columns, table, positions):
        return [_orphans(table, child, key)]
    request = foreign_keys.rows_by(child, key.columns, values, table, positions)
    return [DeferredCheck([request], _orphans_where("= ?", table, child, key), values, False)]


def _orphans(table: Table, child: Table, key: ForeignKey) -> DeferredCheck:
    """Check that every row of `child` has its parent in `table`, whether or not this transaction touched the row."""
    requests = [foreign_keys.whole(child), foreign_keys.whole(table)]
    return DeferredCheck(requests, _orphans_where("IS NOT NULL", table, child, key), (), False)


def _orphans_where(condition: str, table: Table, child: Table, key: ForeignKey) -> str:
    """Select the rows of `child` that have no parent and whose key columns all meet the condition."""
    names = _names(child, key.columns)
    conditions = " AND ".join(f"child.{name} {condition}" for name in names)
    pairs = zip(_names(table, foreign_keys.parent_positions(table, key)), names, strict=True)
    same = " AND ".join(f"parent.{mine} = +child.{theirs}" for mine, theirs in pairs)
    return (
        f"SELECT 1 FROM main.{quote(child.name)} AS child WHERE {conditions} "
        f"AND NOT EXISTS (SELECT 1 FROM main.{quote(table.name)} AS parent WHERE {same})"
    )


def _values(positions: Sequence[int], rowid: int, row: Sequence[SqlValue]) -> list[SqlValue]:
    return [rowid if position == ROWID else row[position] for position in positions]


def _names(table: Table, positions: Sequence[int]) -> list[str]:
    return ["rowid" if position == ROWID else quote(table.columns[position].name) for position in positions]
