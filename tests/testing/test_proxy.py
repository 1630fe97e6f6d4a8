"""The proxy: what it delays, counts and cuts."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from rome.testing.proxy import Direction, Forwarding, Proxy


class _Echo(socketserver.BaseRequestHandler):
    """Sends every line back; `hello` first, as MySQL does."""

    server: _Server

    def handle(self) -> None:
        self.request.sendall(b"hello\n")
        with self.request.makefile("rb") as lines:
            for line in lines:
                self.server.seen.append(line)
                self.request.sendall(line)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Echo)
        self.seen: list[bytes] = []


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(server: _Server) -> Iterator[Proxy]:
    with Proxy(*server.server_address) as proxy:
        yield proxy


class _Client:
    """Takes the server's greeting, then asks and reads lines."""

    def __init__(self, proxy: Proxy) -> None:
        self.socket = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
        self.lines = self.socket.makefile("rb")
        assert self.lines.readline() == b"hello\n"

    def ask(self, *lines: bytes) -> list[bytes]:
        self.socket.sendall(b"".join(lines))
        return [self.lines.readline() for _ in lines]

    def close(self) -> None:
        self.lines.close()
        self.socket.close()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[_Client]:
    client = _Client(proxy)
    yield client
    client.close()


def test_requests_that_go_out_together_are_one_round_trip(proxy: Proxy, client: _Client) -> None:
    assert proxy.round_trips == 0, "the greeting is no request"
    assert client.ask(b"a\n") == [b"a\n"]
    assert client.ask(b"b\n", b"c\n", b"d\n") == [b"b\n", b"c\n", b"d\n"]
    assert proxy.round_trips == 2


def test_round_trips_of_all_connections_are_added_up(proxy: Proxy, client: _Client) -> None:
    other = _Client(proxy)
    other.ask(b"a\n")
    client.ask(b"a\n")
    other.close()
    assert proxy.round_trips == 2


@pytest.mark.parametrize("delay_s", [0.01, 0.04])
def test_delay_is_added_to_every_round_trip(proxy: Proxy, client: _Client, delay_s: float) -> None:
    proxy.delay_s = delay_s
    started = time.perf_counter()
    for _ in range(5):
        client.ask(b"a\n")
    assert time.perf_counter() - started >= 5 * delay_s


def test_bytes_keep_their_order_and_many_can_be_under_way(server: _Server, proxy: Proxy, client: _Client) -> None:
    proxy.delay_s = 0.5
    sent = [b"%d\n" % number for number in range(50)]
    for line in sent:
        client.socket.sendall(line)
    answers = [client.lines.readline()]
    assert server.seen == sent, "they were on their way while the first one was"
    answers += [client.lines.readline() for _ in sent[1:]]
    assert answers == sent


def test_large_messages_pass_both_ways_at_once(proxy: Proxy, client: _Client) -> None:
    line = b"x" * 4_000_000 + b"\n"
    writer = threading.Thread(target=client.socket.sendall, args=(line * 3,))
    writer.start()
    assert [client.lines.readline() for _ in range(3)] == [line] * 3
    writer.join()


def test_end_of_one_direction_leaves_the_other_open(proxy: Proxy, client: _Client) -> None:
    client.socket.sendall(b"last\n")
    client.socket.shutdown(socket.SHUT_WR)
    assert client.lines.read() == b"last\n"


def _cut_connection_says(client: _Client, line: bytes) -> bytes:
    """What the client reads after sending a line: nothing, when the connection ends without an answer."""
    try:
        client.socket.sendall(line)
        return client.lines.readline()
    except ConnectionError:
        return b""


@pytest.mark.parametrize(
    ("direction", "verdict", "server_saw_it", "answer"),
    [
        (Direction.REQUEST, Forwarding.CUT, False, b""),
        (Direction.REQUEST, Forwarding.PASS_AND_CUT, True, b""),
        (Direction.ANSWER, Forwarding.CUT, True, b""),
        (Direction.ANSWER, Forwarding.PASS_AND_CUT, True, b"write\n"),
    ],
)
def test_connection_is_cut_where_the_judge_says(
    server: _Server,
    proxy: Proxy,
    client: _Client,
    direction: Direction,
    verdict: Forwarding,
    server_saw_it: bool,
    answer: bytes,
) -> None:
    client.ask(b"before\n")
    proxy.judge = lambda way, data: verdict if way is direction and data == b"write\n" else Forwarding.PASS
    assert _cut_connection_says(client, b"write\n") == answer
    assert _cut_connection_says(client, b"after\n") == b""
    _wait_until(lambda: (b"write\n" in server.seen) == server_saw_it)
    assert b"after\n" not in server.seen
    again = _Client(proxy)
    assert again.ask(b"again\n") == [b"again\n"]
    again.close()


def _wait_until(condition: object) -> None:
    deadline = time.monotonic() + 10
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_held_connection_stays_open_and_silent(server: _Server, proxy: Proxy, client: _Client) -> None:
    proxy.judge = lambda way, data: Forwarding.HOLD
    client.socket.settimeout(0.1)
    with pytest.raises(TimeoutError):
        client.ask(b"a\n")
    assert server.seen == []


def test_cut_ends_every_connection_and_new_ones_are_served(proxy: Proxy, client: _Client) -> None:
    assert proxy.cut() == 1
    assert _cut_connection_says(client, b"a\n") == b""
    again = _Client(proxy)
    assert again.ask(b"a\n") == [b"a\n"]
    again.close()


def test_client_of_a_server_that_is_down_is_turned_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with Proxy("127.0.0.1", port) as proxy, socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
        assert client.recv(1) == b""


def test_closed_proxy_takes_no_clients(server: _Server) -> None:
    proxy = Proxy(*server.server_address)
    proxy.close()
    proxy.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
