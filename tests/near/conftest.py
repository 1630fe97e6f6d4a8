"""Fixtures of near reads: a primary of the test's own with a replica, and connections that are closed in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from secrets import token_hex

import pytest

import rome
from rome.dbapi import Connection
from rome.store import near
from tests.near.processes import Elsewhere
from tests.support.replicas import NearReplica
from tests.support.servers import Flavour

FLAVOURS = ("redis", "valkey")

Open = Callable[[str], Connection]
"""The fixture `open_url`."""

MoveClock = Callable[[float], None]
"""The fixture `move_clock`."""


@pytest.fixture(scope="module", params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in FLAVOURS])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    name: Flavour = request.param
    return name


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest, flavour: Flavour) -> NearReplica:
    """A primary and its replica; the module's tests leave them as they were."""
    found: NearReplica = request.getfixturevalue(f"{flavour}_replica")
    return found


@pytest.fixture
def replica(servers: NearReplica) -> Iterator[NearReplica]:
    """The replica, in reach and up to date."""
    servers.restore()
    yield servers
    servers.restore()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    with Elsewhere() as process:
        yield process


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
