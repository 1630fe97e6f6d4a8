"""Fixtures of the whole test tree: servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest

from servers import Flavour, Server, StartServer

PERSISTENT = {"appendonly": "yes", "appendfsync": "no"}
"""As applications should run theirs, and so that the store has nothing to warn about."""


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Redis server shared by the whole run. Tests use databases of their own, and leave it running."""
    yield from _running(Server("redis", tmp_path_factory.mktemp("redis"), PERSISTENT))


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Valkey server shared by the whole run. Tests use databases of their own, and leave it running."""
    yield from _running(Server("valkey", tmp_path_factory.mktemp("valkey"), PERSISTENT))


def _running(server: Server) -> Iterator[Server]:
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Starts servers for one test, which may kill them: start_server(flavour, options, environment)."""
    with ExitStack() as servers:

        def start(
            flavour: Flavour,
            options: Mapping[str, str] | None = None,
            environment: Mapping[str, str] | None = None,
        ) -> Server:
            server = Server(flavour, tmp_path_factory.mktemp(flavour), options, environment)
            servers.callback(server.stop)
            return server.start()

        yield start
