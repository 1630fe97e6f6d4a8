"""Guards: the stored rows that decide whether a change violates a constraint, and what foreign keys do then.

A statement's plan covers what the statement reads. Its constraints look further: at the rows with the same unique
key, at the parent a foreign key names, at the children that refer to a row. These are derived from the rows that a
run of the statement wrote; the engine reads those it does not know, and runs the statement again if there were any.

A guard enters the read set by key: it holds while no such row comes or goes, so that updating a parent does not
conflict with inserting its children. Where no index leads to the rows, the whole table is the guard, row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from rome.catalog.schema import ROWID, Catalog, ForeignKey, Index, Table
from rome.codec.keys import encode_key
from rome.codec.values import SqlValue
from rome.planner.plan import PlannedRow
from rome.store.spi import BEYOND, ORDER_INDEX
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest
from rome.workingset.workingset import Event, SqlRow

KeyComputer = Callable[[Table, int, Sequence[SqlValue]], Iterable[tuple[Index, Sequence[SqlValue]]]]
"""A row's keys that SQLite has to compute: table, rowid and values -> index and key (see WorkingSet.computed_keys)."""
Known = dict[int, SqlValue]
"""Values of a row by column position, ROWID for its rowid; what is missing is not known."""


def whole(table: Table) -> ReadRequest:
    """The table, row by row."""
    return ReadRequest(table.id, ORDER_INDEX, (), ((b"", BEYOND),), Validation.ROWS)


def planned(catalog: Catalog, table: Table, rows: Iterable[PlannedRow], *, foreign_keys: bool) -> list[ReadRequest]:
    """Guards of INSERT .. VALUES, before it runs; a row whose id the store hands out needs none for its key."""
    requests: list[ReadRequest] = []
    for row in rows:
        known: Known = dict(row.values)
        if table.rowid_alias is not None:
            if row.rowid_given and table.rowid_alias in known:
                known[ROWID] = known[table.rowid_alias]
            else:
                known.pop(table.rowid_alias, None)
        requests += _unique(table, known, None)
        if foreign_keys:
            requests += _parents(catalog, table, known, None)
    return requests


def of_events(
    catalog: Catalog,
    events: Iterable[Event],
    *,
    foreign_keys: bool,
    old_values: Callable[[Table, int], SqlRow | None],
    new_values: Callable[[Table, int], SqlRow | None],
    computed_keys: KeyComputer,
    failed: bool = False,
) -> list[ReadRequest]:
    """Guards of the rows that a run has written.

    The parents of what rows were are among them where other rows name parents, or may be left without one: SQLite
    counts a row whose parent is not there when it comes, or when the parent goes, and takes one off when the row goes,
    so that a row with an unread parent would make up for another that has none.

    Args:
        failed: a foreign key was violated: it may be one that was set to what it was, which SQLite checks, too.
        old_values, new_values: the row's values before and after, for an event that has none (generated columns).
    """
    requests: list[ReadRequest] = []
    parents: list[ReadRequest] = []
    former_parents: list[ReadRequest] = []
    leaves_children = False
    inserted: dict[str, list[tuple[int, SqlRow]]] = {}
    written = 0
    for written, event in enumerate(events, 1):  # noqa: B007
        table = catalog.tables[event.table]
        if table.without_rowid and event.old is None and event.new is None:
            requests += _everything_near(catalog, table)  # generated columns: nothing tells which row it was
            continue
        old, new = event.old, event.new
        if old is None and event.kind != "INSERT":
            old = old_values(table, event.rowid_before)
        if new is None and event.kind != "DELETE":
            new = new_values(table, event.rowid_after)
        if new is not None and table.computed:
            had = [] if old is None else list(computed_keys(table, event.rowid_before, old))
            requests += _unique_computed(table, had, computed_keys(table, event.rowid_after, new))
        if old is None:
            if new is not None:
                inserted.setdefault(event.table, []).append((event.rowid_after, new))
            continue
        before = {**dict(enumerate(old)), ROWID: event.rowid_before}
        after = None if new is None else {**dict(enumerate(new)), ROWID: event.rowid_after}
        if after is not None:
            requests += _unique(table, after, before)
        if foreign_keys:
            if after is not None:
                parents += _parents(catalog, table, after, None if failed else before)
            former_parents += _parents(catalog, table, before, after)
            requests += _children(catalog, table, before, after)
            leaves_children = leaves_children or _leaves_children(catalog, table, deleted=after is None)
    for name, rows in inserted.items():
        requests += _unique_of_new(catalog.tables[name], rows)
        if foreign_keys:
            parents += _parents_of_new(catalog, catalog.tables[name], rows)
    # Of a single row, what it takes off comes before its own children are counted.
    miscounts = parents or (leaves_children and written > 1)
    return requests + parents + (former_parents if miscounts else [])


def _leaves_children(catalog: Catalog, table: Table, *, deleted: bool) -> bool:
    """May a row that goes, or gets another key, leave rows behind that name it?"""
    keys = [key for _, key in catalog.referencing.get(table.name.lower(), ())]
    return any((key.on_delete if deleted else key.on_update) == "NO ACTION" for key in keys)


def _unique_of_new(table: Table, rows: Sequence[tuple[int, SqlRow]]) -> list[ReadRequest]:
    """What `_unique` says of inserted rows; of thousands of them in a third of the time, as one want for each index."""
    requests = []
    keys = [key for key in _keys(table.key, rows) if key is not None]
    if keys:
        requests.append(ReadRequest(table.id, ORDER_INDEX, tuple(keys), (), Validation.KEYS))
    for index in table.indexes:
        if index.unique and index.computed is None:
            ranges = [(key, key + b"\xff") for key in _keys(index, rows) if key is not None]
            if ranges:
                requests.append(ReadRequest(table.id, index.id, (), tuple(ranges), Validation.KEYS))
    return requests


def _keys(index: Index, rows: Iterable[tuple[int, SqlRow]]) -> Iterator[bytes | None]:
    """Each row's key in an index; None where a NULL is in it, which equals nothing."""
    columns, collations = index.columns, index.collations
    for rowid, row in rows:
        values = [rowid if position == ROWID else row[position] for position in columns]
        yield None if None in values else encode_key(values, collations)


def _parents_of_new(catalog: Catalog, table: Table, rows: Iterable[tuple[int, SqlRow]]) -> list[ReadRequest]:
    """What `_parents` says of inserted rows; once for those that name the same parents."""
    named = sorted({position for key in table.foreign_keys for position in key.columns})
    distinct = {tuple(row[position] for position in named): None for _, row in rows} if named else {}
    return [
        request
        for values in distinct
        for request in _parents(catalog, table, dict(zip(named, values, strict=True)), None)
    ]


def _everything_near(catalog: Catalog, table: Table) -> list[ReadRequest]:
    """The table, its parents and its children, whole."""
    parents = [catalog.tables.get(key.parent.lower()) for key in table.foreign_keys]
    children = [child for child, _ in catalog.referencing.get(table.name.lower(), ())]
    return [whole(near) for near in (table, *parents, *children) if near is not None]


def _unique(table: Table, known: Known, before: Known | None) -> list[ReadRequest]:
    """Rows that have, or had, a unique key of this one."""
    requests = []
    values = _values(table.key, known)
    if values is not None and None not in values and _changed(table.key.columns, known, before):
        requests.append(
            ReadRequest(table.id, ORDER_INDEX, (encode_key(values, table.key.collations),), (), Validation.KEYS)
        )
    for index in table.indexes:
        if not index.unique or index.computed is not None:
            continue
        values = _values(index, known)
        if values is not None and None not in values and _changed(index.columns, known, before):
            requests.append(_range(table, index, values))
    return requests


def _unique_computed(
    table: Table,
    had: Iterable[tuple[Index, Sequence[SqlValue]]],
    has: Iterable[tuple[Index, Sequence[SqlValue]]],
) -> list[ReadRequest]:
    """Rows that have a unique key of this one which SQLite has computed; known once a statement has run."""
    same = {index.id: encode_key(values, index.collations) for index, values in had}
    return [
        _range(table, index, values)
        for index, values in has
        if index.unique and None not in values and same.get(index.id) != encode_key(values, index.collations)
    ]


def _parents(catalog: Catalog, table: Table, known: Known, before: Known | None) -> list[ReadRequest]:
    """The rows that this row's foreign keys name."""
    requests = []
    for key in table.foreign_keys:
        parent = catalog.tables.get(key.parent.lower())
        if parent is not None and are_computed(table, key.columns):
            requests.append(whole(parent))
        if not _changed(key.columns, known, before):
            continue
        values = [known.get(position) for position in key.columns]
        if None not in values and parent is not None:
            requests.append(rows_by(parent, parent_positions(parent, key), values, table, key.columns))
    return requests


def _children(catalog: Catalog, table: Table, before: Known, after: Known | None) -> list[ReadRequest]:
    """The rows whose foreign keys name what this row was."""
    requests = []
    for child, key in catalog.referencing.get(table.name.lower(), ()):
        positions = parent_positions(table, key)
        if are_computed(table, positions):
            requests.append(whole(child))
        if after is not None and not _changed(positions, after, before):
            continue
        values = [before.get(position) for position in positions]
        if None not in values:
            requests.append(rows_by(child, key.columns, values, table, positions))
    return requests


def are_computed(table: Table, positions: Iterable[int]) -> bool:
    """Is there a generated column among them, of which a row's values do not show what it is?"""
    return table.has_generated and any(
        position != ROWID and bool(table.columns[position].generated) for position in positions
    )


def parent_positions(parent: Table, key: ForeignKey) -> tuple[int, ...]:
    """Positions of the parent's columns that a foreign key refers to; those it does not have are left out."""
    if key.parent_columns is None:
        return parent.key.columns
    return tuple(parent.positions[name.lower()] for name in key.parent_columns if name.lower() in parent.positions)


def are_usual(catalog: Catalog, table: Table) -> bool:
    """Whether all foreign keys from and to a table are immediate, and name parent keys that SQLite knows as such.

    Then to add a row whose parents are there violates none, and SQLite has nothing to say against it.
    """
    keys = [(catalog.tables.get(key.parent.lower()), key) for key in table.foreign_keys]
    keys += [(table, key) for _, key in catalog.referencing.get(table.name.lower(), ())]
    return all(parent is not None and not key.deferred and _is_unique(parent, key) for parent, key in keys)


def _is_unique(parent: Table, key: ForeignKey) -> bool:
    """Whether a foreign key refers to the primary key, or to a unique index, under the columns' own collations."""
    positions = parent_positions(parent, key)
    if len(positions) != len(key.columns) or ROWID in positions:
        return False
    return any(
        (path is parent.key or path.unique)
        and sorted(path.columns) == sorted(positions)
        and all(
            collation == parent.columns[position].collation
            for position, collation in zip(path.columns, path.collations, strict=True)
        )
        for path in parent.paths
    )


def rows_by(
    table: Table, positions: Sequence[int], values: Sequence[SqlValue], other: Table, other_positions: Sequence[int]
) -> ReadRequest:
    """The rows of `table` whose columns equal the values of another table's columns.

    Foreign keys compare with the parent's affinity and collation: an index leads to the rows only where both sides
    have the same of both. Otherwise it is the whole table.
    """
    if len(positions) != len(values) or not compare_alike(table, positions, other, other_positions):
        return whole(table)
    known = dict(zip(positions, values, strict=True))
    for path in table.paths:
        if set(path.columns[: len(positions)]) == set(positions) and all(
            path.collations[i] == _comparison(table, path.columns[i])[1] for i in range(len(positions))
        ):
            prefix = [known[position] for position in path.columns[: len(positions)]]
            if path.id == ORDER_INDEX and len(path.columns) == len(positions):
                return ReadRequest(table.id, ORDER_INDEX, (encode_key(prefix, path.collations),), (), Validation.KEYS)
            return _range(table, path, prefix)
    return whole(table)


def compare_alike(table: Table, positions: Sequence[int], other: Table, other_positions: Sequence[int]) -> bool:
    """Whether the columns of both sides have the same affinity and collation."""
    return all(
        _comparison(table, mine) == _comparison(other, theirs)
        for mine, theirs in zip(positions, other_positions, strict=True)
    )


def _comparison(table: Table, position: int) -> tuple[str, str]:
    if position == ROWID:
        return "INTEGER", "BINARY"
    column = table.columns[position]
    return column.affinity, column.collation


def _range(table: Table, index: Index, values: Sequence[SqlValue]) -> ReadRequest:
    start = encode_key(values, index.collations)
    return ReadRequest(table.id, index.id, (), ((start, start + b"\xff"),), Validation.KEYS)


def _values(index: Index, known: Known) -> list[SqlValue] | None:
    if any(position not in known for position in index.columns):
        return None
    return [known[position] for position in index.columns]


def _changed(positions: Iterable[int], known: Known, before: Known | None) -> bool:
    if before is None:
        return True
    return any(
        type(known.get(position)) is not type(before.get(position)) or known.get(position) != before.get(position)
        for position in positions
    )
