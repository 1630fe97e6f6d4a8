"""What the engine's tests share."""

from __future__ import annotations

import pytest

from databases import Connect
from rome.dbapi import Connection


@pytest.fixture
def two(one: Connection, connect: Connect) -> Connection:
    """A second connection to the database that the test's module has prepared by its own fixture `one`."""
    return connect()
