"""A server under LC_ALL=en_US.UTF-8, where Lua's `<` is not the order of bytes: nothing may depend on it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from secrets import token_hex

import pytest
from redis_kit import admin_of

from rome.store.redis import RedisStore
from rome.store.spi import RangeCheck
from rome.testing.harness import Client, Connect, StoreUnderTest, delete, enter, put
from rome.testing.store_suite import TestRandomHistories, TestReadSet, TestScan, TestSnapshot
from servers import Flavour, Server

__all__ = ["TestRandomHistories", "TestReadSet", "TestScan", "TestSnapshot"]

LOCALE = "en_US.UTF-8"


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("redis", "valkey")]
)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Compiles the locale by itself, without root, from the sources of en_US: Debian's package `locales`."""
    flavour: Flavour = request.param
    locales = tmp_path_factory.mktemp("locales")
    subprocess.run(["localedef", "--no-archive", "-i", "en_US", "-f", "UTF-8", str(locales / LOCALE)], check=True)
    running = Server(flavour, tmp_path_factory.mktemp(flavour), {}, {"LC_ALL": LOCALE, "LOCPATH": str(locales)})
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture
def store_under_test(server: Server) -> StoreUnderTest:
    return StoreUnderTest(RedisStore, server.location, machine_runs=20)


@pytest.fixture
def connect(server: Server) -> Iterator[Connect]:
    location = server.location(f"locale-{token_hex(8)}")
    opened: list[Client] = []

    def open_client() -> Client:
        opened.append(Client(RedisStore.open(location)))
        return opened[-1]

    yield open_client
    for client in opened:
        client.store.close()


def test_the_locale_is_in_force(server: Server) -> None:
    """Else this module would test nothing."""
    with admin_of(server) as admin:
        assert "B" < "a"
        assert not admin.eval("return 'B' < 'a'", 0)


def test_order_is_that_of_bytes(connect: Connect) -> None:
    texts = [b"B", b"_", b"a", b"aB", b"a_c", b"ab", b"\xc3\x84", b"z", b"Z", b"1", b"-", b"e", b"\xc3\xa9"]
    keys = [text + b"\x00" for text in texts]
    reader, writer = connect(), connect()
    writer.write(*map(put, keys), *(enter(b"k" + key, key) for key in keys))
    seen = reader.begin().version
    writer.write(*(delete(key) for key in keys[::2]), *(put(b"n" + key) for key in keys), put(b"B0\x00"), put(b"A\x00"))
    for start in sorted(keys):
        wanted = sorted(key for key in keys if key >= start)
        assert reader.keys(0, start) == wanted
        assert reader.keys(0, start, reverse=True, limit=1) == wanted[::-1]
        assert reader.count(0, start) == len(wanted)
        assert reader.keys(1, b"k" + start) == wanted
    reader.commit(read=[RangeCheck(1, 0, b"B1", b"Z", seen, rows=True)])
