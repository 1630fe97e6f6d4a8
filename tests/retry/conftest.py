"""Every store, and one table of counters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine

from tests.retry.counters import prepare
from tests.support.databases import Store, database, on


@pytest.fixture(params=on("memory", "lmdb", "redis", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    store: Store = request.param
    with database(store, request) as url:
        yield url


@pytest.fixture
def engine(make_engine: Callable[..., Engine]) -> Engine:
    """With one counter that is 0."""
    engine = make_engine(isolation_level="SERIALIZABLE")
    prepare(engine)
    return engine


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, which take no time here."""
    waits: list[float] = []
    monkeypatch.setattr("rome.retry.synchronous.time", SimpleNamespace(sleep=waits.append))
    return waits
