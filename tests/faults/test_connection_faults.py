"""What befalls a connection, or the client itself, amid a commit: it is applied once, or never, and known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from rome.store.redis import scripts
from rome.testing.proxy import Proxy
from tests.faults.ambush import STEPS, STEPS_TO_DIE_AT, Ambush
from tests.faults.clients import Clients
from tests.faults.ledger import Told
from tests.support.servers import Server

CLIENTS = 3

pytestmark = [pytest.mark.timeout(1800), pytest.mark.redis]

COMMIT = scripts.COMMIT.digest


@contextmanager
def writing(server: Server, folder: Path) -> Iterator[tuple[Clients, list[Proxy]]]:
    """Clients, each behind a proxy of its own."""
    with ExitStack() as stack:
        proxies = [stack.enter_context(Proxy(server.host, server.port)) for _ in range(CLIENTS)]
        url = f"rome+redis://{server.host}:{server.port}/{folder.name}"
        urls = [url_through(proxy, folder.name) for proxy in proxies]
        yield stack.enter_context(Clients(url, folder, urls)), proxies


def url_through(proxy: Proxy, database: str) -> str:
    return f"rome+redis://127.0.0.1:{proxy.port}/{database}?read_timeout=1"


@pytest.mark.parametrize("step", STEPS)
def test_connection_lost(redis_server: Server, tmp_path: Path, step: str) -> None:
    with writing(redis_server, tmp_path) as (clients, proxies):

        def strike(number: int) -> None:
            ambush = Ambush(COMMIT, *STEPS[step])
            proxies[number % CLIENTS].judge = ambush
            ambush.wait()

        verdict = clients.survive(strike)
    assert not verdict.lost
    assert not verdict.told[Told.UNKNOWN]
    assert not verdict.told[Told.MISSED]


@pytest.mark.parametrize("step", STEPS_TO_DIE_AT)
def test_client_killed(redis_server: Server, tmp_path: Path, step: str) -> None:
    class Kill(Ambush):
        def strike(self) -> None:
            clients.end(victim)

    with writing(redis_server, tmp_path) as (clients, proxies):
        clients_at = dict(enumerate(clients.running))
        victim = 0

        def strike(number: int) -> None:
            nonlocal victim
            place = number % CLIENTS
            victim = clients_at[place]
            ambush = Kill(COMMIT, *STEPS[step])
            proxies[place].judge = ambush
            ambush.wait()
            clients_at[place] = clients.start(url_through(proxies[place], tmp_path.name))

        verdict = clients.survive(strike)
    assert not verdict.lost
    assert not verdict.told[Told.MISSED]
