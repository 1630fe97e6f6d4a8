"""The stores by themselves on the same bytes: the physical limit of each micro benchmark.

The bytes are those of Rome's records and keys. Indexes, versions, history and all of SQL are left out.
"""

from __future__ import annotations

import random
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis
import lmdb

from rome.codec.keys import encode_key
from rome.codec.rows import encode_record
from romebench.cases import BY_INDEX, BY_KEY, GET, INSERT, INSERT_MANY, LOADED, MODIFIED, UPDATE
from romebench.workloads.schema import server_values
from romebench.workloads.timing import timed

_JOINED_BYTES = 40
"""Sizes of the records of the small tables that a load joins: 3 by key, then one volume and 3 tags."""
_JOINED = 7

RAW_CASES = frozenset({BY_KEY, BY_INDEX, GET, LOADED, INSERT, INSERT_MANY, UPDATE, MODIFIED})


def _record(number: int, group: int) -> bytes:
    values = [
        value if isinstance(value, int | str | None) else str(value) for value in server_values(number, group).values()
    ]
    return encode_record(1, number, values)


def _key(number: int) -> bytes:
    return encode_key([number], ["BINARY"])


class _Raw(ABC):
    """The raw operations of a store; runs in a worker. A case takes one round trip, read-modify-write two."""

    def __init__(self, rows: int, group: int, batch: int) -> None:
        self._rows, self._group, self._batch = rows, group, batch
        self._record = _record(1, group)
        self._next = rows + 1
        for start in range(1, rows + 1, 500):
            self._put([(_key(number), _record(number, group)) for number in range(start, start + 500)])
        self._put([(b"joined %d" % number, bytes(_JOINED_BYTES)) for number in range(_JOINED)])
        self._cases: dict[str, Callable[[int], object]] = {
            BY_KEY: lambda number: self._get([_key(number)]),
            BY_INDEX: lambda number: self._get([_key(1 + (number + i) % rows) for i in range(group)]),
            GET: lambda number: self._get([_key(number)]),
            LOADED: lambda number: self._get([_key(number), *(b"joined %d" % i for i in range(_JOINED))]),
            INSERT: lambda number: self._insert(1),
            INSERT_MANY: lambda number: self._insert(batch),
            UPDATE: lambda number: self._put([(_key(number), self._record)]),
            MODIFIED: self._modify,
        }

    def seconds(self, case: str, operations: int) -> tuple[float, float]:
        """The mean time of an operation, over this many, and of it this thread's CPU."""
        operation = self._cases[case]
        return timed(lambda _: operation(random.randint(1, self._rows)), operations)

    def _insert(self, count: int) -> None:
        self._put([(_key(number), self._record) for number in range(self._next, self._next + count)])
        self._next += count

    def _modify(self, number: int) -> None:
        [record] = self._get([_key(number)])
        assert record is not None
        self._put([(_key(number), record)])

    @abstractmethod
    def _get(self, keys: list[bytes]) -> Sequence[bytes | None]: ...

    @abstractmethod
    def _put(self, items: list[tuple[bytes, bytes]]) -> None: ...


class RawRedis(_Raw):
    """HMGET and HSET over a plain socket, with hiredis."""

    def __init__(self, port: int, rows: int, group: int, batch: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()
        super().__init__(rows, group, batch)

    def _call(self, *words: bytes) -> object:
        self._socket.sendall(hiredis.pack_command(cast(Any, words)))
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(65536))
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _get(self, keys: list[bytes]) -> Sequence[bytes | None]:
        found = self._call(b"HMGET", b"romebench:raw", *keys)
        assert isinstance(found, list)
        return found

    def _put(self, items: list[tuple[bytes, bytes]]) -> None:
        self._call(b"HSET", b"romebench:raw", *(word for item in items for word in item))


class RawLmdb(_Raw):
    """Gets and puts in LMDB, one transaction for each operation."""

    def __init__(self, path: str, durable: bool, rows: int, group: int, batch: int) -> None:
        self._environment = lmdb.open(path, subdir=False, map_size=1 << 32, sync=durable)
        super().__init__(rows, group, batch)

    def _get(self, keys: list[bytes]) -> Sequence[bytes | None]:
        with self._environment.begin() as transaction:
            return [transaction.get(key) for key in keys]

    def _put(self, items: list[tuple[bytes, bytes]]) -> None:
        with self._environment.begin(write=True) as transaction:
            for key, record in items:
                transaction.put(key, record)
