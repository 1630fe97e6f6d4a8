"""create_async_engine and AsyncSession on every store."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, MissingGreenlet, OperationalError
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

import rome
from rome import aio
from rome.dialect import RomeDialect
from rome.dialect.aio import RomeAsyncDialect
from rome.errors import ConflictError
from tests.aio.support import Hold, cancel, threads

ENDLESS = sa.text("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")


class Base(AsyncAttrs, DeclarativeBase): ...


class Owner(Base):
    __tablename__ = "owner"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    accounts: Mapped[list[Account]] = relationship(order_by="Account.id")


class Account(Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[int | None] = mapped_column(sa.ForeignKey("owner.id"))
    amount: Mapped[int]


@asynccontextmanager
async def engine_of(url: str, **options: Any) -> AsyncIterator[AsyncEngine]:
    """An engine on a database with two accounts, with 10 each."""
    engine = create_async_engine(url, **options)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
            await connection.execute(sa.insert(Account), [{"id": 1, "amount": 10}, {"id": 2, "amount": 10}])
        yield engine
    finally:
        await engine.dispose()


async def amounts(engine: AsyncEngine) -> list[int]:
    async with engine.connect() as connection:
        return list(await connection.scalars(sa.select(Account.amount).order_by(Account.id)))


class TestDialect:
    @pytest.mark.memory
    def test_is_chosen_by_the_engine_or_by_the_url(self, tmp_path: Path) -> None:
        for store in ("memory", "lmdb", "redis", "etcd"):
            place = {"memory": "/x", "lmdb": f"/{tmp_path}/x"}.get(store, "localhost/x")
            for engine in (
                create_async_engine(f"rome+{store}://{place}"),
                create_async_engine(f"rome+{store}_async://{place}"),
            ):
                assert isinstance(engine.dialect, RomeAsyncDialect)
                assert isinstance(engine.pool, AsyncAdaptedQueuePool)
                assert (engine.dialect.name, engine.dialect.driver) == ("sqlite", "rome")
            assert type(sa.create_engine(f"rome+{store}://{place}").dialect) is RomeDialect
            assert sa.make_url(f"rome+{store}_async://{place}").get_dialect() is RomeAsyncDialect

    @pytest.mark.memory
    def test_all_else_takes_its_url_too(self) -> None:
        rome.create_database("rome+memory_async:///both")
        assert rome.database_exists("rome+memory:///both")
        rome.drop_database("rome+memory_async:///both")

    @pytest.mark.memory
    async def test_private_database_belongs_to_the_engine(self) -> None:
        async with engine_of("rome+memory://") as one, engine_of("rome+memory://"), one.connect():
            assert await amounts(one) == [10, 10]

    @pytest.mark.memory
    def test_sync_use_is_sqlalchemys_error(self) -> None:
        engine = sa.create_engine("rome+memory_async:///x")
        with pytest.raises(MissingGreenlet):
            engine.connect()

    async def test_driver_connection_is_the_awaitable_one(self, url: str) -> None:
        async with engine_of(url) as engine, engine.connect() as connection:
            raw = await connection.get_raw_connection()
            assert isinstance(raw.driver_connection, aio.AsyncConnection)
            await raw.driver_connection.execute("UPDATE account SET amount = 1")
            await raw.driver_connection.commit()
            assert await amounts(engine) == [1, 1]

    async def test_async_creator(self, url: str) -> None:
        def opened() -> Any:
            return aio.connect(url, isolation_level="READ COMMITTED")

        async with engine_of(url, async_creator=opened) as engine, engine.connect() as connection:
            assert await connection.get_isolation_level() == "READ COMMITTED"

    async def test_events_call_what_applications_call(self, url: str) -> None:
        engine = create_async_engine(url)
        seen = []

        @sa.event.listens_for(engine.sync_engine, "connect")
        def prepare(connection: Any, record: object) -> None:
            connection.create_function("double", 1, lambda x: 2 * x, deterministic=True)
            connection.create_collation("BACKWARDS", lambda a, b: (a < b) - (a > b))
            connection.create_aggregate("product", 1, Product)
            cursor = connection.cursor()
            cursor.execute("PRAGMA foreign_keys=OFF")
            cursor.execute("SELECT double(4), ?", (5,))
            seen.append((cursor.fetchone(), cursor.fetchone(), cursor.description[1][0]))
            cursor.close()
            seen.append(connection.run_async(lambda driver: driver.run(driver.sync_connection.getlimit, 0)) > 0)

        async with engine.connect() as connection:
            assert await connection.scalar(sa.text("SELECT product(double(x)) FROM (SELECT 2 x UNION SELECT 3)")) == 24
            rows = await connection.scalars(
                sa.text("SELECT x FROM (SELECT 'a' x UNION SELECT 'b') ORDER BY x COLLATE backwards")
            )
            assert rows.all() == ["b", "a"]
            assert await connection.scalar(sa.text("PRAGMA foreign_keys")) == 0
        assert seen == [((8, 5), None, "?"), True]
        await engine.dispose()


class Product:
    def __init__(self) -> None:
        self.value = 1

    def step(self, value: int) -> None:
        self.value *= value

    def finalize(self) -> int:
        return self.value


class TestWork:
    async def test_orm(self, url: str) -> None:
        async with engine_of(url) as engine:
            session_of = async_sessionmaker(engine, expire_on_commit=False)
            async with session_of() as session, session.begin():
                ann = Owner(name="ann", accounts=[Account(amount=1), Account(amount=2)])
                session.add(ann)
            assert (ann.id, [account.id for account in ann.accounts]) == (1, [3, 4])
            async with session_of() as session:
                found = (await session.scalars(sa.select(Owner).options(selectinload(Owner.accounts)))).one()
                assert [account.amount for account in found.accounts] == [1, 2]
                again = await session.get_one(Account, 3)
                again.amount = 7
                await session.commit()
                await session.refresh(again)
                assert again.amount == 7
                owner = await session.get_one(Owner, 1, populate_existing=True)
                assert len(await owner.awaitable_attrs.accounts) == 2
                await session.delete(again)
                await session.rollback()
            assert await amounts(engine) == [10, 10, 7, 2]

    async def test_reflection(self, url: str) -> None:
        async with engine_of(url) as engine, engine.connect() as connection:
            names = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())
            assert names == ["account", "owner"]

    async def test_errors(self, url: str) -> None:
        async with engine_of(url) as engine, engine.connect() as connection:
            with pytest.raises(IntegrityError, match=r"UNIQUE constraint failed: account\.id"):
                await connection.execute(sa.insert(Account), {"id": 1, "amount": 1})
            with pytest.raises(IntegrityError, match="FOREIGN KEY constraint failed"):
                await connection.execute(sa.insert(Account), {"owner": 9, "amount": 1})

    async def test_savepoints_levels_and_rowcount(self, url: str) -> None:
        async with engine_of(url) as engine:
            async with engine.begin() as connection:
                async with connection.begin_nested() as savepoint:
                    await connection.execute(sa.delete(Account))
                    await savepoint.rollback()
                result = await connection.execute(sa.update(Account).values(amount=3))
                assert result.rowcount == 2
            async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                assert await connection.get_isolation_level() == "AUTOCOMMIT"
                await connection.execute(sa.update(Account).values(amount=4))
                assert await amounts(engine) == [4, 4]
            async with engine.connect() as connection:
                assert await connection.get_isolation_level() == "SERIALIZABLE"

    async def test_stream(self, url: str) -> None:
        async with engine_of(url) as engine, engine.connect() as connection:
            await connection.execute(sa.insert(Account), [{"amount": n} for n in range(1_000)])
            sizes: list[int] = []
            ids: list[int] = []
            async with connection.stream(sa.select(Account.id).order_by(Account.id)) as result:
                async for rows in result.scalars().partitions(300):
                    sizes.append(len(rows))
                    ids += rows
            assert (sizes, ids) == ([300, 300, 300, 102], list(range(1, 1_003)))
            result = await connection.stream(sa.select(Account.id).order_by(Account.id))
            assert await result.fetchone() == (1,)
            assert len(await result.fetchmany(10)) == 10
            assert len(await result.all()) == 991
            async with AsyncSession(connection) as session:
                objects = await session.stream_scalars(sa.select(Account).execution_options(yield_per=100))
                assert sum([1 async for _ in objects]) == 1_002

    async def test_many_tasks_add_and_none_is_lost(self, url: str) -> None:
        async with engine_of(url, pool_size=4, max_overflow=0) as engine:
            retries = 0

            async def add_one() -> None:
                nonlocal retries
                while True:
                    try:
                        async with AsyncSession(engine) as session, session.begin():
                            account = await session.get_one(Account, 1)
                            account.amount += 1
                        return
                    except OperationalError as error:
                        if not isinstance(error.orig, ConflictError):
                            raise
                        retries += 1

            await asyncio.gather(*(add_one() for _ in range(10)))
            assert await amounts(engine) == [20, 10]
            assert retries > 0

    async def test_null_pool(self, url: str) -> None:
        async with engine_of(url, poolclass=NullPool) as engine:
            assert await amounts(engine) == [10, 10]
            for thread in threads():
                await asyncio.to_thread(thread.join)


class TestCancellation:
    async def test_timeout_of_a_statement(self, url: str) -> None:
        async with engine_of(url, pool_size=1, max_overflow=0) as engine:
            async with AsyncSession(engine) as session:
                (await session.get_one(Account, 1)).amount = 0
                await session.flush()
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await session.execute(ENDLESS)
            assert isinstance(engine.pool, AsyncAdaptedQueuePool)
            assert engine.pool.checkedout() == 0
            assert await amounts(engine) == [10, 10]

    async def test_commit_is_settled_before_the_task_ends(self, url: str, hold: Hold) -> None:
        async with engine_of(url, pool_size=1, max_overflow=0) as engine:

            async def withdraw() -> None:
                async with AsyncSession(engine) as session, session.begin():
                    (await session.get_one(Account, 1)).amount = 0

            async with hold("commit") as gate:
                task = asyncio.create_task(withdraw())
                await gate.is_reached()
                task.cancel()
                await asyncio.sleep(0)
                assert not task.done()
                gate.open()
                assert isinstance(await cancel(task), asyncio.CancelledError)
            assert isinstance(engine.pool, AsyncAdaptedQueuePool)
            assert engine.pool.checkedout() == 0
            assert await amounts(engine) == [0, 10]

    async def test_connection_that_is_forgotten_is_closed(self, url: str) -> None:
        async with engine_of(url) as engine:
            held = [await engine.connect()]
            await held[0].execute(sa.update(Account).values(amount=0))
            with pytest.warns(sa.exc.SAWarning, match="garbage collector"):
                _forget(held)
            assert await amounts(engine) == [10, 10]

    async def test_lost_connection_is_replaced(self, url: str) -> None:
        async with engine_of(url, pool_size=1, max_overflow=0) as engine:
            async with engine.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            await driver.close()
            assert await amounts(engine) == [10, 10]

    @pytest.mark.parametrize("pool", ["cold", "warm", "recycled"])
    async def test_at_every_point_where_sqlalchemy_awaits(self, url: str, pool: str) -> None:
        """By SQLAlchemy's own harness: the task ends cancelled, nothing leaks, and the pool works on."""
        cancellation = pytest.importorskip("sqlalchemy.testing.cancellation")

        async def scenario(engine: AsyncEngine) -> None:
            async with AsyncSession(engine) as session, session.begin():
                await session.execute(sa.update(Account).values(amount=Account.amount + 1))
                async for _ in await session.stream(sa.select(Account)):
                    pass
            async with engine.connect() as connection:
                assert len(set((await connection.scalars(sa.select(Account.amount))).all())) == 1

        how = {"warm": pool != "cold", "recycle": pool == "recycled"}
        gc.collect()
        gc.freeze()  # the harness collects garbage after each run
        try:
            async with engine_of(url):
                points, failure = await cancellation.run_scenario(lambda: create_async_engine(url), scenario, **how)
                assert (failure, points.count > 4) == (None, True)
                for at in range(1, points.count + 1):
                    for cancel_at in ((at,), (at, at + 1)) if "memory" in url else ((at,),):
                        _, failure = await cancellation.run_scenario(
                            lambda: create_async_engine(url), scenario, cancel_at=cancel_at, **how
                        )
                        assert failure is None, cancel_at
        finally:
            gc.unfreeze()


@pytest.mark.memory
async def test_disconnect_is_sqlalchemys(url: str) -> None:
    async with engine_of(url) as engine, engine.connect() as connection:
        raw: Any = await connection.get_raw_connection()
        await raw.driver_connection.close()
        with pytest.raises(DBAPIError, match="closed database") as raised:
            await connection.execute(sa.text("SELECT 1"))
        assert raised.value.connection_invalidated


def _forget(held: list[Any]) -> None:
    held.clear()
    gc.collect()
