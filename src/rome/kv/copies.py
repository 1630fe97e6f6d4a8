"""Keys and collections as archives hold them: keys and records in bytes, without the objects' types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from rome.errors import TransactionTooLargeError
from rome.kv import building, directory
from rome.kv.definition import CollectionDefinition
from rome.kv.layout import KEYS
from rome.store.spi import BEYOND, ORDER_INDEX, Store
from rome.transaction.transaction import Transaction
from rome.transaction.write_set import WriteSet

T = TypeVar("T")

Frame = tuple[object, ...]
Records = Sequence[tuple[bytes, bytes]]
"""(key, record) of keys or objects."""

KEYS_FRAME, COLLECTION_FRAME, OBJECTS_FRAME = "kv keys", "kv collection", "kv objects"
RECORDS_PER_FRAME = 1_000


def frames(transaction: Transaction) -> Iterator[Frame]:
    """All keys and collections at the transaction's snapshot.

    ["kv keys", [[key, record], ..]], ["kv collection", name, key fields, [[index fields, unique], ..]], and
    ["kv objects", name, [[key, record], ..]]. Index entries are not among them: see Filling.
    """
    for records in _records(transaction, KEYS):
        yield KEYS_FRAME, records
    for definition in directory.load_all(transaction):
        indexes = [(index.fields, index.unique) for index in definition.indexes]
        yield COLLECTION_FRAME, definition.name, definition.key, indexes
        for records in _records(transaction, definition.table_id):
            yield OBJECTS_FRAME, definition.name, records


def _records(transaction: Transaction, table_id: int) -> Iterator[Records]:
    for rows in transaction.chunks(table_id, ORDER_INDEX, b"", BEYOND):
        for start in range(0, len(rows), RECORDS_PER_FRAME):
            yield [(row.key, row.record) for row in rows[start : start + RECORDS_PER_FRAME]]


class Filling:
    """Fills a database that has no keys and collections yet.

    The entries of an index follow from the objects by their types, which an archive does not know. So indexes are
    declared as ones that are being built: whoever opens the collection first has them built, as after adding an index.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._made: dict[str, tuple[CollectionDefinition, Sequence[tuple[Sequence[str], bool]]]] = {}

    def keys(self, records: Records) -> None:
        """Write plain keys."""
        self._put(KEYS, records)

    def collection(self, name: str, key: Sequence[str], indexes: Sequence[tuple[Sequence[str], bool]]) -> None:
        """Create a collection, which gets its indexes at the end."""
        definition = self._commit(lambda transaction, writes: directory.create(transaction, writes, name, tuple(key)))
        self._made[name] = definition, indexes

    def objects(self, name: str, records: Records) -> None:
        """Write objects of a collection."""
        self._put(self._made[name][0].table_id, records)

    def finish(self) -> None:
        """Declare the indexes, when all objects are in."""
        for definition, indexes in self._made.values():

            def declare(
                _: Transaction,
                writes: WriteSet,
                made: CollectionDefinition = definition,
                wished: Sequence[tuple[Sequence[str], bool]] = indexes,
            ) -> CollectionDefinition:
                for fields, unique in wished:
                    made = building.add(made, tuple(fields), unique, writes)
                return made

            if indexes:
                self._commit(declare)

    def _put(self, table_id: int, records: Records) -> None:
        def put(_: Transaction, writes: WriteSet) -> None:
            for key, record in records:
                writes.put(table_id, key, record)

        try:
            self._commit(put)
        except TransactionTooLargeError:
            if len(records) < 2:
                raise
            middle = len(records) // 2
            self._put(table_id, records[:middle])
            self._put(table_id, records[middle:])

    def _commit(self, work: Callable[[Transaction, WriteSet], T]) -> T:
        # Tables may have been made since the last commit, and one without reads takes the newest version heard of.
        self._store.read(None, ())
        transaction, writes = Transaction(self._store), WriteSet()
        result = work(transaction, writes)
        transaction.commit(writes)
        return result
