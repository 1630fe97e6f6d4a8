"""Tests for asyncio are coroutines, each with an event loop of its own; they run on every store."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rome import dbapi
from tests.aio.support import PATIENCE_S, Gate, Hold, threads
from tests.support.databases import database, on


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(params=on("memory", "lmdb", "redis", "valkey", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """Every connection's thread ends."""
    yield
    for thread in threads():
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Hold:
    """`async with hold("commit") as gate`: Connection.commit waits at the gate, before or after its work."""

    @asynccontextmanager
    async def held(name: str, *, after: bool = False) -> AsyncIterator[Gate]:
        owner, _, method = name.rpartition(".")
        target: Any = dbapi.Cursor if owner == "Cursor" else dbapi.Connection
        real, gate = getattr(target, method), Gate()

        def gated(*arguments: Any, **options: Any) -> Any:
            if not after:
                gate.pass_through()
            answer = real(*arguments, **options)
            if after:
                gate.pass_through()
            return answer

        with monkeypatch.context() as patch:
            patch.setattr(target, method, gated)
            try:
                yield gate
            finally:
                gate.open()

    return held
