"""The conformance suite: one test per promise of rome.store.spi. A store is conforming if all tests pass.

To run it on a store, define a fixture `store_under_test` in a conftest.py that returns a
rome.testing.harness.StoreUnderTest, and collect the tests in a module beside it with

    from rome.testing.store_suite import *

The fixture may be parametrized. Every test gets a database of its own, which is dropped afterwards; nothing else on
the server is touched. Tests that need time to pass call StoreUnderTest.wait for a fraction of a second. The module
rome.store.registry says which entry points the store's distribution must register.
"""

from __future__ import annotations

from collections.abc import Iterator
from secrets import token_hex

import pytest

from rome.store.location import Location
from rome.store.spi import Store
from rome.testing.harness import Connect, SnapshotClient, StoreUnderTest
from rome.testing.store_machine import TestRandomHistories
from rome.testing.suite_commit_queue import TestCommitQueue
from rome.testing.suite_commits import TestCatalogVersion, TestCommit, TestDrop, TestSequences, TestTransactionIds
from rome.testing.suite_databases import TestConnection, TestDatabases, TestRetention
from rome.testing.suite_entry_points import TestEntryPoints
from rome.testing.suite_pins import TestPins, TestStoreWithoutPins
from rome.testing.suite_read_sets import TestReadSet
from rome.testing.suite_reads import TestKeysAndRecords, TestScan, TestSnapshot
from rome.testing.suite_round_trips import TestRoundTrips
from rome.testing.suite_usage import TestUsage

__all__ = [
    "TestCatalogVersion",
    "TestCommit",
    "TestCommitQueue",
    "TestConnection",
    "TestDatabases",
    "TestDrop",
    "TestEntryPoints",
    "TestKeysAndRecords",
    "TestPins",
    "TestRandomHistories",
    "TestReadSet",
    "TestRetention",
    "TestRoundTrips",
    "TestScan",
    "TestSequences",
    "TestSnapshot",
    "TestStoreWithoutPins",
    "TestTransactionIds",
    "TestUsage",
    "connect",
    "location",
]


@pytest.fixture
def location(store_under_test: StoreUnderTest) -> Location:
    """The location of the test's own database."""
    return store_under_test.locate(f"suite-{token_hex(8)}")


@pytest.fixture
def connect(store_under_test: StoreUnderTest, location: Location) -> Iterator[Connect]:
    """A function that opens connections, all to one new database."""
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
