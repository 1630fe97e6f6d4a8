"""Fresh databases for tests, on any store."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest

import rome
from rome.dbapi import Connection

Store = Literal["memory", "lmdb", "redis", "valkey", "etcd", "redis-near", "valkey-near", "etcd-near"]
"""With -near: read at a replica that is some milliseconds behind, or at a member."""

Connect = Callable[..., Connection]
"""The fixture `connect`: opens a connection to `url`; takes rome.connect's options."""

LAG_S = 0.02
"""Twice what a replica is behind its primary."""

_serial = itertools.count(1)


def on(*stores: Store) -> list[object]:
    """Parameters of a fixture: the stores, each marked with its name."""
    return [pytest.param(store, marks=getattr(pytest.mark, store.partition("-")[0])) for store in stores]


@contextmanager
def database(store: Store, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database that nobody has used; dropped afterwards."""
    name = f"test{next(_serial)}"
    match store:
        case "memory":
            url = f"rome+memory:///{name}"
        case "lmdb":
            directory: Path = request.getfixturevalue("tmp_path")
            url = f"rome+lmdb:///{directory / name}.lmdb"
        case "etcd":
            url = request.getfixturevalue("etcd_member").url(name)
        case "etcd-near":
            url = request.getfixturevalue("etcd_member").url(name) + "?reads=near"
        case "redis-near" | "valkey-near":
            replica = request.getfixturevalue(f"{store.partition('-')[0]}_replica")
            replica.link.delay_s = LAG_S
            url = replica.url(name)
        case _:
            server = request.getfixturevalue(f"{store}_server")
            url = f"rome+redis://{server.host}:{server.port}/{name}"
    yield url
    rome.drop_database(url)
