"""Changed bytes in a database's keys: an error that says so, never one of a library."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from secrets import token_bytes
from typing import Any

import redis

import rome
from rome.errors import CorruptRecordError, Error
from rome.store.location import Location
from rome.store.redis.names import meta_key
from tests.support.servers import Server

SCHEMA = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, k TEXT, v BLOB, r REAL)",
    "CREATE UNIQUE INDEX t_k ON t (k)",
    "CREATE TABLE w (a TEXT, b INT, PRIMARY KEY (a, b)) WITHOUT ROWID",
]
USE = [
    "SELECT * FROM t",
    "SELECT k FROM t WHERE k > 'k3' ORDER BY k",
    "SELECT v FROM t WHERE id = 3",
    "SELECT * FROM w WHERE a = 'ww'",
    "SELECT count(*), max(k) FROM t",
    "INSERT INTO t (k, v) VALUES ('new', 1)",
    "UPDATE t SET r = 9 WHERE k = 'k2'",
    "DELETE FROM w WHERE b = 1",
    "COMMIT",
    "CREATE INDEX more ON w (b)",
    "COMMIT",
    "DROP TABLE t",
    "COMMIT",
]

Content = dict[bytes, object]
"""By key: a dict of a hash, or of a sorted set; a list; bytes."""


def read_all(admin: redis.Redis, prefix: bytes) -> Content:
    readers: Mapping[bytes, Callable[[bytes], object]] = {
        b"hash": admin.hgetall,
        b"zset": lambda key: admin.zrange(key, 0, -1, withscores=True),
        b"list": lambda key: admin.lrange(key, 0, -1),
        b"string": admin.get,
    }
    keys = [key for key in admin.scan_iter(b"rome:*", count=1000) if key.startswith(prefix)]
    kinds: Any = {key: admin.type(key) for key in keys}
    return {key: readers[kinds[key]](key) for key in keys}


def write_all(admin: redis.Redis, prefix: bytes, content: Content) -> None:
    """Put a database in place of what is there."""
    with admin.pipeline() as pipeline:
        for key in admin.scan_iter(b"rome:*", count=1000):
            if key.startswith(prefix):
                pipeline.delete(key)
        for key, value in content.items():
            if not value:
                continue
            if isinstance(value, dict):
                pipeline.hset(key, mapping=value)
            elif isinstance(value, list) and value and isinstance(value[0], tuple | list):
                pipeline.zadd(key, dict(value))
            elif isinstance(value, list):
                pipeline.rpush(key, *value)
            else:
                assert isinstance(value, bytes)
                pipeline.set(key, value)
        pipeline.execute()


def spoiled(value: bytes) -> Iterator[bytes]:
    yield b""
    yield value[: len(value) // 2]
    yield value + b"\xc1"
    for at in {0, 7, 8, 9, len(value) // 2, len(value) - 1}:
        if 0 <= at < len(value):
            yield value[:at] + bytes([value[at] ^ 0xA5]) + value[at + 1 :]


def changed(content: Content) -> Iterator[tuple[str, Content]]:
    """The database with one thing wrong."""
    for key, value in content.items():
        name = key.rpartition(b":")[2].decode()
        if isinstance(value, dict):
            for field, old in value.items():
                yield f"{name} {field!r} gone", {**content, key: {f: v for f, v in value.items() if f != field}}
                for new in spoiled(old):
                    yield f"{name} {field!r} {new!r}", {**content, key: {**value, field: new}}
        elif isinstance(value, list):
            for at, old in enumerate(value):
                member = old[0] if isinstance(old, tuple | list) else old
                yield f"{name} {member!r} gone", {**content, key: value[:at] + value[at + 1 :]}
                for new in spoiled(member):
                    item = (new, old[1]) if isinstance(old, tuple | list) else new
                    yield f"{name} {member!r} {new!r}", {**content, key: [*value[:at], item, *value[at + 1 :]]}
        else:
            assert isinstance(value, bytes)
            for new in spoiled(value):
                yield f"{name} {new!r}", {**content, key: new}


def use(url: str) -> list[Error]:
    """Use all of a database; every error must be one of Rome's."""
    found: list[Error] = []
    try:
        with closing(rome.connect(url)) as connection:
            for statement in USE:
                try:
                    connection.execute(statement)
                except Error as error:
                    found.append(error)
                    connection.rollback()
        rome.trim(url)
        rome.diagnose(url)
        rome.drop_database(url)
    except Error as error:
        found.append(error)
    return found


def test_no_change_raises_what_is_not_romes(server: Server, admin: redis.Redis, location: Location) -> None:
    url, prefix = f"rome+redis://{server.host}:{server.port}/{location.database}", meta_key(location.database)[:-1]
    with closing(rome.connect(url)) as connection:
        for statement in SCHEMA:
            connection.execute(statement)
        connection.executemany(
            "INSERT INTO t (k, v, r) VALUES (?, ?, ?)", [(f"k{n}", bytes(n), n / 3) for n in range(4)]
        )
        connection.executemany("INSERT INTO w VALUES (?, ?)", [("w" * n, n) for n in range(3)])
        connection.commit()
        connection.execute("UPDATE t SET r = r + 1 WHERE id < 3")
        connection.commit()
    content = read_all(admin, prefix)
    kinds: dict[type[Error], int] = {}
    raw: list[str] = []
    for number, (what, other) in enumerate(changed(content)):
        if number % 2:
            continue
        meta = other.get(prefix + b"m")  # a history of its own: a process remembers what it knows of one
        if isinstance(meta, dict) and meta.get(b"incarnation") == content[prefix + b"m"][b"incarnation"]:  # type: ignore[index]
            other[prefix + b"m"] = {**meta, b"incarnation": token_bytes(16)}
        write_all(admin, prefix, other)
        try:
            errors = use(url)
        except Exception as error:  # noqa: BLE001
            raw.append(f"{what}: {error!r}")
            continue
        for each in errors:
            kinds[type(each)] = kinds.get(type(each), 0) + 1
    assert raw == []
    assert kinds[CorruptRecordError] > 20
