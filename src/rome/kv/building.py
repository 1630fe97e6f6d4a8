"""Indexes of a collection that has objects already: made in steps, while others read and write.

An index is defined first, as one that is being built; from then on every writer maintains it, since each commit
validates the definition that it went by. The objects that were there before get their entries step by step. An object
whose version is above that of the index's first row in the directory has been written since, with its entry. A writer
looks whether the old object has one already (`RecordView.has_entry`); its commit validates that, and a step's commit
validates its objects, so one of them comes first. A builder that died is followed by the next one who opens the
collection.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from rome.errors import UniqueViolation
from rome.kv import directory
from rome.kv.collection import Collection
from rome.kv.definition import CollectionDefinition, CollectionIndex, Fields, StoredDefinition
from rome.kv.layout import DIRECTORY
from rome.store.spi import BEYOND, ORDER_INDEX, Drop, Scan
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest, Transaction
from rome.transaction.write_set import WriteSet

STEP_ROWS = 500
"""How many objects get their entries in one commit."""


def add(definition: CollectionDefinition, fields: Fields, unique: bool, writes: WriteSet) -> CollectionDefinition:
    """Define an index that is to be built."""
    index = CollectionIndex(definition.next_index, fields, unique, building=True)
    changed = replace(definition, indexes=(*definition.indexes, index), next_index=definition.next_index + 1)
    began, _ = directory.progress_keys(definition.name, index.id)
    writes.put(DIRECTORY, began, b"\x00")
    directory.put(writes, changed)
    return changed


def step(
    transaction: Transaction, collection: Collection[Any], index_id: int, writes: WriteSet
) -> StoredDefinition | None:
    """Give some more objects their entries, or declare the index built.

    Returns:
        The definition as it was read; None if the index is not being built any more.

    Raises:
        UniqueViolation: two objects have the same values.
    """
    name = collection.name
    stored = directory.load(transaction, name)
    index = None if stored is None else next((i for i in stored.definition.indexes if i.id == index_id), None)
    progress = directory.progress(transaction, name, index_id)
    if stored is None or index is None or progress is None:
        return None
    table_id = stored.definition.table_id
    start = progress.done + BEYOND if progress.done else b""
    (rows,) = transaction.ask([Scan(table_id, ORDER_INDEX, start, BEYOND, STEP_ROWS)])
    assert not isinstance(rows, int)
    began, done = directory.progress_keys(name, index_id)
    if not rows:
        writes.rows.setdefault(DIRECTORY, {}).update({began: None, done: None})
        built = tuple(replace(i, building=False) if i.id == index_id else i for i in stored.definition.indexes)
        directory.put(writes, replace(stored.definition, indexes=built))
        return stored
    mine: dict[bytes, bytes] = {}
    for row in rows:
        transaction.read_set.add_point(table_id, row.key, row.version)
        has_entry = row.version > progress.began
        if has_entry and not index.unique:
            continue
        key, compared = collection.index_entry(index, row)
        if not has_entry:
            writes.add_entry(table_id, index.id, key, row.key)
        if index.unique and compared:
            if key in mine:
                raise _not_unique(collection, index)
            mine[key] = row.key
    _check_unique(transaction, collection, index, mine)
    writes.put(DIRECTORY, done, rows[-1].key)
    return stored


def _check_unique(
    transaction: Transaction, collection: Collection[Any], index: CollectionIndex, mine: dict[bytes, bytes]
) -> None:
    """Refuse objects whose values others have that have their entries already.

    Writers check against these, but only values that they change: two objects that had the same values before may both
    have been written since.
    """
    if mine:
        ranges = tuple((key, key + BEYOND) for key in mine)
        want = ReadRequest(collection.definition.table_id, index.id, (), ranges, Validation.KEYS)
        transaction.read([want])
        transaction.check_request(want)
        for row in transaction.rows(want):
            key, _ = collection.index_entry(index, row)
            if mine.get(key, row.key) != row.key:
                raise _not_unique(collection, index)


def _not_unique(collection: Collection[Any], index: CollectionIndex) -> UniqueViolation:
    return UniqueViolation(
        f"collection {collection.name} cannot have a unique index on {', '.join(index.fields)}: two of its objects "
        "have the same values; the index was not made"
    )


def remove(transaction: Transaction, name: str, fields: Fields, writes: WriteSet) -> bool:
    """Remove an index with its entries; returns whether there is one on exactly these fields."""
    stored = directory.load(transaction, name)
    index = None if stored is None else stored.definition.index_on(fields)
    if stored is None or index is None:
        return False
    left = tuple(each for each in stored.definition.indexes if each is not index)
    directory.put(writes, replace(stored.definition, indexes=left))
    if index.building:
        rows = writes.rows.setdefault(DIRECTORY, {})
        rows.update(dict.fromkeys(directory.progress_keys(name, index.id)))
    directory.drop(transaction, writes, [Drop(stored.definition.table_id, index.id)])
    return True
