"""The definition of a database: its schema objects with their numbers, and the catalog built from them.

Definitions are immutable: DDL makes a new one from the old one and the mirror on which the DDL has run. A commit writes
the difference of two definitions to table 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

import apsw
import msgspec

from rome.catalog.mirror import Master, Mirror
from rome.catalog.objects import (
    Header,
    IndexObject,
    SchemaObject,
    TableObject,
    TriggerObject,
    ViewObject,
    encode_object,
)
from rome.catalog.reflected_table import IndexShape, ReflectedTable, describe_table, evaluate_default
from rome.catalog.schema import Catalog, Column, Computed, Index, Table, View
from rome.errors import CorruptRecordError, NotSupportedError

_shapes: dict[tuple[str, ...], ReflectedTable] = {}
_MAX_SHAPES = 4096


class SchemaChange(NamedTuple):
    """What turns one stored definition into another.

    Attributes:
        rows: {key of a row of table 0: record, or None to delete it}.
        dropped_tables: ids.
        dropped_indexes: (id of the table, id of the index) of each.
    """

    rows: dict[bytes, bytes | None]
    dropped_tables: list[int]
    dropped_indexes: list[tuple[int, int]]


class Evolution(NamedTuple):
    """What one DDL statement has changed in a definition.

    Attributes:
        definition: the new one.
        came, gone: objects that were added and removed.
        tables: each table that differs, before and after (None if it does not exist).
    """

    definition: Definition
    came: list[Master]
    gone: list[Master]
    tables: list[tuple[Table | None, Table | None]]


@dataclass(frozen=True)
class Definition:
    """The schema of a database as of one catalog version.

    Attributes:
        objects: {(type, name in lower case): object}.
        master: the mirror's sqlite_master.
    """

    header: Header
    objects: Mapping[tuple[str, str], SchemaObject]
    catalog: Catalog
    master: Mapping[tuple[str, str], Master]

    @classmethod
    def empty(cls) -> Definition:
        """The definition of a new database."""
        return cls(Header(), {}, Catalog(0, {}, {}), {})

    @classmethod
    def load(cls, version: int, stored: Iterable[SchemaObject]) -> Definition:
        """The definition that stored objects make.

        Raises:
            CorruptRecordError: the objects do not fit together.

        Cost: runs every CREATE statement once, about 20 µs each.
        """
        try:
            return cls._load(version, stored)
        except (apsw.Error, LookupError, ValueError, TypeError, AttributeError, StopIteration) as error:
            raise CorruptRecordError(
                f"the catalog's records do not fit together ({type(error).__name__}: {error}): something other than "
                "Rome wrote into the database's keys or file; restore a copy",
                table=0,
            ) from error

    @classmethod
    def _load(cls, version: int, stored: Iterable[SchemaObject]) -> Definition:
        header = Header()
        objects: dict[tuple[str, str], SchemaObject] = {}
        for item in sorted(stored, key=lambda item: item.id):
            if isinstance(item, Header):
                header = item
            else:
                objects[_kind(item), item.name.lower()] = item
        ordered = _in_order(objects)
        mirror = Mirror.of(item.sql for item in ordered)
        master = mirror.master()
        tables = {item.name.lower(): _table(mirror, master, item) for item in ordered if isinstance(item, TableObject)}
        views = {
            item.name.lower(): View(item.id, item.name, item.sql) for item in ordered if isinstance(item, ViewObject)
        }
        mirror.close()
        return cls(header, objects, Catalog(version, tables, views), master)

    def statements(self) -> list[str]:
        """The CREATE statements that make this schema, in order."""
        return [item.sql for item in _in_order(self.objects)]

    @cached_property
    def tables_by_id(self) -> Mapping[int, Table]:
        """{id of a table: table}"""
        return MappingProxyType({table.id: table for table in self.catalog.tables.values()})

    def at_version(self, version: int) -> Definition:
        """The same schema under the version at which it was committed."""
        return replace(self, catalog=replace(self.catalog, version=version))

    def with_header(self, name: str, value: int) -> Definition:
        """The same schema with another number in its header; the same object if the number does not change."""
        if getattr(self.header, name) == value:
            return self
        return replace(self, header=msgspec.structs.replace(self.header, **{name: value}))

    def evolve(self, mirror: Mirror, created_since: int | None = None) -> Evolution:
        """The definition after one DDL statement has run on the mirror.

        Args:
            created_since: the mirror's mark before a CREATE, which changes no existing object; None for other
                statements.

        Raises:
            NotSupportedError: the statement made something that Rome does not store. The caller restores the mirror.
        """
        if created_since is None:
            master: Mapping[tuple[str, str], Master] = mirror.master()
            come, go = list(master.keys() - self.master.keys()), list(self.master.keys() - master.keys())
            changed = [key for key, item in master.items() if self.master.get(key) != item]
        else:
            new = mirror.master_since(created_since)
            master, come, go, changed = {**self.master, **new}, list(new), [], list(new)
        came, gone = [master[key] for key in come], [self.master[key] for key in go]
        for item in came:
            if item.type not in _ORDER:
                raise NotSupportedError(f"CREATE {item.type.upper()} is not supported")
        renamed = _renamed(came, gone)
        changed += [
            key
            for item in (*came, *gone)
            if item.type == "index" and (key := ("table", item.table.lower())) in master and key not in changed
        ]
        next_id = self.header.next_id
        objects, tables, views = dict(self.objects), dict(self.catalog.tables), dict(self.catalog.views)
        differing: list[tuple[Table | None, Table | None]] = []
        for kind, name in go:
            del objects[kind, name]
            views.pop(name, None)
            if kind == "table" and name != renamed:
                differing.append((tables.pop(name), None))
        for key in changed:
            kind, name = key
            item = master[key]
            old = self.objects.get(key) or (self.objects["table", renamed] if kind == "table" and renamed else None)
            if old is None:
                identifier, next_id = next_id, next_id + 1
            else:
                identifier = old.id
            if kind == "table":
                previous = old if isinstance(old, TableObject) else None
                before = None if previous is None else tables.pop(previous.name.lower())
                made = _evolve_table(mirror, master, item, identifier, previous, before)
                if before is not None and _stored_otherwise(before, _table(mirror, master, made)):
                    made = _evolve_table(mirror, master, item, next_id, None, None)
                    next_id += 1
                objects[key] = made
                tables[name] = _table(mirror, master, made)
                differing.append((before, tables[name]))
            elif kind == "index":
                objects[key] = IndexObject(identifier, item.name, item.table, item.sql)
            elif kind == "trigger":
                objects[key] = TriggerObject(identifier, item.name, item.table, item.sql)
            else:
                objects[key] = ViewObject(identifier, item.name, item.sql)
                views[name] = View(identifier, item.name, item.sql)
        header = msgspec.structs.replace(self.header, next_id=next_id)
        definition = Definition(header, objects, Catalog(self.catalog.version, tables, views), master)
        return Evolution(definition, came, gone, differing)

    def stored(self) -> Iterator[tuple[bytes, bytes]]:
        """Key and record of every row of table 0 that holds this definition."""
        return map(encode_object, (self.header, *self.objects.values()))

    def change_since(self, old: Definition) -> SchemaChange:
        """What a commit must write to turn the stored definition `old` into this one."""
        before, after = dict(old.stored()), dict(self.stored())
        if not old.objects and old.header == Header():
            before = {}
        rows: dict[bytes, bytes | None] = {key: None for key in before if key not in after}
        rows.update({key: record for key, record in after.items() if before.get(key) != record})
        dropped_tables = [number for number in old.tables_by_id if number not in self.tables_by_id]
        dropped_indexes = [
            (number, index.id)
            for number, table in old.tables_by_id.items()
            if number in self.tables_by_id
            for index in table.indexes
            if index.id not in {other.id for other in self.tables_by_id[number].indexes}
        ]
        return SchemaChange(rows, dropped_tables, dropped_indexes)


_ORDER = {"table": 0, "index": 1, "view": 2, "trigger": 3}
_KINDS: dict[type[SchemaObject], str] = {
    TableObject: "table",
    IndexObject: "index",
    ViewObject: "view",
    TriggerObject: "trigger",
}


def _renamed(came: list[Master], gone: list[Master]) -> str | None:
    """The previous name, in lower case, of the table that one statement has renamed; None if it renamed none."""
    new = [item for item in came if item.type == "table"]
    old = [item for item in gone if item.type == "table"]
    return old[0].name.lower() if len(new) == len(old) == 1 else None


def _in_order(
    objects: Mapping[tuple[str, str], SchemaObject],
) -> list[TableObject | IndexObject | ViewObject | TriggerObject]:
    """The objects in an order in which each comes after those that it needs."""
    found = [item for item in objects.values() if not isinstance(item, Header)]
    return sorted(found, key=lambda item: (_ORDER[_kind(item)], item.id))


def _kind(item: SchemaObject) -> str:
    return _KINDS[type(item)]


def _index_label(name: str, origin: str) -> str:
    """The label of an index in TableObject.indexes. A constraint's index has no lasting name of its own."""
    return name.lower() if origin == "c" else "#" + name.rpartition("_")[2]


def _shape(mirror: Mirror, master: Mapping[tuple[str, str], Master], name: str, sql: str) -> ReflectedTable:
    """The table's shape, cached by the texts that make it, since test suites create the same schema again and again."""
    key = (name, sql, *(i.sql for i in master.values() if i.type == "index" and i.table.lower() == name.lower()))
    found = _shapes.get(key)
    if found is None:
        if len(_shapes) >= _MAX_SHAPES:
            _shapes.clear()
        found = _shapes[key] = describe_table(mirror.connection, name, sql)
    return found


def _evolve_table(
    mirror: Mirror,
    master: Mapping[tuple[str, str], Master],
    item: Master,
    identifier: int,
    old: TableObject | None,
    table: Table | None,
) -> TableObject:
    """The table's object after one statement: existing columns keep their ids, a new one gets the next id."""
    shape = _shape(mirror, master, item.name, item.sql)
    names = [column.name.lower() for column in shape.columns]
    if old is None or table is None:
        old = TableObject(identifier, item.name, item.sql, (), 1, 0, {}, {}, 1)
        columns = tuple(range(1, len(names) + 1))
    elif len(names) == len(old.columns):
        columns = old.columns
    elif len(names) > len(old.columns):  # ADD COLUMN appends
        columns = (*old.columns, *range(old.next_column, old.next_column + len(names) - len(old.columns)))
    else:
        columns = tuple(
            number for number, column in zip(old.columns, table.columns, strict=True) if column.name.lower() in names
        )
    stored = tuple(
        number
        for position, (number, column) in enumerate(zip(columns, shape.columns, strict=True))
        if not column.generated and position != shape.rowid_alias
    )
    layout, layouts = old.layout, old.layouts
    if layouts.get(layout) != stored:
        layout = max(layouts, default=0) + 1
        layouts = {**layouts, layout: stored}
    added = {number: value for number, value in old.added.items() if number in columns}
    for number, column in zip(columns, shape.columns, strict=True):
        if number >= old.next_column and table is not None and not column.generated:
            value = evaluate_default(mirror.connection, column)
            if value is not None:
                added[number] = value
    indexes, next_index = _index_numbers(shape, columns, old, table)
    return msgspec.structs.replace(
        old,
        name=item.name,
        sql=item.sql,
        columns=columns,
        next_column=max((old.next_column, *(number + 1 for number in columns))),
        layout=layout,
        layouts=layouts,
        indexes=indexes,
        next_index=next_index,
        added=added,
    )


def _index_numbers(
    shape: ReflectedTable, columns: tuple[int, ...], old: TableObject, table: Table | None
) -> tuple[dict[str, int], int]:
    """{label of an index: its number}, and the next free number.

    An index keeps its number as long as its entries in the store stay the same. The index of a constraint is recognized
    by its entries alone, since its label counts the constraints before it.
    """
    labels = {number: label for label, number in old.indexes.items()}
    known: dict[int, Entries] = {}
    if table is not None:
        known = {index.id: _entries(index, old.columns) for index in table.indexes}
    numbers: dict[str, int] = {}
    next_index = old.next_index
    for index in shape.indexes:
        label = _index_label(index.name, index.origin)
        alike = [number for number, entries in known.items() if entries == _entries(index, columns)]
        same = [number for number in alike if labels[number] == label]
        same += [number for number in alike if labels[number][0] == label[0] == "#"]
        if same:
            numbers[label] = same[0]
            del known[same[0]]
        else:
            numbers[label] = next_index
            next_index += 1
    return numbers, next_index


Entries = tuple[tuple[int, ...], tuple[str, ...], Computed | None]
"""What an index's entries hold: ids of columns (negative if it is no column), collations, what is computed."""


def _entries(index: Index | IndexShape, columns: tuple[int, ...]) -> Entries:
    return tuple(columns[at] if at >= 0 else at for at in index.columns), index.collations, index.computed


def _stored_otherwise(before: Table, after: Table) -> bool:
    """Whether row keys or records of the two differ, so that every row must be written again, as into a new table."""
    return _way_of_storing(before) != _way_of_storing(after)


def _way_of_storing(table: Table) -> tuple[object, ...]:
    alias = table.rowid_alias
    ids = tuple(column.id for column in table.columns)
    return _entries(table.key, ids), None if alias is None else ids[alias], table.without_rowid


def _table(mirror: Mirror, master: Mapping[tuple[str, str], Master], item: TableObject) -> Table:
    shape = _shape(mirror, master, item.name, item.sql)
    return Table(
        id=item.id,
        name=item.name,
        columns=_columns(shape, item),
        key=Index(0, "PRIMARY KEY", True, shape.key_columns, shape.key_collations),
        indexes=tuple(
            Index(
                item.indexes[_index_label(index.name, index.origin)],
                index.name,
                index.unique,
                index.columns,
                index.collations,
                index.computed,
            )
            for index in shape.indexes
        ),
        foreign_keys=shape.foreign_keys,
        rowid_alias=shape.rowid_alias,
        without_rowid=shape.without_rowid,
        layout=item.layout,
        layouts=item.layouts,
        sql=item.sql,
    )


def _columns(shape: ReflectedTable, item: TableObject) -> tuple[Column, ...]:
    """The columns with their numbers, and the values that older records have for columns added later."""
    if len(item.layouts) == 1 and item.next_column == len(shape.columns) + 1:
        return shape.first_columns
    return tuple(
        Column(
            id=number,
            name=column.name,
            affinity=column.affinity,
            collation=column.collation,
            not_null=column.not_null,
            generated=column.generated,
            default=item.added.get(number),
        )
        for number, column in zip(item.columns, shape.columns, strict=True)
    )
