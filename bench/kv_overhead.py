"""What rome.kv costs beside the store itself: one key, a range of ten, and a commit, in alternation, in one run.

    python bench/kv_overhead.py rome+redis://127.0.0.1:6379/kv_overhead [--rounds 20] [--operations 100]
    python bench/kv_overhead.py rome+lmdb:////tmp/kv_overhead.rome

Beside Redis stand redis-py's GET, a ZRANGE BYLEX with an HMGET of ten, and a pipeline of MULTI, SET, EXEC; beside
LMDB py-lmdb's get, ten steps of a cursor, and a write transaction with one put. These keep no versions, validate
nothing, and tell nobody; the difference is what snapshots, conflicts and watches cost. For each operation it prints the
medians of the rounds in microseconds, by the clock and of this process's CPU, and of the ratios within a round. On a
busy machine, and where nothing waits, only the CPU means something.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from typing import Any, NamedTuple

import lmdb
import msgspec
import redis

import rome
import rome.kv
from rome.dbapi.url import make_url, parse_url
from rome.kv import KvDatabase

KEYS = 1_000
VALUE = "x" * 100
Operation = Callable[[int], object]


class Item(msgspec.Struct):
    """An object as large as the plain value."""

    id: int
    group: int
    text: str


def kv_operations(db: KvDatabase) -> dict[str, Operation]:
    """Fill a database; what is measured, by name."""
    items = db.collection("items", Item, key="id", indexes=["group"])
    with db.transaction() as tr:
        for number in range(KEYS):
            tr.put(("k", number), VALUE)
            items.put(tr, Item(number, number // 10, VALUE))

    def get(number: int) -> object:
        with db.transaction() as tr:
            return tr.get(("k", number))

    def ten(number: int) -> object:
        with db.transaction() as tr:
            return tr.range(start=("k", number), limit=10)

    def commit(number: int) -> None:
        with db.transaction() as tr:
            tr.put(("k", number), VALUE)

    def change(number: int) -> None:
        with db.transaction() as tr:
            tr.put(("k", number), tr.get(("k", number)))

    def find(number: int) -> object:
        with db.transaction() as tr:
            return items.find(tr, group=number // 10)

    def patch(number: int) -> None:
        with db.transaction() as tr:
            items.patch(tr, number, group=number // 10 + 1)

    return {
        "get": get,
        "range of 10": ten,
        "commit of one put": commit,
        "get, put, commit": change,
        "find 10 by index": find,
        "patch with an index, commit": patch,
    }


def redis_operations(url: str) -> dict[str, Operation]:
    """The same with redis-py, without Rome."""
    location = parse_url(make_url(url)).location
    client: Any = redis.Redis(location.host or "127.0.0.1", location.port or 6379)
    client.delete("raw", "raw:order")
    names = [b"%06d" % number for number in range(KEYS)]
    client.hset("raw", mapping=dict.fromkeys(names, VALUE))
    client.zadd("raw:order", dict.fromkeys(names, 0))
    for name in names:
        client.set(b"raw:" + name, VALUE, ex=3600)

    def ten(number: int) -> object:
        found = client.zrange("raw:order", b"[" + names[number], b"+", bylex=True, offset=0, num=10)
        return client.hmget("raw", found)

    def commit(number: int) -> object:
        return client.pipeline(transaction=True).set(b"raw:" + names[number], VALUE).execute()

    return {"get": lambda number: client.get(b"raw:" + names[number]), "range of 10": ten, "commit of one put": commit}


def lmdb_operations(folder: str) -> dict[str, Operation]:
    """The same with py-lmdb, without Rome."""
    environment = lmdb.open(os.path.join(folder, "raw"), map_size=1 << 30)
    names = [b"%06d" % number for number in range(KEYS)]
    with environment.begin(write=True) as txn:
        for name in names:
            txn.put(name, VALUE.encode())

    def get(number: int) -> object:
        with environment.begin() as txn:
            return txn.get(names[number])

    def ten(number: int) -> object:
        with environment.begin() as txn, txn.cursor() as cursor:
            cursor.set_range(names[number])
            return [pair for pair, _ in zip(cursor, range(10), strict=False)]

    def commit(number: int) -> None:
        with environment.begin(write=True) as txn:
            txn.put(names[number], VALUE.encode())

    return {"get": get, "range of 10": ten, "commit of one put": commit}


class Spent(NamedTuple):
    """The mean of an operation, in microseconds: by the clock, and of this process's CPU."""

    wall: float
    cpu: float


def spent(operation: Operation, operations: int, first: int) -> Spent:
    """Measure an operation over different keys."""
    wall, cpu = time.perf_counter(), time.process_time()
    for number in range(operations):
        operation((first + 7 * number) % (KEYS - 20))
    scale = 1e6 / operations
    return Spent((time.perf_counter() - wall) * scale, (time.process_time() - cpu) * scale)


def main() -> None:
    """Measure both in turns, and print."""
    parser = argparse.ArgumentParser(description="What rome.kv costs beside the store itself.")
    parser.add_argument("url")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--operations", type=int, default=100)
    chosen = parser.parse_args()
    with ExitStack() as stack:
        stack.callback(rome.drop_database, chosen.url)
        ours = kv_operations(stack.enter_context(rome.kv.open(chosen.url)))
        if chosen.url.startswith("rome+redis"):
            raw = redis_operations(chosen.url)
        elif chosen.url.startswith("rome+lmdb"):
            raw = lmdb_operations(
                stack.enter_context(tempfile.TemporaryDirectory(dir=os.path.dirname(chosen.url[12:])))
            )
        else:
            raw = {}
        print(f"{'µs per operation':28} {'rome.kv':>9} {'its CPU':>9} {'the store':>10} {'its CPU':>9} {'ratios':>12}")
        for name, operation in ours.items():
            mine: list[Spent] = []
            its: list[Spent] = []
            for number in range(chosen.rounds):
                if name in raw:
                    its.append(spent(raw[name], chosen.operations, 31 * number))
                mine.append(spent(operation, chosen.operations, 31 * number))
            line = f"{name:28} {median(m.wall for m in mine):9.0f} {median(m.cpu for m in mine):9.0f}"
            if its:
                ratios = [median(m[at] / i[at] for m, i in zip(mine, its, strict=True)) for at in (0, 1)]
                line += f" {median(i.wall for i in its):10.0f} {median(i.cpu for i in its):9.0f}"
                line += f" {ratios[0]:6.1f} {ratios[1]:5.1f}"
            print(line)


if __name__ == "__main__":
    main()
