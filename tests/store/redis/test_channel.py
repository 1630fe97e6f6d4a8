"""What comes over a socket, and what does not: the same whether trips are made in C or in Python."""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType

import pytest

from rome.compiled import channels
from rome.errors import StoreUnavailableError
from rome.store.location import Location
from rome.store.redis import channel as channel_module
from rome.store.redis.channel import SocketChannel
from rome.store.redis.link import RedisLink
from rome.store.redis.settings import read_settings
from rome.store.redis.wire import pack
from tests.store.redis.kit import Listener, with_options

PING = (b"PING",)
PACKED = b"*1\r\n$4\r\nPING\r\n"


class Peer(Listener):
    """A server that does with each connection what the test says."""

    def __init__(self, act: Callable[[socket.socket], None]) -> None:
        self._act = act
        self.links: list[RedisLink] = []
        super().__init__()

    def __exit__(self, *exception: object) -> None:
        """Closes the links to it, for which it would wait."""
        for link in self.links:
            link.close()
        super().__exit__(*exception)

    def serve(self, taken: socket.socket) -> None:
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._act(taken)


def _end(taken: socket.socket) -> None:
    """Wait for the other side to close."""
    with suppress(OSError):
        while taken.recv(65_536):
            pass


def _reset(taken: socket.socket) -> None:
    """Have the other side's next call fail."""
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.fixture(params=["compiled", "Python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who makes the trips."""
    if request.param == "Python":
        monkeypatch.setattr(channel_module, "compiled_channel", lambda: None)
    elif channels.compiled_channel() is None:
        pytest.skip(channels.described())
    return str(request.param)


Connect = Callable[[Peer], RedisLink]


@pytest.fixture
def link_to(way: str) -> Connect:
    """Opens a link to a peer. A wait is too long after half a minute, but in a test that says otherwise."""

    def link_to(peer: Peer, read_timeout: str = "30") -> RedisLink:
        settings = read_settings(with_options(Location("redis", "nova"), read_timeout=read_timeout))
        peer.links.append(RedisLink(replace(settings, port=peer.port)))
        return peer.links[-1]

    return link_to


class Signals:
    """While inside, another thread sends this one signals, without end."""

    def __init__(self, handle: Callable[[], None]) -> None:
        self.handled = 0
        self.several = threading.Event()  # were handled
        self._handle = handle
        self._done = threading.Event()
        self._sender = threading.Thread(target=self._send, args=(threading.get_ident(),))

    def _send(self, receiver: int) -> None:
        while not self._done.wait(0.001):
            signal.pthread_kill(receiver, signal.SIGUSR1)

    def _handled(self, _number: int, _frame: FrameType | None) -> None:
        self.handled += 1
        if self.handled >= 5:
            self.several.set()
        self._handle()

    def __enter__(self) -> Signals:
        self._before = signal.signal(signal.SIGUSR1, self._handled)
        self._sender.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._sender.join()
        signal.signal(signal.SIGUSR1, self._before)


def test_sockets_of_python_get_the_compiled_channel_and_others_do_not(
    way: str, link_to: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Peer(_end) as peer:
        link = link_to(peer)
        assert isinstance(link._channel, SocketChannel) == (way == "Python")

        class Green(socket.socket):
            def recv(self, *arguments: int) -> bytes:
                return super().recv(*arguments)

        monkeypatch.setattr(socket, "socket", Green)
        assert isinstance(link_to(peer)._channel, SocketChannel)


def test_replies_that_come_byte_by_byte_are_the_same(link_to: Connect) -> None:
    def act(taken: socket.socket) -> None:
        taken.recv(65_536)
        for byte in b"*3\r\n$1\r\na\r\n:5\r\n*1\r\n$-1\r\n+OK\r\n":
            taken.sendall(bytes([byte]))
        _end(taken)

    with Peer(act) as peer:
        link = link_to(peer)
        assert link.call([PING, PING]) == [[b"a", 5, [None]], b"OK"]
        assert link.is_usable()


@pytest.mark.parametrize("size", [0, 1, 65_500, 65_536, 65_537, 30_000_000])
def test_requests_and_replies_of_any_size_are_whole(link_to: Connect, size: int) -> None:
    """The greatest is more than the buffers of the sockets hold."""
    text = random.Random(size).randbytes(size)
    length = len(pack((text,)))

    def act(taken: socket.socket) -> None:
        for _ in range(2):
            came = bytearray()
            while len(came) < length:
                came.extend(taken.recv(1 << 20))
            taken.sendall(came.removeprefix(b"*1\r\n"))
        _end(taken)

    with Peer(act) as peer:
        link = link_to(peer)
        for _ in range(2):
            assert link.call([(text,)]) == [text]
            assert link.has_sent
            assert link.is_usable()


def test_end_of_the_connection_before_a_reply(link_to: Connect) -> None:
    def act(taken: socket.socket) -> None:
        taken.recv(65_536)

    with Peer(act) as peer:
        link = link_to(peer)
        with pytest.raises(StoreUnavailableError, match=r"Connection closed by server"):
            link.call([PING])
        assert link.has_sent
        assert not link.is_usable()


def test_end_of_the_connection_amid_a_reply(link_to: Connect) -> None:
    def act(taken: socket.socket) -> None:
        taken.recv(65_536)
        taken.sendall(b"$5\r\nab")

    with Peer(act) as peer:
        link = link_to(peer)
        with pytest.raises(StoreUnavailableError, match=r"Connection closed by server"):
            link.call([PING])
        assert link.has_sent


def test_reset_while_waiting(link_to: Connect) -> None:
    def act(taken: socket.socket) -> None:
        taken.recv(65_536)
        _reset(taken)

    with Peer(act) as peer:
        link = link_to(peer)
        with pytest.raises(StoreUnavailableError, match=r"Error while reading from socket: .*reset by peer"):
            link.call([PING])
        assert link.has_sent


def test_reset_amid_a_request_that_is_large(link_to: Connect) -> None:
    """The last byte has not been sent, so the command was not done."""

    def act(taken: socket.socket) -> None:
        taken.recv(1)
        _reset(taken)

    with Peer(act) as peer:
        link = link_to(peer)
        with pytest.raises(StoreUnavailableError, match=r"Error while writing to socket"):
            link.call([(bytes(64 * 1024 * 1024),)])
        assert not link.has_sent


def test_what_is_refused_has_not_been_sent(link_to: Connect) -> None:
    def act(taken: socket.socket) -> None:
        taken.recv(65_536)
        taken.sendall(b"+OK\r\n")

    with Peer(act) as peer:
        link = link_to(peer)
        assert link.call([PING]) == [b"OK"]
        assert link.has_sent
        link.close()
        with pytest.raises(StoreUnavailableError, match="the connection is lost"):
            link.call([PING])
        assert not link.has_sent


def test_wait_that_is_too_long(way: str, link_to: Callable[[Peer, str], RedisLink]) -> None:
    with Peer(_end) as peer:
        link = link_to(peer, "0.1")
        with pytest.raises(StoreUnavailableError, match="Timeout reading from socket"):
            link.call([PING])
        assert link.has_sent
        assert not link.is_usable()


def test_wait_that_is_too_long_amid_a_reply(way: str, link_to: Callable[[Peer, str], RedisLink]) -> None:
    def act(taken: socket.socket) -> None:
        taken.recv(65_536)
        taken.sendall(b"$5\r\nab")
        _end(taken)

    with Peer(act) as peer:
        link = link_to(peer, "0.1")
        with pytest.raises(StoreUnavailableError, match="Timeout reading from socket"):
            link.call([PING])


@pytest.mark.parametrize("sent", [b"+OK\r\n", b""], ids=["a reply", "the end"])
def test_what_comes_unasked_makes_a_link_unusable(link_to: Connect, sent: bytes) -> None:
    go, gone = threading.Event(), threading.Event()

    def act(taken: socket.socket) -> None:
        go.wait()
        taken.sendall(sent)
        taken.shutdown(socket.SHUT_WR)
        gone.set()
        _end(taken)

    with Peer(act) as peer:
        link = link_to(peer)
        assert link.is_usable()
        assert link.is_usable()
        go.set()
        gone.wait()
        assert not link.is_usable()


def test_reset_makes_a_link_unusable(link_to: Connect) -> None:
    go = threading.Event()

    def act(taken: socket.socket) -> None:
        go.wait()
        _reset(taken)

    with Peer(act) as peer:
        link = link_to(peer)
        assert link.is_usable()
        go.set()
        while link.is_usable():
            pass


def test_signals_during_a_wait_are_handled_and_it_goes_on(link_to: Connect) -> None:
    signals = Signals(lambda: None)

    def act(taken: socket.socket) -> None:
        taken.recv(65_536)
        signals.several.wait()
        taken.sendall(b"+OK\r\n")
        _end(taken)

    with Peer(act) as peer:
        link = link_to(peer)
        with signals:
            assert link.call([PING]) == [b"OK"]
        assert signals.handled >= 5


def test_signals_while_a_request_is_sent_are_handled_and_it_goes_on(link_to: Connect) -> None:
    signals = Signals(lambda: None)
    text = os.urandom(1 << 16) * 512
    whole = b"*1\r\n$%d\r\n%b\r\n" % (len(text), text)
    came = bytearray()

    def act(taken: socket.socket) -> None:
        signals.several.wait()
        while len(came) < len(whole):
            came.extend(taken.recv(1 << 20))
        taken.sendall(b"+OK\r\n")
        _end(taken)

    with Peer(act) as peer:
        link = link_to(peer)
        with signals:
            assert link.call([(text,)]) == [b"OK"]
        assert came == whole


@pytest.mark.parametrize("is_sent", [True, False], ids=["during the wait", "amid the request"])
def test_exception_of_a_signal_ends_a_call(link_to: Connect, is_sent: bool) -> None:
    """What has been sent is known exactly."""
    done = threading.Event()
    request = PING if is_sent else (bytes(64 * 1024 * 1024),)
    waits = 0

    def act(taken: socket.socket) -> None:
        done.wait()

    def interrupt() -> None:
        nonlocal waits
        waits += link._owes and link.has_sent == is_sent
        if waits == 10:
            raise KeyboardInterrupt

    with Peer(act) as peer:
        link = link_to(peer)
        try:
            with Signals(interrupt), pytest.raises(KeyboardInterrupt):
                link.call([request])
            assert link.has_sent == is_sent
            assert not link.is_usable()
        finally:
            done.set()


def test_other_threads_run_during_a_wait(link_to: Connect) -> None:
    """The reply comes from a thread of this process, after another one has computed for a while."""
    computed = threading.Event()

    def act(taken: socket.socket) -> None:
        taken.recv(65_536)
        assert sum(range(100_000)) > 0
        computed.set()
        taken.sendall(b"+OK\r\n")
        _end(taken)

    with Peer(act) as peer:
        link = link_to(peer)
        assert link.call([PING]) == [b"OK"]
        assert computed.is_set()


def test_links_of_many_threads_do_not_mix_their_replies(link_to: Connect) -> None:
    def act(taken: socket.socket) -> None:
        while request := taken.recv(65_536):
            taken.sendall(request.removeprefix(b"*1\r\n"))

    def ask(name: int, link: RedisLink) -> None:
        for number in range(200):
            text = b"%d.%d" % (name, number)
            if link.call([(text,)]) != [text]:
                wrong.append(text)
        link.close()

    wrong: list[bytes] = []
    with Peer(act) as peer:
        threads = [threading.Thread(target=ask, args=(name, link_to(peer))) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


class TestCompiled:
    @pytest.fixture
    def make(self) -> channels.MakeChannel:
        make = channels.compiled_channel()
        if make is None:
            pytest.skip(channels.described())
        return make

    def test_takes_nothing_but_bytes(self, make: channels.MakeChannel) -> None:
        ours, theirs = socket.socketpair()
        with closing(ours), closing(theirs):
            channel = make(ours.fileno())
            for wrong in ("text", bytearray(b"x"), None):
                with pytest.raises(TypeError):
                    channel.exchange(wrong)  # type: ignore[arg-type]
                assert not channel.has_sent
            with pytest.raises(TypeError):
                make("x")  # type: ignore[arg-type]

    def test_socket_that_is_being_closed_is_not_used_again(self, make: channels.MakeChannel) -> None:
        """Its number may be another file's by then."""
        ours, theirs = socket.socketpair()
        with closing(ours), closing(theirs):
            channel = make(ours.fileno())
            channel.forget()
            with pytest.raises(OSError, match="Bad file descriptor"):
                channel.exchange(PACKED)
            assert not channel.has_sent
            assert not channel.is_quiet()
            theirs.setblocking(False)
            with pytest.raises(BlockingIOError):
                theirs.recv(1)

    def test_of_another_number_is_not_loaded(self, make: channels.MakeChannel, tmp_path: Path) -> None:
        """So a checkout whose sources are newer than its library runs the Python until it is installed again."""
        library = channels.LIBRARY.read_bytes()
        assert library.count(b"Channel_1") == 1
        (tmp_path / channels.LIBRARY.name).write_bytes(library.replace(b"Channel_1", b"Channel_0"))
        command = [sys.executable, "-m", "rome", "--version"]
        environment = {**os.environ, "ROME_COMPILED": str(tmp_path / "rome_rows.so")}
        out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        assert out.endswith("cannot be loaded: if it is an older one, install Rome again\n")
