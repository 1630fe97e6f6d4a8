"""Collections: objects of one type, by key and by indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import msgspec

from rome.codec.keys import encode_key
from rome.codec.values import SqlValue
from rome.errors import (
    CatalogChangedError,
    DataError,
    InterfaceError,
    MissingObjectError,
    ProgrammingError,
    UniqueViolation,
)
from rome.kv.definition import CollectionDefinition, CollectionIndex, Fields, StoredDefinition
from rome.kv.directory import definition_key
from rome.kv.keys import MAX_KEY_BYTES, Key, checked_limit
from rome.kv.layout import DIRECTORY
from rome.kv.models import Model, index_value
from rome.kv.view import EntryOf, RecordView, entry_of_key
from rome.store.spi import BEYOND, ORDER_INDEX, Bounds, Row
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest, Transaction

if TYPE_CHECKING:
    from rome.kv.transaction import KvTransaction

T = TypeVar("T")


class ObjectPage(NamedTuple, Generic[T]):
    """Some objects, and where the next page begins; `marker` is None after the last object."""

    items: list[T]
    marker: str | None


class Collection(Generic[T]):
    """Objects of one type in a database; made by `KvDatabase.collection`.

    It may be used by all threads. Each method takes the transaction in which it reads or writes.

    Attributes:
        owner: the database object that made it.
        is_outdated: its definition has changed since; the next transaction loads it anew.
    """

    def __init__(self, owner: object, model: Model[T], stored: StoredDefinition) -> None:
        self.owner = owner
        self._model = model
        self.name = stored.definition.name
        self.adopt(stored)

    def adopt(self, stored: StoredDefinition) -> None:
        """Go on with another definition, which somebody has stored since.

        Raises:
            ProgrammingError: it has a field that the type lacks.
        """
        definition = stored.definition
        lacking = [field for field in definition.key if field not in self._model.fields]
        if lacking:
            raise ProgrammingError(
                f"the key of collection {self.name} has the field {lacking[0]}, which {self._model.kind.__name__} "
                "does not have"
            )
        for index in definition.indexes:
            for field in index.fields:
                if field not in self._model.fields:
                    raise ProgrammingError(
                        f"collection {self.name} has {index.label}, and {self._model.kind.__name__} has no field "
                        f"{field}: give it one, or remove the index with drop_index({self.name!r}, {field!r})"
                    )
        self.stored = stored
        self.is_outdated = False

    @property
    def definition(self) -> CollectionDefinition:
        """What the database knows of the collection."""
        return self.stored.definition

    def __repr__(self) -> str:
        return f"<Collection {self.name} of {self._model.kind.__name__}>"

    # ------------------------------------------------------------ reads
    def get(self, tr: KvTransaction, key: object) -> T | None:
        """Return the object with a key; None if there is none. `key` is a tuple if the key has several fields.

        Cost: one round trip.
        """
        return self.get_many(tr, [key])[0]

    def get_many(self, tr: KvTransaction, keys: Sequence[object]) -> list[T | None]:
        """Return the objects with these keys, in their order; None for one that is not there. One round trip."""
        view, definition = self._use(tr)
        rows = view.get(definition.table_id, [self._row_key(definition, key)[0] for key in keys])
        return [None if row is None else self._object(row) for row in rows]

    def find(
        self, tr: KvTransaction, /, *, limit: int | None = None, reverse: bool = False, **equal: object
    ) -> list[T]:
        """Return the objects whose fields have these values, in the order of the index, then of the key.

        Without fields: all objects, by key.

        Args:
            limit: the most to return.
            reverse: in the opposite order.
            equal: values of the first fields of an index, or of the key.

        Raises:
            ProgrammingError: no index begins with these fields.

        Cost: one round trip.
        """
        view, definition = self._use(tr)
        index_id, bounds, entry_of = self._way(definition, equal)
        most = checked_limit(limit)
        rows = view.scan(definition.table_id, index_id, bounds, entry_of, most, reverse=reverse)
        return [self._object(row) for row in rows]

    def page(
        self, tr: KvTransaction, /, *, limit: int, marker: str | None = None, reverse: bool = False, **equal: object
    ) -> ObjectPage[T]:
        """Return some objects in the order of `find`, and the marker with which the next page continues.

        Each page may be read in a transaction of its own: it begins behind the last object of the one before, even if
        that has been deleted.

        Raises:
            DataError: the marker is none of this order.
        """
        view, definition = self._use(tr)
        index_id, (start, stop), entry_of = self._way(definition, equal)
        most = checked_limit(limit)
        if most is None:
            raise InterfaceError("a page has a limit; find gives all objects")
        if marker is not None:
            try:
                last = bytes.fromhex(marker)
            except (ValueError, TypeError):
                last = b""
            if not (last and start <= last < stop):
                raise DataError(f"{marker!r} is no marker of this order of collection {self.name}")
            start, stop = (start, last) if reverse else (last + b"\x00", stop)
        rows = view.scan(definition.table_id, index_id, (start, stop), entry_of, most + 1, reverse=reverse)
        following = entry_of(rows[most - 1]).hex() if len(rows) > most else None
        return ObjectPage([self._object(row) for row in rows[:most]], following)

    def count(self, tr: KvTransaction, /, **equal: object) -> int:
        """Return how many objects `find` would return. The store counts. One round trip."""
        view, definition = self._use(tr)
        index_id, bounds, entry_of = self._way(definition, equal)
        return view.count(definition.table_id, index_id, bounds, entry_of)

    # ------------------------------------------------------------ writes
    def put(self, tr: KvTransaction, item: T) -> None:
        """Insert an object, or replace the one with its key.

        Raises:
            DataError: a field has a value that its annotation does not allow, or that cannot be stored.
            UniqueViolation: another object has the same values of a unique index.

        Cost: one round trip if the collection has indexes, since the entries of the old object must go. None else.
        """
        view, definition = self._use(tr)
        row_key, parts = self._key_of(definition, item)
        record = self._kept(definition, item, *self._model.encode(item, self._called(definition, parts)))
        old = view.get(definition.table_id, [row_key])[0] if definition.indexes else None
        self._write(view, definition, (row_key, parts, record), None if old is None else self._object(old), item)

    def insert(self, tr: KvTransaction, item: T) -> None:
        """Insert an object, whose key must be free.

        Raises:
            UniqueViolation: there is an object with this key; or see put.

        Cost: one round trip.
        """
        view, definition = self._use(tr)
        row_key, parts = self._key_of(definition, item)
        called = self._called(definition, parts)
        record = self._kept(definition, item, *self._model.encode(item, called))
        (old,) = view.get(definition.table_id, [row_key])
        if old is not None:
            raise UniqueViolation(f"there is already an {called}")
        self._write(view, definition, (row_key, parts, record), None, item)

    def patch(self, tr: KvTransaction, key: object, /, **changes: object) -> T:
        """Change some fields of an object, and return it as it is then.

        Fields that the stored object has and the type does not know stay as they are.

        Raises:
            MissingObjectError: there is no object with this key.
            ProgrammingError: the type has no such field, or it is part of the key.

        Cost: one round trip.
        """
        view, definition = self._use(tr)
        for field in changes:
            if field not in self._model.fields:
                raise ProgrammingError(f"{self._model.kind.__name__} has no field {field}")
            if field in definition.key:
                raise ProgrammingError(
                    f"{field} is part of the key of collection {self.name}: delete the object, and put another one"
                )
        row_key, parts = self._row_key(definition, key)
        (row,) = view.get(definition.table_id, [row_key])
        if row is None:
            raise MissingObjectError(f"there is no {self._called(definition, parts)}")
        old = self._object(row)
        item = self._model.changed(old, changes)
        called = self._called(definition, parts)
        record = self._kept(definition, item, *self._model.merge(item, row.record, called))
        self._write(view, definition, (row_key, parts, record), old, item)
        return item

    def delete(self, tr: KvTransaction, key: object) -> bool:
        """Delete an object; returns whether there was one.

        Cost: one round trip.
        """
        view, definition = self._use(tr)
        row_key, parts = self._row_key(definition, key)
        (row,) = view.get(definition.table_id, [row_key])
        if row is None:
            return False
        if definition.indexes:
            old = self._object(row)
            for index in definition.indexes:
                _remove_entry(view, definition.table_id, index, self._index_key(index, old), row_key)
        view.delete(definition.table_id, row_key, parts)
        return True

    def _kept(self, definition: CollectionDefinition, item: T, record: bytes, kept: T) -> bytes:
        """Return an object's record, out of which it comes as `kept`, with the same keys.

        A field of another type may be stored like one of its annotation, as a text like a UUID. Then the object would
        not be found by what it comes back with, and its entries would stay when it is deleted.

        Raises:
            DataError: a field of the key or of an index comes back as something else.
        """
        for fields in (definition.key, *(index.fields for index in definition.indexes)):
            for field in fields:
                given, found = getattr(item, field), getattr(kept, field)
                if given is found or (type(given) is type(found) and given == found):
                    continue
                where = f"{self.name}.{field}"
                value = index_value(given, where)
                if value == value and value != index_value(found, where):  # NaN is refused by its name later
                    raise DataError(
                        f"{where}={given!r} does not fit {self._model.kind.__name__}: it would come back as {found!r}"
                    )
        return record

    def _write(
        self,
        view: RecordView,
        definition: CollectionDefinition,
        new: tuple[bytes, Key, bytes],
        old: T | None,
        item: T,
    ) -> None:
        """Put a row (key, parts, record) in place of the old object's, with its entries."""
        row_key, parts, record = new
        table_id = definition.table_id
        moves: list[tuple[CollectionIndex, bytes | None, bytes]] = []
        for index in definition.indexes:
            new_key = self._index_key(index, item)
            old_key = None if old is None else self._index_key(index, old)
            if new_key != old_key and index.unique:
                self._check_free(view, table_id, index, new_key, row_key, item)
            if new_key != old_key or index.building:
                moves.append((index, old_key, new_key))
        for index, old_key, new_key in moves:
            if old_key is not None:
                _remove_entry(view, table_id, index, old_key, row_key)
            view.writes.add_entry(table_id, index.id, new_key, row_key)
        view.put(table_id, row_key, parts, record)

    def _check_free(
        self, view: RecordView, table_id: int, index: CollectionIndex, key: bytes, row_key: bytes, item: T
    ) -> None:
        """As in SQL, objects with None in a field of a unique index do not exclude each other."""
        if None in self._values(index.fields, item):
            return
        if not view.is_free(table_id, index.id, (key, key + BEYOND), self._entry_of(index), row_key):
            values = ", ".join(f"{field}={getattr(item, field)!r}" for field in index.fields)
            raise UniqueViolation(f"collection {self.name} has another object with {values}")

    # ------------------------------------------------------------ keys
    def index_entry(self, index: CollectionIndex, row: Row) -> tuple[bytes, bool]:
        """An object's key in an index, and whether unique indexes look at it."""
        item = self._object(row)
        return self._index_key(index, item), None not in self._values(index.fields, item)

    def _values(self, fields: Fields, item: T) -> list[SqlValue]:
        return [index_value(getattr(item, field), f"{self.name}.{field}") for field in fields]

    def _index_key(self, index: CollectionIndex, item: T) -> bytes:
        return self._encoded(index.fields, self._values(index.fields, item))

    def _encoded(self, fields: Fields, values: Sequence[SqlValue]) -> bytes:
        key = encode_key(values, ["BINARY"] * len(values))
        if len(key) > MAX_KEY_BYTES:
            raise DataError(
                f"{', '.join(fields)} of collection {self.name} would take {len(key):,} bytes in a key or an index; at "
                f"most {MAX_KEY_BYTES:,} are possible"
            )
        return key

    def _entry_of(self, index: CollectionIndex) -> EntryOf:
        return lambda row: self._index_key(index, self._object(row)) + row.key

    def _key_of(self, definition: CollectionDefinition, item: T) -> tuple[bytes, Key]:
        if not isinstance(item, self._model.kind):
            raise DataError(
                f"collection {self.name} holds {self._model.kind.__name__}, and not {type(item).__name__}: {item!r}"
            )
        values = self._values(definition.key, item)
        return self._encoded(definition.key, values), tuple(values)

    def _row_key(self, definition: CollectionDefinition, key: object) -> tuple[bytes, Key]:
        fields = definition.key
        parts = key if len(fields) > 1 else (key,)
        if not isinstance(parts, tuple) or len(parts) != len(fields):
            raise DataError(f"the key of collection {self.name} is a tuple ({', '.join(fields)}), and not {key!r}")
        values = [index_value(part, f"{self.name}.{field}") for part, field in zip(parts, fields, strict=True)]
        return self._encoded(fields, values), tuple(values)

    def _way(self, definition: CollectionDefinition, equal: Mapping[str, object]) -> tuple[int, Bounds, EntryOf]:
        """The index that begins with these fields, and its range with these values."""
        built = [index for index in definition.indexes if not index.building]
        ways = [
            (ORDER_INDEX, definition.key, entry_of_key),
            *((index.id, index.fields, self._entry_of(index)) for index in built),
        ]
        for index_id, fields, entry_of in ways:
            first = fields[: len(equal)]
            if len(first) == len(equal) and set(first) == equal.keys():
                values = [index_value(equal[field], f"{self.name}.{field}") for field in first]
                start = self._encoded(first, values)
                return index_id, (start, start + BEYOND), entry_of
        indexes = [", ".join(fields) for _, fields, _ in ways[1:]]
        raise ProgrammingError(
            f"collection {self.name} has no index that begins with {', '.join(equal)}; it has: "
            f"{'; '.join(indexes) or 'none'}. Name the fields in `indexes` of db.collection"
        )

    def _object(self, row: Row) -> T:
        try:
            return self._model.decode(row.record)
        except (msgspec.MsgspecError, ValueError) as error:
            raise DataError(
                f"an object of collection {self.name} does not fit {self._model.kind.__name__} any more: {error}; give "
                "a new field a default; to replace or delete such objects, remove the collection's indexes first "
                "(drop_index), whose entries follow from what was stored"
            ) from error

    def _called(self, definition: CollectionDefinition, parts: Key) -> str:
        shown = ", ".join(f"{field}={part!r}" for field, part in zip(definition.key, parts, strict=True))
        return f"object {shown} of collection {self.name}"

    # ------------------------------------------------------------ its definition
    def _use(self, tr: KvTransaction) -> tuple[RecordView, CollectionDefinition]:
        """The transaction's records; and the definition, of which this makes sure that it is that of the snapshot.

        Everything in one call goes by this definition, since another thread may adopt a newer one.
        """
        view, uses = tr.view_of(self)
        stored = self.stored
        key, version = definition_key(self.name), stored.version
        used = uses.get(key)
        if used is not None:
            if used != version:
                raise self._changed()
            return view, stored.definition
        uses[key] = version

        def look(transaction: Transaction) -> None:
            row = transaction.cache.row(DIRECTORY, key)
            if (0 if row is None else row.version) != version:
                raise self._changed()

        view.beside.append(ReadRequest(DIRECTORY, ORDER_INDEX, (key,), (), Validation.NOTHING))
        view.look_beside.append(look)
        view.transaction.read_set.add_point(DIRECTORY, key, version)
        return view, stored.definition

    def _changed(self) -> CatalogChangedError:
        self.is_outdated = True
        return CatalogChangedError.of_collection(self.name)


def _remove_entry(view: RecordView, table_id: int, index: CollectionIndex, key: bytes, row_key: bytes) -> None:
    if not index.building or view.has_entry(table_id, index.id, key, row_key):
        view.writes.remove_entry(table_id, index.id, key, row_key)
