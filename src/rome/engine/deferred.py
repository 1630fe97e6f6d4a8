"""Deferred foreign keys, checked at COMMIT on the final state of the rows that the transaction touched.

SQLite's own counter of deferred violations is not used: hydration confuses it, both ways.
"""

from __future__ import annotations

from collections.abc import Sequence

from rome.catalog.schema import ROWID, ForeignKey, Table
from rome.catalog.shape import quote
from rome.codec.values import SqlValue
from rome.engine import guards
from rome.engine.harvest import changes
from rome.engine.open_transaction import OpenTransaction
from rome.errors import ForeignKeyViolation
from rome.transaction.transaction import Want


def check_deferred(current: OpenTransaction, enforced: bool) -> None:
    """Check the keys that may be deferred; immediate ones were checked at their statements.

    Raises:
        ForeignKeyViolation: as SQLite's COMMIT does; the transaction stays open.

    Cost: no I/O for a schema without deferred keys; else one round trip for what is not known yet.
    """
    catalog = current.schema.catalog
    everything = current.execution.defer_foreign_keys
    if not enforced or not (everything or current.schema.has_deferred_keys):
        return
    reader = current.reader
    questions: list[tuple[Want, str, list[SqlValue], bool]] = []
    for table, before, after in changes(reader.working_set, current.schema, current.base):
        for key in table.foreign_keys:
            parent = catalog.tables.get(key.parent.lower())
            if after is not None and parent is not None and (key.deferred or everything):
                values = [after[1][position] for position in key.columns]
                positions = guards.parent_positions(parent, key)
                if None not in values:
                    want = guards.rows_by(parent, positions, values, table, key.columns)
                    questions.append((want, _exists(parent, positions), values, True))
        for child, key in catalog.referencing.get(table.name.lower(), ()):
            if before is not None and (key.deferred or everything):
                questions += _children(table, child, key, before.values, before.rowid)
    wants = [question[0] for question in questions]
    reader.read(wants)
    reader.hydrate(wants)
    for _, sql, values, expected in questions:
        if bool(reader.working_set.query(sql, values)) is not expected:
            raise ForeignKeyViolation("FOREIGN KEY constraint failed")


def _children(
    table: Table, child: Table, key: ForeignKey, row: Sequence[SqlValue], rowid: int
) -> list[tuple[Want, str, list[SqlValue], bool]]:
    """Children of what a row was may only remain while some row still has its key."""
    positions = guards.parent_positions(table, key)
    values = [rowid if position == ROWID else row[position] for position in positions]
    if None in values:
        return []
    want = guards.rows_by(child, key.columns, values, table, positions)
    orphans = f"{_exists(child, key.columns)} AND NOT EXISTS ({_exists(table, positions)})"
    return [(want, orphans, [*values, *values], False)]


def _exists(table: Table, positions: Sequence[int]) -> str:
    names = ["rowid" if position == ROWID else quote(table.columns[position].name) for position in positions]
    return f"SELECT 1 FROM main.{quote(table.name)} WHERE {' AND '.join(f'{name} = ?' for name in names)}"
