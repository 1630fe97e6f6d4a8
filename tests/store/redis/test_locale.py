"""A server under LC_ALL=en_US.UTF-8, where Lua's `<` is not the order of bytes: nothing may depend on it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from string import ascii_lowercase

import pytest

from rome.store.redis import RedisStore
from rome.testing.harness import Connect, RangeCheck, SnapshotClient, StoreUnderTest, delete, enter, put
from rome.testing.store_suite import TestRandomHistories, TestReadSet, TestScan, TestSnapshot
from tests.store.redis.kit import admin_of
from tests.support.servers import Flavour, Server

__all__ = ["TestRandomHistories", "TestReadSet", "TestScan", "TestSnapshot"]

LOCALE = "en_US.UTF-8"

_EN_US = Path("/usr/share/i18n/locales/en_US")
"""The source of the locale, from Debian's package `locales`."""


def compile_locale(directory: Path) -> None:
    """Make the locale in `directory`; where its source is not installed, one of its name that sorts aAbB.., too."""
    target = directory / LOCALE
    if _EN_US.exists():
        source = ["-i", "en_US", "-f", "UTF-8"]
    else:
        (directory / "charmap").write_text(
            "<code_set_name> UTF-8\n<escape_char> /\n<mb_cur_max> 1\nCHARMAP\n"
            + "".join(f"<U{byte:04X}> /x{byte:02x} byte\n" for byte in range(256))
            + "END CHARMAP\n"
        )
        letters = [f"<U{ord(letter):04X}>\n" for lower in ascii_lowercase for letter in (lower, lower.upper())]
        (directory / "source").write_text(
            "LC_CTYPE\nEND LC_CTYPE\nLC_COLLATE\norder_start forward\n"
            + "".join(letters)
            + "UNDEFINED\norder_end\nEND LC_COLLATE\n"
        )
        source = ["-c", "-i", str(directory / "source"), "-f", str(directory / "charmap")]
    # It ends with 1 after mere warnings; test_the_locale_is_in_force looks at what counts.
    subprocess.run(["localedef", "--quiet", "--no-archive", *source, str(target)], check=False)


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("redis", "valkey")]
)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Compiles the locale by itself, without root."""
    flavour: Flavour = request.param
    locales = tmp_path_factory.mktemp("locales")
    compile_locale(locales)
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
    opened: list[SnapshotClient] = []

    def open_client() -> SnapshotClient:
        opened.append(SnapshotClient(RedisStore.open(location)))
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
