"""What the engine's tests share."""

from __future__ import annotations

import pytest

from rome.dbapi import Connection
from tests.support.databases import Connect


@pytest.fixture
def two(one: Connection, connect: Connect) -> Connection:
    """A second connection to the database that the test's module has prepared by its own fixture `one`."""
    return connect()
