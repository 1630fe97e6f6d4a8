"""The conformance suite: one test per promise of rome.store.spi. A store is one when it passes.

To run it on a store, give a fixture `store_under_test` that returns a rome.testing.harness.StoreUnderTest, in a
conftest.py, and collect the tests in a module beside it by

    from rome.testing.store_suite import *

The fixture may be parametrized. Every test gets a database of its own, which is dropped afterwards; nothing else on
the server is touched. Tests that need time to pass ask StoreUnderTest.wait for a fraction of a second. What the
store's distribution has to register is told in rome.store.registry.
"""

from __future__ import annotations

from collections.abc import Iterator
from secrets import token_hex

import pytest

from rome.store.location import Location
from rome.store.spi import Store
from rome.testing.harness import Connect, SnapshotClient, StoreUnderTest
from rome.testing.store_machine import TestRandomHistories
from rome.testing.suite_commit_queue import TestLine
from rome.testing.suite_commits import TestCatalogVersion, TestCommit, TestDrop, TestSequences, TestTransactionIds
from rome.testing.suite_databases import TestConnection, TestDatabases, TestRetention
from rome.testing.suite_entry_points import TestEntryPoints
from rome.testing.suite_read_sets import TestReadSet
from rome.testing.suite_reads import TestKeysAndRecords, TestScan, TestSnapshot

__all__ = [
    "TestCatalogVersion",
    "TestCommit",
    "TestConnection",
    "TestDatabases",
    "TestDrop",
    "TestEntryPoints",
    "TestKeysAndRecords",
    "TestLine",
    "TestRandomHistories",
    "TestReadSet",
    "TestRetention",
    "TestScan",
    "TestSequences",
    "TestSnapshot",
    "TestTransactionIds",
    "connect",
    "location",
]


@pytest.fixture
def location(store_under_test: StoreUnderTest) -> Location:
    """Where the test's own database is."""
    return store_under_test.locate(f"suite-{token_hex(8)}")


@pytest.fixture
def connect(store_under_test: StoreUnderTest, location: Location) -> Iterator[Connect]:
    """Opens connections, all to one database that is new."""
    stores: list[Store] = []

    def open_client() -> SnapshotClient:
        stores.append(store_under_test.store.open(location))
        return SnapshotClient(stores[-1])

    try:
        yield open_client
    finally:
        for store in stores:
            store.close()
        store_under_test.store.drop_database(location)
