"""TLS: whom a connection trusts, and how long it waits for the handshake."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from rome.errors import StoreUnavailableError
from rome.store.location import Location
from rome.store.redis import RedisStore
from rome.store.spi import Get
from rome.testing.harness import put
from tests.store.redis.kit import Listener, Open, with_options

CERTIFICATES = Path(__file__).parent / "certificates"
AUTHORITY = {"ssl_ca_certs": str(CERTIFICATES / "ca.pem")}
IMPOSTOR = {"ssl_ca_certs": str(CERTIFICATES / "other-ca.pem")}
"""An authority of the same name, with another key."""
OURSELVES = {name: str(CERTIFICATES / "client.pem") for name in ("ssl_certfile", "ssl_keyfile")}


class Front(Listener):
    """A TLS front of a server, since the server of a wheel may be built without; its certificate is for 127.0.0.1.

    Args:
        wants_certificate: of its clients.
    """

    def __init__(self, location: Location, *, wants_certificate: bool = False) -> None:
        self._address = location.host, location.port
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=CERTIFICATES / "ca.pem")
        self._context.verify_mode = ssl.CERT_REQUIRED if wants_certificate else ssl.CERT_NONE
        self._context.load_cert_chain(CERTIFICATES / "server.pem")
        self.silent = False
        """Swallow what it is sent."""
        super().__init__()

    def serve(self, taken: socket.socket) -> None:
        with (
            suppress(OSError),
            self._context.wrap_socket(taken, server_side=True) as secure,
            socket.create_connection(self._address) as plain,
        ):
            while True:
                for ready in [secure] if secure.pending() else select.select([secure, plain], [], [])[0]:
                    data = ready.recv(65_536)
                    if not data:
                        return
                    if not self.silent:
                        (plain if ready is secure else secure).sendall(data)


@pytest.fixture
def front(location: Location) -> Iterator[Front]:
    """Wants to be closed after its clients: name it before `connect`."""
    with Front(location) as front:
        yield front


def at(location: Location, front: Front, **options: str) -> Location:
    return with_options(replace(location, port=front.port), ssl="true", **options)


def test_both_sides_show_certificates(connect: Open, location: Location) -> None:
    with Front(location, wants_certificate=True) as front:
        client = connect(at(location, front, **AUTHORITY, **OURSELVES))
        client.write(put(b"a"))
        client.begin()
        assert client.keys() == [b"a"]
        assert client.store.is_usable()
        client.store.close()
        with pytest.raises(StoreUnavailableError):
            RedisStore.open(at(location, front, **AUTHORITY))


@pytest.mark.parametrize("options", [{}, IMPOSTOR, {**IMPOSTOR, "ssl_check_hostname": "false"}])
def test_wrong_authority_is_refused(location: Location, front: Front, options: dict[str, str]) -> None:
    """Without `ssl_ca_certs` the system's are asked, which do not know ours."""
    with pytest.raises(StoreUnavailableError, match="certificate verify failed"):
        RedisStore.open(at(location, front, **options))


def test_wrong_host_name_is_refused(front: Front, connect: Open, location: Location) -> None:
    elsewhere = replace(at(location, front, **AUTHORITY), host="localhost")
    with pytest.raises(StoreUnavailableError, match="certificate is not valid for 'localhost'"):
        RedisStore.open(elsewhere)
    connect(with_options(elsewhere, ssl_check_hostname="false")).write(put(b"a"))


@pytest.mark.parametrize("options", [{}, IMPOSTOR])
def test_without_verification_anybody_will_do(
    front: Front, connect: Open, location: Location, options: dict[str, str]
) -> None:
    elsewhere = replace(at(location, front, ssl_cert_reqs="none", **options), host="localhost")
    connect(elsewhere).write(put(b"a"))
    client = connect()
    client.begin()
    assert client.keys() == [b"a"]


@pytest.mark.timeout(60, method="thread")
def test_handshake_is_part_of_connecting(location: Location) -> None:
    """Somebody takes the connection and never says a word: it is given up long before the hour of `read_timeout`."""
    with Listener() as mute, pytest.raises(StoreUnavailableError, match=f"127.0.0.1:{mute.port}"):
        RedisStore.open(
            with_options(
                Location("redis", location.database, host="127.0.0.1", port=mute.port),
                ssl="true",
                connect_timeout="0.2",
                read_timeout="3600",
            )
        )


@pytest.mark.timeout(60, method="thread")
def test_after_the_handshake_reads_have_their_own_timeout(front: Front, connect: Open, location: Location) -> None:
    client = connect(at(location, front, **AUTHORITY, connect_timeout="3600", read_timeout="0.2"))
    front.silent = True
    with pytest.raises(StoreUnavailableError, match="imeout"):
        client.store.read(None, [Get(1, (b"a",))])


@pytest.mark.timeout(60, method="thread")
def test_tls_to_a_plain_port_is_guessed(location: Location) -> None:
    plain = with_options(location, ssl="true", connect_timeout="0.2", **AUTHORITY)
    with pytest.raises(StoreUnavailableError, match="if this is a port without TLS, leave out ssl=true"):
        RedisStore.open(plain)


def test_no_tls_to_a_tls_port_is_guessed(location: Location, front: Front) -> None:
    with pytest.raises(StoreUnavailableError, match="if this is a TLS port, write ssl=true in the URL"):
        RedisStore.open(replace(location, port=front.port))


def test_a_refused_connection_is_not_about_tls(location: Location) -> None:
    with Listener() as gone:
        pass
    for options in ({}, {"ssl": "true"}):
        with pytest.raises(StoreUnavailableError, match="refused") as caught:
            RedisStore.open(with_options(replace(location, port=gone.port), **options))
        assert "ssl" not in str(caught.value)


def test_an_unknown_authority_is_about_certificates(location: Location, front: Front) -> None:
    with pytest.raises(StoreUnavailableError, match="ssl_ca_certs=FILE names the authority") as caught:
        RedisStore.open(at(location, front, **IMPOSTOR))
    assert "leave out ssl" not in str(caught.value)
