"""Turns the changes of the working set into what the store must write.

Every touched row is read in its present form and compared with the stored row it came from; a row that is the same is
not written. A touched row is validated as it was read, at every isolation level, even if it is not written: the change
that left it the same depends on the row as it was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter

from msgspec import Struct

from rome.catalog.rows import encode_row, encode_rows, row_key
from rome.catalog.schema import Table
from rome.codec.keys import encode_key, encode_keys
from rome.codec.rows import encode_record
from rome.codec.values import SqlValue
from rome.engine.statement.schema import SchemaVersion
from rome.engine.writing.sequence_marks import mark, mark_of, note_sequences
from rome.store.spi import CATALOG_TABLE, Drop
from rome.transaction.read_set import ReadSet
from rome.transaction.write_set import WriteSet
from rome.workingset.buffered import BufferedTable
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
    for table in _written(working_set, schema, base):
        for before, after in _ways(working_set, table, is_new=table.id not in base.definition.tables_by_id):
            if before is not None or after is not None:
                yield Touched(table, before, after)


_RowWay = tuple[Stored | None, tuple[int, SqlRow] | None]
"""A row before and after; None and None: it came and went."""


def _written(working_set: WorkingSet, schema: SchemaVersion, base: SchemaVersion) -> list[Table]:
    """The tables of which a row may have been written."""
    if schema is not base:
        return [*schema.catalog.tables.values()]
    tables = schema.definition.tables_by_id
    return [tables[table_id] for table_id in sorted(working_set.contents.tables)]


def _ways(working_set: WorkingSet, table: Table, *, is_new: bool) -> Sequence[_RowWay]:
    """The ways of a table's rows that statements have written; of a new table all."""
    if is_new:
        return [(None, row) for row in working_set.all_rows(table)]
    waiting = working_set.buffered.get(table.id)
    if waiting is not None:
        return [
            (change.before, None if change.values is None else (change.rowid, change.values))
            for change in waiting.changes
        ]
    contents = working_set.contents.tables.get(table.id)
    if contents is None or not (contents.touched or contents.whole):
        return ()
    if contents.whole:
        statements = working_set.statements_of(table)
        now = {statements.identity(rowid, values): (rowid, values) for rowid, values in working_set.all_rows(table)}
        identities = dict.fromkeys([*contents.hydrated, *now])
        return [(contents.hydrated.get(identity), now.get(identity)) for identity in identities]
    finals = working_set.final_rows(table, [*contents.touched.values()])
    return [*zip(map(contents.hydrated.get, contents.touched), finals, strict=True)]


def same_values(one: Iterable[SqlValue], other: Iterable[SqlValue]) -> bool:
    """Equal in value and storage class; 0.0 and -0.0 differ."""
    return not any(is_other(a, b) for a, b in zip(one, other, strict=True))


def is_other(one: SqlValue, other: SqlValue) -> bool:
    """Whether two values differ in value or storage class; 0.0 and -0.0 do."""
    return one is not other and (
        type(one) is not type(other) or one != other or (one == 0 and repr(one) != repr(other))
    )


def harvest(working_set: WorkingSet, schema: SchemaVersion, base: SchemaVersion, read_set: ReadSet) -> WriteSet:
    """The write set of the transaction; what it rests on is added to the read set.

    The rowids of new rows raise their sequence: so does one that the statement has set; and a store need not keep what
    it has handed out as safe as a commit.
    """
    writes = WriteSet(is_counted=True)
    if schema is not base:
        working_set.make_buffered()
        _schema_change(working_set, schema, base, writes)
    buffered, contents = {**working_set.buffered}, working_set.contents
    for waiting in buffered.values():
        _harvest_buffered(waiting, read_set, writes)
    if schema is base and len(buffered) == len(contents.tables) and not contents.sequences:
        for table_id, waiting in buffered.items():
            if table_id in writes.sequences and waiting.changes[0].table.autoincrement:
                writes.raise_sequence(mark_of(table_id), mark(True, writes.sequences[table_id]))
        return writes
    writes.is_counted = False
    stored_tables = base.definition.tables_by_id
    for table in _written(working_set, schema, base):
        if table.id in buffered:
            continue
        stored = stored_tables.get(table.id)
        ways = _ways(working_set, table, is_new=stored is None)
        if ways:
            _harvest_table(working_set, table, stored, ways, read_set, writes)
    note_sequences(working_set, schema, writes)
    return writes


def _harvest_buffered(waiting: BufferedTable, read_set: ReadSet, writes: WriteSet) -> None:
    """What is to be written of the rows of a table that were written by statements which SQLite has not run."""
    table = waiting.changes[0].table
    table_id, records, size = table.id, dict[bytes, bytes | None](), 0
    for change in waiting.changes:
        before, key, rowid, values = change.before, change.key, change.rowid, change.values
        if before is None:
            if not read_set.has_point(table_id, key):
                read_set.add_point(table_id, key, 0)
            writes.sequences[table_id] = max(rowid, writes.sequences.get(table_id, 0))
        else:
            read_set.add_point(table_id, key, before.version)
            if values is not None:
                old = before.values
                for position in change.positions:
                    if is_other(old[position], values[position]):
                        break
                else:
                    continue
        size += len(key)
        if values is None:
            records[key] = None
        else:
            record = encode_record(table.layout, rowid, map(values.__getitem__, table.stored_positions))
            records[key] = record
            size += len(record)
        for index in change.indexes:
            place = table_id, index.id
            changed = writes.entries.get(place)
            if changed is None:
                changed = writes.entries[place] = {}
            former = entry = None
            if before is not None:
                former = encode_key(map((*before.values, rowid).__getitem__, index.columns), index.collations)
            if values is not None:
                entry = encode_key(map((*values, rowid).__getitem__, index.columns), index.collations)
            if former == entry:
                continue
            if former is not None:
                changed[former, key] = False
                size += len(former) + len(key)
            if entry is not None:
                changed[entry, key] = True
                size += len(entry) + len(key)
    if records:
        writes.rows[table_id] = records
        writes.size_bytes += size


def _harvest_table(
    working_set: WorkingSet,
    table: Table,
    stored: Table | None,
    ways: Sequence[_RowWay],
    read_set: ReadSet,
    writes: WriteSet,
) -> None:
    """What is to be written of one table's rows. `stored`: the table as the store has it."""
    if stored is not None and not table.computed and len(ways) >= _MANY and all(before is None for before, _ in ways):
        _harvest_added(working_set, table, [after for _, after in ways if after is not None], read_set, writes)
        return
    had = frozenset[int]() if stored is None else stored.index_ids
    known = working_set.contents.of(table.id).keys
    former = table
    if table.computed and any(index.id not in had for index in table.computed):  # of what a row was they may fail
        former = replace(table, indexes=tuple(index for index in table.indexes if index.id in had))
    for before, after in ways:
        same = frozenset[int]()
        if before is None:
            if after is None:
                continue
        else:
            read_set.add_point(table.id, before.key, before.version)
            if after is not None and before.rowid == after[0]:
                changed = _changed_positions(before.values, after[1])
                if not changed:
                    continue
                if changed.isdisjoint(table.key.columns):
                    same = frozenset([index.id for index in table.paths if changed.isdisjoint(index.columns)])
        key = None if after is None else row_key(table, *after)
        if before is not None:
            if key != before.key:
                writes.delete(table.id, before.key)
            for index, entry in working_set.entries(former, before.rowid, before.values, same):
                if index.id in had:
                    writes.remove_entry(table.id, index.id, entry, before.key)
        if after is not None and key is not None:
            rowid, values = after
            if stored is not None and key not in known:
                read_set.add_point(table.id, key, 0)
            writes.put(table.id, key, encode_row(table, rowid, values))
            for index, entry in working_set.entries(table, rowid, values, same & had):
                writes.add_entry(table.id, index.id, entry, key)
            if not table.without_rowid and (before is None or before.rowid != rowid):
                writes.raise_sequence(table.id, rowid)


def _harvest_added(
    working_set: WorkingSet, table: Table, rows: Sequence[tuple[int, SqlRow]], read_set: ReadSet, writes: WriteSet
) -> None:
    """Do as `_harvest_table` for many rows that were all added, index by index: two thirds of the time."""
    if not rows:
        return
    known = working_set.contents.of(table.id).keys
    wholes = [(*values, rowid) for rowid, values in rows]  # which ROWID, -1, finds
    columns: dict[int, list[SqlValue]] = {}
    for index in table.paths:
        for position in index.columns:
            if position not in columns:
                columns[position] = [whole[position] for whole in wholes]
    key_columns = [columns[position] for position in table.key.columns]
    if any(None in column for column in key_columns):
        keys = [row_key(table, rowid, values) for rowid, values in rows]
    else:
        keys = encode_keys(key_columns, table.key.collations)
    read_set.add_absent(table.id, [key for key in keys if key not in known] if known else keys)
    writes.put_all(table.id, zip(keys, encode_rows(table, rows), strict=True))
    for index in table.paths[1:]:
        entries = encode_keys([columns[position] for position in index.columns], index.collations)
        writes.add_entries(table.id, index.id, zip(entries, keys, strict=True))
    if not table.without_rowid:
        writes.raise_sequence(table.id, max(rows, key=_rowid)[0])


_MANY = 16
_rowid = itemgetter(0)


def _changed_positions(before: Sequence[SqlValue], after: Sequence[SqlValue]) -> set[int]:
    """Where two forms of a row differ in value or storage class; 0.0 and -0.0 do."""
    if len(before) != len(after):  # ALTER TABLE has run since
        return {*range(max(len(before), len(after)))}
    changed = set()
    for position, (one, other) in enumerate(zip(before, after, strict=True)):
        if one is not other and (
            type(one) is not type(other) or one != other or (one == 0 and repr(one) != repr(other))
        ):
            changed.add(position)
    return changed


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
