"""run_transaction_async on Rome, on every store: another transaction commits in between."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

import rome
from rome import errors
from tests.retry.counters import ADD, READ, Counter, count


class Rival:
    """Commits an increment after the transaction under test has read, as often as told."""

    def __init__(self, engine: AsyncEngine, times: int) -> None:
        self._engine, self._left = engine, times

    async def add(self, on: AsyncConnection | AsyncSession) -> int:
        seen: int = (await on.execute(READ)).scalar_one()
        if self._left:
            self._left -= 1
            async with self._engine.begin() as other:
                await other.execute(ADD)
        await on.execute(sa.update(Counter).where(Counter.id == 1).values(n=seen + 1))
        return seen + 1


@pytest.mark.parametrize("of_session", [False, True])
def test_runs_again_until_it_is_committed(engine: Engine, url: str, of_session: bool) -> None:
    async def main() -> int:
        asynchronous = create_async_engine(url)
        target: Any = async_sessionmaker(asynchronous) if of_session else asynchronous
        try:
            made: int = await rome.run_transaction_async(target, Rival(asynchronous, 3).add, first_wait_s=0)
            return made
        finally:
            await asynchronous.dispose()

    assert asyncio.run(main()) == 4
    assert count(engine) == 4


def test_tasks_lose_no_update(engine: Engine, url: str) -> None:
    async def main() -> None:
        asynchronous = create_async_engine(url)

        async def add(connection: AsyncConnection) -> None:
            seen = (await connection.execute(READ)).scalar_one()
            await asyncio.sleep(0)
            await connection.execute(sa.update(Counter).where(Counter.id == 1).values(n=seen + 1))

        async def work() -> None:
            for _ in range(8):
                await rome.run_transaction_async(asynchronous, add, max_attempts=100)

        try:
            await asyncio.gather(work(), work(), work())
        finally:
            await asynchronous.dispose()

    asyncio.run(main())
    assert count(engine) == 24


def test_gives_up_with_the_last_error(engine: Engine, url: str) -> None:
    async def main() -> None:
        asynchronous = create_async_engine(url)
        try:
            await rome.run_transaction_async(asynchronous, Rival(asynchronous, 99).add, max_attempts=2, first_wait_s=0)
        finally:
            await asynchronous.dispose()

    with pytest.raises(OperationalError) as caught:
        asyncio.run(main())
    assert isinstance(caught.value.orig, errors.ConflictError)
    assert caught.value.__notes__ == ["run_transaction gave up after 2 attempts (max_attempts)"]
