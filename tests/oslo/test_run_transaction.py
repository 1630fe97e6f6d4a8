"""run_transaction where conflicts are PostgreSQL's and MariaDB's own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

import rome
from tests.oslo.conftest import parent
from tests.retry.counters import ADD, READ, Base, Counter, Rival, count, prepare
from tests.support.sql_servers import SqlServer


def counted(url: str, **options: str) -> Iterator[Engine]:
    engine = sa.create_engine(url, **options)
    Base.metadata.drop_all(engine)
    prepare(engine)
    yield engine
    engine.dispose()


@pytest.fixture(params=["psycopg2", "psycopg"])
def on_postgresql(request: pytest.FixtureRequest, postgresql: SqlServer) -> Iterator[Engine]:
    yield from counted(f"postgresql+{request.param}://{postgresql.netloc}", isolation_level="SERIALIZABLE")


class TestPostgreSql:
    def test_serialization_failure(self, on_postgresql: Engine) -> None:
        rival = Rival(on_postgresql, times=3)
        assert rome.run_transaction(on_postgresql, rival.add) == 4
        assert (rival.attempts, count(on_postgresql)) == (4, 4)

    def test_autocommit_is_refused(self, on_postgresql: Engine) -> None:
        automatic = on_postgresql.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(sa.exc.InvalidRequestError, match="AUTOCOMMIT"):
            rome.run_transaction(automatic, lambda connection: connection.execute(ADD))

    def test_asyncio(self, on_postgresql: Engine) -> None:
        """With psycopg, whichever driver the table was made with."""
        rest = iter([True, True, False])

        async def main() -> int:
            url = on_postgresql.url.set(drivername="postgresql+psycopg")
            engine = create_async_engine(url, isolation_level="SERIALIZABLE")

            async def add(connection: AsyncConnection) -> int:
                seen: int = (await connection.execute(READ)).scalar_one()
                if next(rest):
                    with on_postgresql.begin() as other:
                        other.execute(ADD)
                await connection.execute(sa.update(Counter).where(Counter.id == 1).values(n=seen + 1))
                return seen + 1

            try:
                return await rome.run_transaction_async(engine, add)
            finally:
                await engine.dispose()

        assert asyncio.run(main()) == 3


def test_deadlock_of_mariadb(tidb: Engine, tidb_url: str) -> None:
    """Two transactions want each other's rows; MariaDB ends one of them, which is run again."""
    engine = sa.create_engine(tidb_url)
    with engine.begin() as connection:
        connection.execute(parent.insert().values(id=2))
    both_have_one = threading.Barrier(2)
    attempts: list[int] = []

    def work(first: int, second: int) -> None:
        mine: list[int] = []

        def change(connection: Connection) -> None:
            attempts.append(first)
            mine.append(first)
            for place, row in enumerate((first, second)):
                connection.execute(parent.update().where(parent.c.id == row).values(node=str(first)))
                if place == 0 and len(mine) == 1:
                    both_have_one.wait(timeout=60)

        rome.run_transaction(engine, change)

    threads = [threading.Thread(target=work, args=rows) for rows in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.dispose()
    assert len(attempts) == 3
