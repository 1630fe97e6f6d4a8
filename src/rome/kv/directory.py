"""The collections of a database, as rows of a table of their own; and the numbers of their tables.

NULL                    the number of the next collection's table; a number is never used again
name                    a CollectionDefinition
name, index, 0          while an index is built: written once, when it was added; objects of later versions than
                        this row's have their entries
name, index, 1          while an index is built: the last object that has its entry
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from rome.catalog.objects import Header, encode_object
from rome.codec.keys import encode_key
from rome.errors import CorruptRecordError, OperationalError
from rome.kv.definition import CollectionDefinition, StoredDefinition
from rome.kv.layout import DIRECTORY, FIRST_COLLECTION, LAST_COLLECTION
from rome.store.spi import BEYOND, CATALOG_TABLE, ORDER_INDEX, Drop, Row
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest, Transaction
from rome.transaction.write_set import WriteSet

_NEXT_TABLE = encode_key([None], ["BINARY"])
_NAME_CODE = 0x30
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(CollectionDefinition).decode
_decode_number = msgspec.msgpack.Decoder(int).decode


class BuildProgress(Struct, frozen=True):
    """How far an index is built: objects up to the key `done`, and those of versions above `began`, have entries."""

    began: int
    done: bytes


def definition_key(name: str) -> bytes:
    """The key of a collection's row."""
    return encode_key([name], ["BINARY"])


def definition_of(name: str, row: Row | None) -> StoredDefinition | None:
    """What a collection's row holds.

    Raises:
        CorruptRecordError: it is no definition.
    """
    if row is None:
        return None
    try:
        return StoredDefinition(_decode(row.record), row.version)
    except (msgspec.MsgspecError, ValueError) as error:
        raise CorruptRecordError(
            f"the definition of collection {name} cannot be decoded: {error}", table=DIRECTORY, key=row.key
        ) from error


def _get(transaction: Transaction, keys: Iterable[bytes]) -> list[Row | None]:
    want = ReadRequest(DIRECTORY, ORDER_INDEX, tuple(keys), (), Validation.ROWS)
    transaction.read([want])
    transaction.check_request(want)
    return [transaction.cache.row(DIRECTORY, key) for key in want.keys]


def load(transaction: Transaction, name: str) -> StoredDefinition | None:
    """Read a collection's definition; the commit validates it."""
    return definition_of(name, _get(transaction, [definition_key(name)])[0])


def load_all(transaction: Transaction) -> list[CollectionDefinition]:
    """Read the definitions of all collections, by name."""
    want = ReadRequest(DIRECTORY, ORDER_INDEX, (), ((bytes([_NAME_CODE]), BEYOND),), Validation.ROWS)
    transaction.read([want])
    transaction.check_request(want)
    found = []
    for row in sorted(transaction.rows(want), key=lambda row: row.key):
        if row.key.endswith(b"\x00"):  # else it goes on with an index's number
            stored = definition_of(row.key.hex(), row)
            assert stored is not None
            found.append(stored.definition)
    return found


def create(transaction: Transaction, writes: WriteSet, name: str, key: tuple[str, ...]) -> CollectionDefinition:
    """Define a collection without indexes, which is not there.

    Raises:
        OperationalError: there have been too many.
    """
    (row,) = _get(transaction, [_NEXT_TABLE])
    table_id = FIRST_COLLECTION if row is None else _decode_number(row.record)
    if table_id > LAST_COLLECTION:
        raise OperationalError("this database has no number left for a further collection")
    writes.put(DIRECTORY, _NEXT_TABLE, _encode(table_id + 1))
    definition = CollectionDefinition(name, table_id, key, ())
    put(writes, definition)
    return definition


def put(writes: WriteSet, definition: CollectionDefinition) -> None:
    """Write a definition."""
    writes.put(DIRECTORY, definition_key(definition.name), _encode(definition))


def drop(transaction: Transaction, writes: WriteSet, drops: Sequence[Drop]) -> None:
    """Delete tables or indexes with their history.

    The catalog's header is written as it is, since a store demands that a commit with drops changes the catalog: no
    older snapshot may read what is gone.
    """
    header_key, empty = encode_object(Header())
    want = ReadRequest(CATALOG_TABLE, ORDER_INDEX, (header_key,), (), Validation.ROWS)
    transaction.read([want])
    transaction.check_request(want)
    row = transaction.cache.row(CATALOG_TABLE, header_key)
    writes.put(CATALOG_TABLE, header_key, empty if row is None else row.record)
    writes.drops.extend(drops)


def progress_keys(name: str, index_id: int) -> list[bytes]:
    """The keys of the two rows about an index that is built."""
    return [encode_key([name, index_id, part], ["BINARY"] * 3) for part in (0, 1)]


def progress(transaction: Transaction, name: str, index_id: int) -> BuildProgress | None:
    """Read how far an index is built; None if it is not being built."""
    began, done = _get(transaction, progress_keys(name, index_id))
    return None if began is None else BuildProgress(began.version, b"" if done is None else done.record)
