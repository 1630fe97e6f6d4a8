"""Fixtures: a fresh database in memory, and connections to it that are closed after the test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

import rome
from rome.dbapi import Connection

Connect = Callable[..., Connection]

_serial = itertools.count(1)


@pytest.fixture
def url() -> Iterator[str]:
    text = f"rome+memory:///engine{next(_serial)}"
    yield text
    rome.drop_database(text)


@pytest.fixture
def connect(url: str) -> Iterator[Connect]:
    """Opens a connection to `url`; takes connect's options."""
    with ExitStack() as connections:

        def open_one(**options: object) -> Connection:
            connection = rome.connect(url, **options)
            connections.callback(connection.close)
            return connection

        yield open_one


@pytest.fixture
def connection(connect: Connect) -> Connection:
    return connect()
