"""What befalls a connection, or the client itself, amid a commit: it is applied once, or never, and known."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from rome.store.redis import scripts
from rome.testing.proxy import Direction, Forwarding, Proxy
from tests.faults.clients import Clients, comes
from tests.faults.ledger import Told
from tests.support.servers import Server

CLIENTS = 3

pytestmark = [pytest.mark.timeout(1800), pytest.mark.redis]

STEPS = {
    "before the request": (Direction.REQUEST, Forwarding.CUT),
    "after the request": (Direction.REQUEST, Forwarding.PASS_AND_CUT),
    "before the answer": (Direction.ANSWER, Forwarding.CUT),
    "after the answer": (Direction.ANSWER, Forwarding.PASS_AND_CUT),
    "half-open, request swallowed": (Direction.REQUEST, Forwarding.HOLD),
    "half-open, answer swallowed": (Direction.ANSWER, Forwarding.HOLD),
}


class Ambush:
    """Waits at a proxy for a commit, and strikes once, at one step of it."""

    def __init__(self, direction: Direction, verdict: Forwarding) -> None:
        self._direction = direction
        self._verdict = verdict
        self._seen = False
        self.struck = threading.Event()

    def __call__(self, direction: Direction, data: bytes) -> Forwarding:
        if self.struck.is_set():
            return Forwarding.PASS
        if direction is Direction.REQUEST and scripts.COMMIT.digest.encode() in data:
            self._seen = True
        if not self._seen or direction is not self._direction:
            return Forwarding.PASS
        self.strike()
        self.struck.set()
        return self._verdict

    def strike(self) -> None:
        """What happens at that moment, beside what becomes of the bytes."""

    def wait(self) -> None:
        assert comes(self.struck.is_set), "there was no commit to strike at"


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
            ambush = Ambush(*STEPS[step])
            proxies[number % CLIENTS].judge = ambush
            ambush.wait()

        verdict = clients.survive(strike)
    assert not verdict.lost
    assert not verdict.told[Told.UNKNOWN]
    assert not verdict.told[Told.MISSED]


@pytest.mark.parametrize("step", [name for name, (_, verdict) in STEPS.items() if verdict is not Forwarding.HOLD])
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
            ambush = Kill(*STEPS[step])
            proxies[place].judge = ambush
            ambush.wait()
            clients_at[place] = clients.start(url_through(proxies[place], tmp_path.name))

        verdict = clients.survive(strike)
    assert not verdict.lost
    assert not verdict.told[Told.MISSED]
