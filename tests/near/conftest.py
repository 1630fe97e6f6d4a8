"""Fixtures of near reads: a primary of the test's own with a replica, and connections that are closed in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from secrets import token_hex

import pytest

import rome
from rome.dbapi import Connection
from rome.store import near
from tests.support.replicas import NearReplica
from tests.support.servers import Flavour, StartServer

PERSISTENT = {"appendonly": "yes", "appendfsync": "no", "repl-diskless-sync-delay": "0"}

Open = Callable[[str], Connection]
"""The fixture `open_url`."""

MoveClock = Callable[[float], None]
"""The fixture `move_clock`."""


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("redis", "valkey")])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    name: Flavour = request.param
    return name


@pytest.fixture
def replica(start_server: StartServer, flavour: Flavour) -> Iterator[NearReplica]:
    """A primary and its replica; in reach, and up to date."""
    found = NearReplica(start_server(flavour, PERSISTENT), start_server, flavour)
    yield found
    found.resume_if_it_runs()
    found.link.close()


@pytest.fixture
def database() -> str:
    return f"near-{token_hex(4)}"


@pytest.fixture
def open_url() -> Iterator[Open]:
    with ExitStack() as opened:

        def open_one(url: str) -> Connection:
            connection = rome.connect(url)
            opened.callback(connection.close)
            return connection

        yield open_one


@pytest.fixture
def move_clock(monkeypatch: pytest.MonkeyPatch) -> MoveClock:
    """Moves the clock of rome.store.near on by some seconds."""
    moved = 0.0
    real = near.clock

    def move(seconds: float) -> None:
        nonlocal moved
        moved += seconds

    monkeypatch.setattr(near, "clock", lambda: real() + moved)
    return move
