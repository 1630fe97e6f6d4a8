"""run_transaction_async, on SQLite with aiosqlite: a writer that is busy is its conflict."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import InvalidRequestError, OperationalError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)

import rome
from tests.retry.counters import ADD, READ, Counter, prepare


@asynccontextmanager
async def database(folder: Path) -> AsyncIterator[AsyncEngine]:
    url = f"{folder}/file.db"
    with_sync = sa.create_engine(f"sqlite:///{url}")
    prepare(with_sync)
    with_sync.dispose()
    engine = create_async_engine(f"sqlite+aiosqlite:///{url}", connect_args={"timeout": 0})
    yield engine
    await engine.dispose()


@asynccontextmanager
async def targets(engine: AsyncEngine, kind: str) -> AsyncIterator[Any]:
    """All that run_transaction_async takes."""
    match kind:
        case "engine":
            yield engine
        case "connection":
            async with engine.connect() as connection:
                yield connection
        case "sessionmaker":
            yield async_sessionmaker(engine)
        case "session":
            async with AsyncSession(engine) as session:
                yield session
        case "scoped_session":
            registry = async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)
            yield registry
            await registry.remove()


KINDS = ["engine", "connection", "sessionmaker", "session", "scoped_session"]


class Blocker:
    """Holds SQLite's write lock during the first attempts."""

    def __init__(self, engine: AsyncEngine, times: int) -> None:
        self._engine, self._left = engine, times
        self.attempts = 0

    async def add(self, on: AsyncConnection | AsyncSession, much: int = 1) -> int:
        self.attempts += 1
        if self._left:
            self._left -= 1
            async with self._engine.connect() as other:
                await other.execute(ADD)
                await on.execute(ADD)  # busy
        await on.execute(sa.update(Counter).where(Counter.id == 1).values(n=Counter.n + much))
        return (await on.execute(READ)).scalar_one()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr("rome.retry.asynchronous.asyncio.sleep", noted)
    return waits


def run(folder: Path, test: Callable[[AsyncEngine], Awaitable[None]]) -> None:
    async def main() -> None:
        async with database(folder) as engine:
            await test(engine)

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_runs_again_until_it_is_committed(tmp_path: Path, kind: str, waits: list[float]) -> None:
    async def test(engine: AsyncEngine) -> None:
        blocker = Blocker(engine, times=3)
        async with targets(engine, kind) as target:
            assert await rome.run_transaction_async(target, blocker.add) == 1
        assert blocker.attempts == 4

    run(tmp_path, test)
    assert len(waits) == 3


def test_gives_up(tmp_path: Path, waits: list[float]) -> None:
    async def test(engine: AsyncEngine) -> None:
        with pytest.raises(OperationalError) as caught:
            await rome.run_transaction_async(engine, Blocker(engine, 9).add, max_attempts=2)
        assert caught.value.__notes__ == ["run_transaction gave up after 2 attempts (max_attempts)"]

    run(tmp_path, test)


def test_cancelled_it_rolls_back_and_is_not_run_again(tmp_path: Path) -> None:
    async def test(engine: AsyncEngine) -> None:
        begun = asyncio.Event()
        attempts: list[object] = []

        async def wait(connection: AsyncConnection) -> None:
            attempts.append(connection)
            await connection.execute(ADD)
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(rome.run_transaction_async(engine, wait))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(attempts) == 1
        assert await rome.run_transaction_async(engine, Blocker(engine, 0).add) == 1

    run(tmp_path, test)


@pytest.mark.parametrize("kind", KINDS)
def test_refuses_one_inside_of_another(tmp_path: Path, kind: str) -> None:
    async def test(engine: AsyncEngine) -> None:
        async with targets(engine, kind) as target:

            async def outer(_on: object) -> None:
                await rome.run_transaction_async(target, Blocker(engine, 0).add)

            with pytest.raises(InvalidRequestError, match="run_transaction inside a function"):
                await rome.run_transaction_async(engine, outer)

    run(tmp_path, test)


def test_a_task_that_outlives_the_transaction_may_run_its_own(tmp_path: Path) -> None:
    async def test(engine: AsyncEngine) -> None:
        tasks: list[asyncio.Task[int]] = []
        over = asyncio.Event()

        async def later() -> int:
            await over.wait()
            return await rome.run_transaction_async(engine, Blocker(engine, 0).add)

        async def start(connection: AsyncConnection) -> None:
            tasks.append(asyncio.create_task(later()))

        await rome.run_transaction_async(engine, start)
        over.set()
        assert await tasks[0] == 1

    run(tmp_path, test)


@pytest.mark.parametrize("kind", ["connection", "session"])
def test_refuses_what_is_in_a_transaction(tmp_path: Path, kind: str) -> None:
    async def test(engine: AsyncEngine) -> None:
        async with targets(engine, kind) as target:
            await target.execute(READ)
            with pytest.raises(InvalidRequestError, match=f"this {kind} is in one already"):
                await rome.run_transaction_async(target, Blocker(engine, 0).add)

    run(tmp_path, test)


@pytest.mark.parametrize("of_session", [False, True])
def test_refuses_autocommit(tmp_path: Path, of_session: bool) -> None:
    async def test(engine: AsyncEngine) -> None:
        automatic = engine.execution_options(isolation_level="AUTOCOMMIT")
        target: Any = async_sessionmaker(automatic) if of_session else automatic
        with pytest.raises(InvalidRequestError, match="AUTOCOMMIT"):
            await rome.run_transaction_async(target, Blocker(engine, 0).add)

    run(tmp_path, test)


def test_each_points_to_the_other(tmp_path: Path) -> None:
    async def test(engine: AsyncEngine) -> None:
        with pytest.raises(TypeError, match="not AsyncEngine; run_transaction_async takes it"):
            rome.run_transaction(engine, lambda _: None)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="not Engine; run_transaction takes those"):
            await rome.run_transaction_async(engine.sync_engine, Blocker(engine, 0).add)  # type: ignore[call-overload]

    run(tmp_path, test)


def test_decorator(tmp_path: Path, waits: list[float]) -> None:
    async def test(engine: AsyncEngine) -> None:
        blocker = Blocker(engine, times=1)

        @rome.transactional_async(engine, max_attempts=2)
        async def add(connection: AsyncConnection, much: int) -> int:
            return await blocker.add(connection, much)

        assert await add(5) == 5
        assert blocker.attempts == 2

    run(tmp_path, test)
