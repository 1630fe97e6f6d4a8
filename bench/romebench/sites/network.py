"""Sites on one machine: network namespaces, with a program between them that delays, drops and counts packets.

Each site is a network namespace of its own. What one site sends to another passes through a TUN device to `Router`, a
Python program, which hands it on half a round trip later, or drops it while one of the two is cut off. So servers and
clients use real addresses, and their own TCP: handshakes, slow start and retransmissions cost what they cost between
sites. (Linux has netem for this; not every kernel does.) Inside a site nothing is delayed.

Addresses are those reserved for benchmarks (RFC 2544). Site 0 is the operator's; it is at no distance from the others.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import struct
import subprocess
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from romebench.worker import Worker

OPERATOR = 0
_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_MTU_BYTES = 1500
_BURST = 64
"""Packets that are read from one site before it is another one's turn."""
_FIN, _SYN, _ACK = 0x01, 0x02, 0x10


class MissingRights(Exception):
    """This machine does not let us make network namespaces; the message says what is needed."""


@dataclass(frozen=True, slots=True)
class Site:
    """One site.

    Attributes:
        number: from 1; 0 is the operator.
        namespace: the name of its network namespace.
    """

    number: int
    namespace: str

    @property
    def host(self) -> str:
        """Its address."""
        return f"198.18.{self.number}.1"

    @property
    def prefix(self) -> list[str]:
        """The beginning of a command line that runs the rest of it at this site."""
        return ["nsenter", f"--net=/run/netns/{self.namespace}", "--"]

    def enter(self) -> None:
        """Move this thread to the site; the threads and processes that it starts from now on are there, too."""
        _enter(Path("/run/netns") / self.namespace)


def _enter(namespace: Path) -> None:
    file = os.open(namespace, os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)  # os.setns came with Python 3.12
        if libc.setns(file, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns({namespace})")
    finally:
        os.close(file)


class Passage(NamedTuple):
    """A packet with data that went from one site to another. Times are of time.perf_counter, the same for all sites."""

    sent_s: float
    arrived_s: float
    source: int
    target: int
    source_port: int
    target_port: int
    size: int


class _Packet(NamedTuple):
    due: float
    data: bytes


class Router:
    """Moves packets between the sites. It lives in a worker, so that it does not compete with what it delays."""

    def __init__(self, namespaces: Sequence[str]) -> None:
        """Open each namespace's device; the first namespace is the operator's."""
        self._devices: list[int] = []
        for number, namespace in enumerate(namespaces):
            _enter(Path("/run/netns") / namespace)
            self._devices.append(_open_device(number))
        self._delay_s = 0.0
        self._cut: frozenset[int] = frozenset()
        self._lanes: dict[tuple[int, int], deque[_Packet]] = {}
        self._requesting: dict[tuple[bytes, bytes], bool] = {}
        """{(client's address and port, server's): whether the client was the last of the two to send}"""
        self._round_trips: Counter[tuple[int, int]] = Counter()
        self._tracing = False
        self._passages: list[Passage] = []
        threading.Thread(target=self._forward, name="router", daemon=True).start()

    def set_round_trip(self, seconds: float) -> None:
        """Set what a round trip between two sites takes. Packets that are under way keep their time."""
        self._delay_s = seconds / 2

    def cut_off(self, sites: Sequence[int]) -> None:
        """Drop what these sites send or would get, and nothing else. No site: all is well again."""
        self._cut = frozenset(sites)

    def round_trips(self, site: int, port: int) -> int:
        """How many requests to this server from other sites were answered so far: turns on all its connections."""
        return self._round_trips[site, port]

    def trace(self) -> None:
        """Note each packet with data from now on, and forget those before."""
        self._passages = []
        self._tracing = True

    def traced(self) -> list[Passage]:
        """What was noted since `trace`; noting ends."""
        self._tracing = False
        return self._passages

    def _forward(self) -> None:
        numbers = {device: number for number, device in enumerate(self._devices)}
        while True:
            now = time.perf_counter()
            due = min((lane[0].due for lane in self._lanes.values() if lane), default=None)
            readable, _, _ = select.select(self._devices, [], [], None if due is None else max(0.0, due - now))
            for device in readable:
                with suppress(BlockingIOError):
                    for _ in range(_BURST):
                        self._take(numbers[device], os.read(device, 65536))
            self._deliver(time.perf_counter())

    def _take(self, source: int, data: bytes) -> None:
        if data[0] >> 4 != 4 or len(data) < 20:
            return
        target = data[18]  # the third byte of its address, 198.18.x.1
        if data[16:18] != b"\xc6\x12" or target >= len(self._devices) or target == source:
            return
        if self._cut and (source in self._cut) != (target in self._cut):
            return
        now = time.perf_counter()
        lane = self._lanes.setdefault((source, target), deque())
        due = now if OPERATOR in (source, target) else now + self._delay_s
        if lane:
            due = max(due, lane[-1].due)
        lane.append(_Packet(due, data))
        if data[9] == 6:  # TCP
            self._look(source, target, data, now, due)

    def _look(self, source: int, target: int, data: bytes, now: float, due: float) -> None:
        header = (data[0] & 15) * 4
        ports, flags = data[header : header + 4], data[header + 13]
        size = int.from_bytes(data[2:4], "big") - header - (data[header + 12] >> 4) * 4
        here, there = data[12:16] + ports[:2], data[16:20] + ports[2:]
        if flags & (_SYN | _ACK) == _SYN:
            self._requesting[here, there] = False
        if size <= 0:
            return
        source_port, target_port = int.from_bytes(ports[:2], "big"), int.from_bytes(ports[2:], "big")
        if (here, there) in self._requesting:
            self._requesting[here, there] = True
        elif self._requesting.get((there, here)):
            self._requesting[there, here] = False
            self._round_trips[source, source_port] += 1
        if self._tracing:
            self._passages.append(Passage(now, due, source, target, source_port, target_port, size))

    def _deliver(self, now: float) -> None:
        for (source, target), lane in self._lanes.items():
            while lane and lane[0].due <= now:
                packet = lane.popleft()
                if self._cut and (source in self._cut) != (target in self._cut):
                    continue
                with suppress(OSError):  # the device's queue is full: a packet is lost, as elsewhere
                    os.write(self._devices[target], packet.data)


def _open_device(number: int) -> int:
    """A TUN device in the present namespace, with the site's address; every other site is reached through it."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22s", b"sites", _IFF_TUN | _IFF_NO_PI, b""))
    for command in (
        "link set lo up",
        f"addr add 198.18.{number}.1/16 dev sites",
        f"link set sites mtu {_MTU_BYTES} txqueuelen 10000 up",
    ):
        subprocess.run(["ip", *command.split()], check=True, capture_output=True)
    return device


class Network:
    """The sites and what is between them. A context manager: inside it, this thread is at the operator's site.

    Attributes:
        sites, operator: without and with delay.
        delay_s: what a packet takes from one site to another.
    """

    def __init__(self, sites: int) -> None:
        """Make so many sites, besides the operator's.

        Raises:
            MissingRights: this takes root, /dev/net/tun, and the programs `ip` and `nsenter`.
        """
        everywhere = [Site(number, f"romesites{os.getpid()}n{number}") for number in range(sites + 1)]
        self.operator, *self.sites = everywhere
        self.delay_s = 0.0
        self._clean_up = ExitStack()
        try:
            for site in everywhere:
                subprocess.run(["ip", "netns", "add", site.namespace], check=True, capture_output=True)
                self._clean_up.callback(subprocess.run, ["ip", "netns", "del", site.namespace], check=False)
            self._router = Worker(Router, [site.namespace for site in everywhere])
        except (OSError, subprocess.CalledProcessError) as error:
            self._clean_up.close()
            raise MissingRights(
                "sites need network namespaces: run as root, with /dev/net/tun, and the programs ip (iproute2) and "
                f"nsenter (util-linux): {getattr(error, 'stderr', None) or error}"
            ) from error
        self._clean_up.callback(self._router.close)

    def __enter__(self) -> Self:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._clean_up.callback(os.close, home)
        self._clean_up.callback(_enter, Path(f"/proc/self/fd/{home}"))
        self.operator.enter()
        return self

    def __exit__(self, *_: object) -> None:
        self._clean_up.close()

    def set_round_trip(self, seconds: float) -> None:
        """Set what a round trip between any two sites takes."""
        self._router.call("set_round_trip", seconds)
        self.delay_s = seconds / 2

    def cut_off(self, *sites: Site) -> None:
        """Drop everything between these sites and the others (the operator, too); no site: heal."""
        self._router.call("cut_off", [site.number for site in sites])

    def round_trips(self, site: Site, port: int) -> int:
        """How many requests from other sites a server at this site has answered so far."""
        count: int = self._router.call("round_trips", site.number, port)
        return count

    def trace(self) -> None:
        """Note each packet with data from now on."""
        self._router.call("trace")

    def traced(self) -> list[Passage]:
        """The packets that were noted since `trace`."""
        return [Passage(*passage) for passage in self._router.call("traced")]


def one_way_trips(passages: Sequence[Passage], site: int, begun_s: float, ended_s: float) -> int:
    """How many times in a row something had to cross between sites, before what a client at `site` did was done.

    Goes back from the end: what arrived last at the place is what it waited for, and that left its own source after
    what had arrived there last; until it comes to what `site` itself sent first. Two one-way trips are a round trip.
    Other traffic, such as heartbeats, can only replace one of the trips by another that took as long, so the number is
    at most what the time allows: measure while nothing else is going on.
    """
    arrivals = sorted(passages, key=lambda passage: passage.arrived_s)
    place, moment, count = site, ended_s, 0
    for passage in reversed(arrivals):
        if passage.target == place and passage.arrived_s <= moment and passage.sent_s >= begun_s:
            place, moment = passage.source, passage.sent_s
            count += 1
    return count
