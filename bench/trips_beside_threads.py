"""How long a trip of one thread takes beside threads that compute in Python: compiled, and in Python.

usage: python bench/trips_beside_threads.py [THREADS ..]        (by default beside 0, 1, 2 and 3)

The peer is a process of its own that answers each request at once. Both ways are measured in alternation, half a second
each, ten times; a figure is the median of these, with the least and the greatest.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from unittest.mock import patch

from rome.compiled import channels
from rome.store.location import Location
from rome.store.redis import channel
from rome.store.redis.link import RedisLink
from rome.store.redis.settings import read_settings

ROUNDS = 10
ROUND_S = 0.5
PEER = """
import socket, threading
def serve(taken):
    taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while taken.recv(4096):
        taken.sendall(b"+PONG\\r\\n")
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


@contextmanager
def peer() -> Iterator[int]:
    """A process that answers; its port."""
    with subprocess.Popen([sys.executable, "-c", PEER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def computing(threads: int) -> Iterator[None]:
    """So many threads that never wait for anything but the interpreter."""
    done = threading.Event()

    def compute() -> None:
        while not done.is_set():
            sum(number * number for number in range(1_000))

    started = [threading.Thread(target=compute) for _ in range(threads)]
    for thread in started:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in started:
            thread.join()


def mean_us(link: RedisLink) -> float:
    """Microseconds that a trip takes in the mean."""
    begin, trips = time.perf_counter(), 0
    while (passed := time.perf_counter() - begin) < ROUND_S:
        link.call([(b"PING",)])
        trips += 1
    return passed / trips * 1e6


def main() -> None:
    """Print a table."""
    compiled = channels.compiled_channel()
    if compiled is None:
        sys.exit(f"there is nothing to compare: {channels.described()}")
    print(f"{'beside':10}{'trip in Python, us':>32}{'compiled, us':>32}{'trips/s':>12}{'compiled':>12}")
    with peer() as port:
        settings = replace(read_settings(Location("redis", "bench")), port=port)
        links = []
        for make in (None, compiled):
            with patch.object(channel, "compiled_channel", return_value=make):
                links.append(RedisLink(settings))
        for threads in [int(given) for given in sys.argv[1:]] or [0, 1, 2, 3]:
            with computing(threads):
                rounds = [[mean_us(link) for link in links] for _ in range(ROUNDS)]
            ways = list(zip(*rounds, strict=True))
            shown = [f"{median(way):,.0f} ({min(way):,.0f} to {max(way):,.0f})" for way in ways]
            rates = [f"{1e6 / median(way):,.0f}" for way in ways]
            print(f"{threads:<10}{shown[0]:>32}{shown[1]:>32}{rates[0]:>12}{rates[1]:>12}", flush=True)
        for link in links:
            link.close()


if __name__ == "__main__":
    main()
