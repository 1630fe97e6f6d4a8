"""Databases of rome.kv on every store."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

import rome
import rome.kv
from rome.kv import KvDatabase
from tests.support.databases import database
from tests.support.etcd_servers import Member

STORES = ("memory", "lmdb", "redis", "valkey", "etcd")

OpenKv = Callable[..., KvDatabase]
"""The fixture `open_kv`: opens `url`; takes rome.kv.open's options."""

_serial = itertools.count(1)


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in STORES])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh database on each store."""
    if request.param != "etcd":
        with database(request.param, request) as url:
            yield url
        return
    member: Member = request.getfixturevalue("etcd_member")
    url = member.url(f"kv{next(_serial)}")
    yield url
    rome.drop_database(url)


@pytest.fixture
def open_kv(url: str) -> Iterator[OpenKv]:
    with ExitStack() as databases:

        def open_one(**options: object) -> KvDatabase:
            return databases.enter_context(rome.kv.open(url, **options))

        yield open_one


@pytest.fixture
def db(open_kv: OpenKv) -> KvDatabase:
    return open_kv()


@pytest.fixture
def other(open_kv: OpenKv) -> KvDatabase:
    """The same database, as another process has it."""
    return open_kv()
