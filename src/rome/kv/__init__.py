"""Transactions, ordered keys and collections of objects on Rome's stores, without SQL.

    db = rome.kv.open("rome+lmdb:///data.rome")
    ports = db.collection("ports", Port, key="id", indexes=["network"])
    with db.transaction() as tr:
        ports.put(tr, Port("p1", network="n1"))
        tr.put(("seen", "p1"), 1)

The transactions are those of rome.transaction: snapshots, read sets, a COMMIT that validates and applies in one step,
and a queue for those who lose. Keys and collections live in the same database as SQL's tables, and neither sees the
other's. docs/kv.md is the manual.
"""

from rome.kv.collection import Collection, ObjectPage
from rome.kv.database import KvDatabase
from rome.kv.definition import CollectionDefinition, CollectionIndex
from rome.kv.inspection import CollectionDamage, list_collections, verify_collections
from rome.kv.keys import Key
from rome.kv.opening import open
from rome.kv.transaction import KvTransaction
from rome.kv.values import Value
from rome.kv.watch import KeyChange, Watch

__all__ = [
    "Collection",
    "CollectionDamage",
    "CollectionDefinition",
    "CollectionIndex",
    "Key",
    "KeyChange",
    "KvDatabase",
    "KvTransaction",
    "ObjectPage",
    "Value",
    "Watch",
    "list_collections",
    "open",
    "verify_collections",
]
