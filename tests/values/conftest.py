"""Fixtures: a fresh database on every store, and engines on it that are disposed of after the test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

import rome
from rome.dbapi import Connection
from servers import Server

STORES = ("memory", "lmdb", "redis")

_serial = itertools.count(1)


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in STORES])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    name = f"values{next(_serial)}"
    match request.param:
        case "memory":
            text = f"rome+memory:///{name}"
        case "lmdb":
            text = f"rome+lmdb:///{tmp_path / name}.lmdb"
        case _:
            server: Server = request.getfixturevalue("redis_server")
            text = f"rome+redis://{server.host}:{server.port}/{name}"
    yield text
    rome.drop_database(text)


@pytest.fixture
def connect(url: str) -> Iterator[Callable[[], Connection]]:
    """Opens another connection."""
    with ExitStack() as connections:

        def open_one() -> Connection:
            connection = rome.connect(url)
            connections.callback(connection.close)
            return connection

        yield open_one


@pytest.fixture
def engines(url: str) -> Iterator[tuple[Engine, Engine]]:
    """One that writes, and one that reads what was committed."""
    writer, reader = create_engine(url), create_engine(url)
    yield writer, reader
    writer.dispose()
    reader.dispose()
