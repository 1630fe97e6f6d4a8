"""Give the working set the indexes by which a statement looks up rows, if it would pass over many rows without them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apsw

from rome.catalog.schema import Table
from rome.engine.reading.reader import Reader
from rome.engine.statement.prepared import Prepared
from rome.workingset.lookups import Lookup, index_lookups, lookups

MANY_STEPS = 100_000
"""Steps that may be saved, from which on an index is worth it. Rows in one loop times rows in the other: 300 in each
take 2 ms without an index. With a new index SQLite prepares every statement again, up to 0.8 ms for each."""


def provide_lookups(reader: Reader, prepared: Prepared, *, foreign_keys: bool = False) -> None:
    """Make the indexes; to be called where `contents.large` says that there are many rows at all.

    They last until the transaction ends, and SQLite keeps them up to date.

    Args:
        foreign_keys: whether the statement may follow foreign keys, which SQLite does for each row that goes.

    Cost: about 1 µs for each row of the table, once in a transaction.
    """
    schema, working_set, text = reader.schema, reader.working_set, prepared.statement.text
    found = schema.lookups.get(text)
    if found is None:
        found = schema.lookups[text] = _lookups(reader, prepared)
    if found or foreign_keys:
        tables, written = schema.catalog.tables, prepared.inspection.written
        outer = [*prepared.plan.tables, *(tables[name] for name in written if name in tables)]
        rows = max(map(working_set.count_rows, outer), default=0)
        _provide(reader, found, rows)
        if foreign_keys:
            provide_key_lookups(reader, written, rows)


def provide_key_lookups(reader: Reader, parents: Iterable[str], rows: int) -> None:
    """Make the indexes by which the rows are found that refer to these tables, over any number of steps.

    Args:
        rows: how many times SQLite will look for them.
    """
    _provide(reader, index_lookups(reader.mirror.connection, _child_indexes(reader, parents)), rows)


def _provide(reader: Reader, wanted: Iterable[Lookup], times: int) -> None:
    working_set, tables = reader.working_set, reader.schema.catalog.tables
    for lookup in wanted:
        if not working_set.has_lookup(lookup) and working_set.count_rows(tables[lookup.table]) * times >= MANY_STEPS:
            working_set.add_lookup(lookup)


def _lookups(reader: Reader, prepared: Prepared) -> tuple[Lookup, ...]:
    mirror, working_set = reader.mirror.connection, reader.working_set.connection
    try:
        return lookups(mirror, working_set, prepared.statement.text, prepared.inspection.parameter_count)
    except apsw.SQLError:  # what cannot be explained now runs without
        return ()


def _child_indexes(reader: Reader, parents: Iterable[str]) -> Iterator[str]:
    referencing = reader.schema.catalog.referencing
    queue = list(parents)
    seen = set(queue)
    while queue:
        for child, key in referencing.get(queue.pop(), ()):
            index = _index_of(child, key.columns)
            if index is not None:
                yield index
            name = child.name.lower()
            if name not in seen:
                seen.add(name)
                queue.append(name)


def _index_of(table: Table, columns: tuple[int, ...]) -> str | None:
    """The first index that begins with these columns, in any order."""
    wanted = set(columns)
    for index in table.indexes:
        if index.computed is None and {*index.columns[: len(columns)]} == wanted:
            return index.name
    return None
