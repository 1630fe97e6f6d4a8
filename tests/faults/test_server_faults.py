"""What befalls a server while clients write: no acknowledged commit is lost, none is torn, none applied twice."""

from __future__ import annotations

import resource
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import kill
from pathlib import Path

import pytest
import redis

from tests.faults.clients import Clients
from tests.faults.ledger import Told
from tests.support.servers import Flavour, Server, StartServer

ALWAYS = {"appendonly": "yes", "appendfsync": "always"}
EVERYSEC = {"appendonly": "yes", "appendfsync": "everysec"}
CLIENTS = 3

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("redis", "valkey")])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    flavour: Flavour = request.param
    return flavour


@contextmanager
def writing(server: Server, folder: Path, read_timeout_s: float = 5) -> Iterator[Clients]:
    url = f"rome+redis://{server.host}:{server.port}/ledger?connect_timeout=2&read_timeout={read_timeout_s}"
    notes = folder / "notes"
    notes.mkdir()
    with Clients(url, notes, [url] * CLIENTS) as clients:
        yield clients


@pytest.mark.parametrize("options", [ALWAYS, EVERYSEC], ids=["always", "everysec"])
def test_killed_and_restarted(
    flavour: Flavour, start_server: StartServer, tmp_path: Path, options: Mapping[str, str]
) -> None:
    server = start_server(flavour, options)

    def strike(number: int) -> None:
        server.kill()
        time.sleep(0.02 * (number % 3))
        server.start()

    with writing(server, tmp_path) as clients:
        verdict = clients.survive(strike)
    if options is ALWAYS:  # everysec may have answered what it had not written yet
        assert not verdict.lost
        assert not verdict.told[Told.MISSED]


def test_paused_for_longer_than_clients_wait(flavour: Flavour, start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(flavour, ALWAYS)

    def strike(number: int) -> None:
        kill(server.pid, signal.SIGSTOP)
        time.sleep((0.05, 0.5)[number % 2])
        kill(server.pid, signal.SIGCONT)

    with writing(server, tmp_path, read_timeout_s=0.2) as clients:
        verdict = clients.survive(strike)
    assert not verdict.lost
    assert not verdict.told[Told.MISSED]


@pytest.mark.parametrize("options", [ALWAYS, EVERYSEC], ids=["always", "everysec"])
def test_disk_full(flavour: Flavour, start_server: StartServer, tmp_path: Path, options: Mapping[str, str]) -> None:
    """With `always` the server ends itself; with `everysec` it refuses writes until there is room."""
    server = start_server(flavour, options)

    def strike(number: int) -> None:
        sizes = [path.stat().st_size for path in (server.directory / "appendonlydir").iterdir()]
        unlimited = resource.RLIM_INFINITY
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (max(sizes) + 1000 + number, unlimited))
        time.sleep(0.3)
        if options is ALWAYS:
            server.kill()
            server.start()
        else:
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))

    with writing(server, tmp_path) as clients:
        verdict = clients.survive(strike)
    assert not verdict.lost
    assert not verdict.told[Told.MISSED]
    assert verdict.told[Told.NOT_COMMITTED]


def test_out_of_memory(flavour: Flavour, start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(flavour, ALWAYS)

    def strike(number: int) -> None:
        admin.config_set("maxmemory", admin.info("memory")["used_memory"] + number * 100)
        time.sleep(0.2)
        admin.config_set("maxmemory", 0)

    with redis.Redis(server.host, server.port) as admin, writing(server, tmp_path) as clients:
        verdict = clients.survive(strike)
    assert not verdict.lost
    assert not verdict.told[Told.MISSED]
    assert verdict.told[Told.NOT_COMMITTED]


def test_scripts_flushed(flavour: Flavour, start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(flavour, ALWAYS)
    with redis.Redis(server.host, server.port) as admin, writing(server, tmp_path) as clients:
        verdict = clients.survive(lambda number: admin.script_flush())
    assert not verdict.lost
    assert not verdict.told[Told.MISSED]


def test_restored_from_an_older_copy(flavour: Flavour, start_server: StartServer, tmp_path: Path) -> None:
    """What came after the copy is lost, and nothing else; no transaction mixes both histories."""
    server = start_server(flavour, ALWAYS)
    copy = tmp_path / "copy"
    sent_before: dict[int, int] = {}

    def strike(number: int) -> None:
        server.kill()
        shutil.copytree(server.directory / "appendonlydir", copy)
        server.start()
        clients.progress()
        server.kill()
        sent_before.update((client, clients.sent(client)) for client in clients.running)
        shutil.rmtree(server.directory / "appendonlydir")
        copy.rename(server.directory / "appendonlydir")
        server.start()

    with writing(server, tmp_path) as clients:
        verdict = clients.survive(strike)
    assert verdict.lost, "the copy had everything: nothing was tested"
    assert all(n <= sent_before[client] for client, n in verdict.lost)
