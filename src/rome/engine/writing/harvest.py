"""What the working set changed, as what the store is to write.

Every row that was touched is read as it is now and compared with the stored row it came from; what is the same is
not written. A row that was touched is validated as it was read, at every isolation level, also when it is not written:
whoever made it what it is already relies on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter

from msgspec import Struct

from rome.catalog.rows import encode_row, row_key
from rome.catalog.schema import ROWID, Table
from rome.codec.values import SqlValue
from rome.engine.statement.schema import SchemaVersion
from rome.engine.writing.sequence_marks import note_sequences
from rome.store.spi import CATALOG_TABLE, Drop
from rome.transaction.read_set import ReadSet
from rome.transaction.write_set import WriteSet
from rome.workingset.contents import Stored
from rome.workingset.workingset import SqlRow, WorkingSet


class Touched(Struct, frozen=True, gc=False):
    """One row's way: None before: inserted; None after: deleted."""

    table: Table
    before: Stored | None
    after: tuple[int, SqlRow] | None

    @property
    def changed(self) -> bool:
        """Whether it is another row now."""
        before, after = self.before, self.after
        return (
            before is None
            or after is None
            or before.rowid != after[0]
            or before.values != after[1]  # told by one comparison; most are
            or not same_values(before.values, after[1])
        )


def changes(working_set: WorkingSet, schema: SchemaVersion, base: SchemaVersion) -> Iterator[Touched]:
    """The rows that differ from what the store holds; see `touched`."""
    return (row for row in touched(working_set, schema, base) if row.changed)


def touched(working_set: WorkingSet, schema: SchemaVersion, base: SchemaVersion) -> Iterator[Touched]:
    """The rows that statements have written, also those that are as they were before; those of a table together.

    Args:
        base: the schema as the store has it; a table that it lacks is new, and all of its rows are.
    """
    stored_tables = base.definition.tables_by_id
    for table in schema.catalog.tables.values():
        contents = working_set.contents.tables.get(table.id)
        if table.id not in stored_tables:
            for rowid, values in working_set.all_rows(table):
                yield Touched(table, None, (rowid, values))
        elif contents is not None and contents.whole:
            statements = working_set.statements_of(table)
            now = {statements.identity(rowid, values): (rowid, values) for rowid, values in working_set.all_rows(table)}
            for identity in dict.fromkeys([*contents.hydrated, *now]):
                yield from _touched(table, contents.hydrated.get(identity), now.get(identity))
        elif contents is not None:
            finals = working_set.final_rows(table, list(contents.touched.values()))
            for identity, final in zip(contents.touched, finals, strict=True):
                yield from _touched(table, contents.hydrated.get(identity), final)


def _touched(table: Table, before: Stored | None, after: tuple[int, SqlRow] | None) -> Iterator[Touched]:
    if before is not None or after is not None:
        yield Touched(table, before, after)


def same_values(one: Iterable[SqlValue], other: Iterable[SqlValue]) -> bool:
    """Equal in value and storage class; 0.0 and -0.0 differ."""
    return all(
        a is b or (type(a) is type(b) and a == b and (a != 0.0 or repr(a) == repr(b)))
        for a, b in zip(one, other, strict=True)
    )


def harvest(working_set: WorkingSet, schema: SchemaVersion, base: SchemaVersion, read_set: ReadSet) -> WriteSet:
    """The write set of the transaction; what it rests on is added to the read set.

    The rowids of new rows raise their sequence: so does one that the statement has set; and a store need not keep what
    it has handed out as safe as a commit.
    """
    writes = WriteSet()
    if schema is not base:
        _schema_change(working_set, schema, base, writes)
    stored_tables = base.definition.tables_by_id
    for table, rows in groupby(touched(working_set, schema, base), key=attrgetter("table")):
        stored = stored_tables.get(table.id)
        had = frozenset[int]() if stored is None else stored.index_ids
        known = working_set.contents.of(table.id).keys
        former = table
        if table.computed and any(index.id not in had for index in table.computed):  # of what a row was they may fail
            former = replace(table, indexes=tuple(index for index in table.indexes if index.id in had))
        for row in rows:
            before, after = row.before, row.after
            if before is not None:
                read_set.add_point(table.id, before.key, before.version)
            if not row.changed:
                continue
            key = None if after is None else row_key(table, *after)
            same = frozenset[int]()
            if before is not None:
                if key == before.key and after is not None and before.rowid == after[0]:
                    same = had.intersection(_same_entries(table, before.values, after[1]))
                elif key != before.key:
                    writes.delete(table.id, before.key)
                for index, entry in working_set.entries(former, before.rowid, before.values, same):
                    if index.id in had:
                        writes.remove_entry(table.id, index.id, entry, before.key)
            if after is not None and key is not None:
                rowid, values = after
                if stored is not None and key not in known:
                    read_set.add_point(table.id, key, 0)
                writes.put(table.id, key, encode_row(table, rowid, values))
                for index, entry in working_set.entries(table, rowid, values, same):
                    writes.add_entry(table.id, index.id, entry, key)
                if not table.without_rowid and (before is None or before.rowid != rowid):
                    writes.raise_sequence(table.id, rowid)
    note_sequences(working_set, schema, writes)
    return writes


def _same_entries(table: Table, before: Sequence[SqlValue], after: Sequence[SqlValue]) -> Iterator[int]:
    """Ids of the indexes in which the entry of an updated row stays what it is: most updates change few columns."""
    for index in table.paths[1:]:
        if all(position == ROWID or same_values([before[position]], [after[position]]) for position in index.columns):
            yield index.id


def _schema_change(working_set: WorkingSet, schema: SchemaVersion, base: SchemaVersion, writes: WriteSet) -> None:
    """The catalog's rows, what is dropped, and the entries of new indexes over rows that are there already."""
    change = schema.definition.change_since(base.definition)
    for key, record in change.rows.items():
        if record is None:
            writes.delete(CATALOG_TABLE, key)
        else:
            writes.put(CATALOG_TABLE, key, record)
    writes.drops += [Drop(table_id) for table_id in change.dropped_tables]
    writes.drops += [Drop(table_id, index_id) for table_id, index_id in change.dropped_indexes]
    for table_id, table in base.definition.tables_by_id.items():
        now = schema.definition.tables_by_id.get(table_id)
        if now is None:
            continue
        new = now.indexes_beyond(table)
        if new:
            for rowid, values in working_set.all_rows(now):
                for index, entry in working_set.entries(now, rowid, values):
                    if index in new:
                        writes.add_entry(table_id, index.id, entry, row_key(now, rowid, values))
