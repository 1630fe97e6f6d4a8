"""What administrators ask about keys and collections, without the objects' types."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

from sqlalchemy.engine import URL

from rome.dbapi.admin import database_exists
from rome.dbapi.url import make_url, parse_url
from rome.errors import CorruptRecordError, Error
from rome.kv.definition import CollectionDefinition
from rome.kv.directory import load_all
from rome.kv.layout import FEED, KEYS
from rome.store.diagnosis import Finding, Level
from rome.store.registry import store_class
from rome.store.spi import BEYOND, ORDER_INDEX, Count
from rome.transaction.transaction import Transaction

CHECK = "rome.kv"
"""What findings are about, in the words of `rome doctor`."""


def list_collections(url: str | URL) -> list[CollectionDefinition]:
    """The definitions of all collections of a database, by name.

    Cost: one connection, and one round trip.
    """
    with _reading(url) as transaction:
        return load_all(transaction)


class CollectionDamage(NamedTuple):
    """Something in a collection that does not fit: the collection, where in it, and what is wrong."""

    collection: str
    where: str
    reason: str


def verify_collections(url: str | URL) -> list[CollectionDamage]:
    """Look for damage: index entries that lead to no object, and objects without an entry.

    Cost: all collections are read once for each index, in chunks.
    """
    wrong: list[CollectionDamage] = []
    with _reading(url) as transaction:
        for collection in load_all(transaction):
            objects = _count(transaction, collection.table_id, ORDER_INDEX)
            for index in collection.indexes:
                if index.building:
                    continue
                label = f"the index on {', '.join(index.fields)}"
                try:
                    keys = {
                        row.key
                        for rows in transaction.chunks(collection.table_id, index.id, b"", BEYOND)
                        for row in rows
                    }
                except CorruptRecordError as error:
                    wrong.append(CollectionDamage(collection.name, label, str(error)))
                    continue
                entries = _count(transaction, collection.table_id, index.id)
                if not entries == len(keys) == objects:
                    reason = f"{entries} entries lead to {len(keys)} of {objects} objects"
                    wrong.append(CollectionDamage(collection.name, label, reason))
    return wrong


def has_keys(url: str | URL) -> bool:
    """Whether a database has collections or plain keys."""
    with _reading(url) as transaction:
        return bool(load_all(transaction) or _count(transaction, KEYS, ORDER_INDEX))


def findings(url: str | URL) -> list[Finding]:
    """What `rome doctor` says of keys and collections; nothing about a database without any.

    A store that cannot be asked is told of by its own findings.
    """
    parsed = make_url(url)
    try:
        if not parsed.database or not database_exists(parsed):
            return []
        with _reading(parsed) as transaction:
            collections = load_all(transaction)
            keys, entries = (_count(transaction, table_id, ORDER_INDEX) for table_id in (KEYS, FEED))
    except Error:
        return []
    if not (collections or keys or entries):
        return []
    found = [Finding(CHECK, Level.OK, f"{len(collections)} collections, {keys} plain keys")]
    for collection in collections:
        found += [
            Finding(
                CHECK,
                Level.WARNING,
                f"{index.label} of collection {collection.name} is being built, or was left half built",
                "open the collection with db.collection: it goes on",
            )
            for index in collection.indexes
            if index.building
        ]
    return found


@contextmanager
def _reading(url: str | URL) -> Iterator[Transaction]:
    location = parse_url(make_url(url)).location
    with closing(store_class(location.scheme).open(location)) as store:
        yield Transaction(store)


def _count(transaction: Transaction, table_id: int, index_id: int) -> int:
    (number,) = transaction.ask([Count(table_id, index_id, b"", BEYOND)])
    assert isinstance(number, int)
    return number
