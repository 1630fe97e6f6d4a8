"""SQLAlchemy's yield_per and stream_results read rows while they are fetched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship, selectinload

from rome.dialect.versions import rome_connection
from rome.engine.result import Stats
from rome.errors import StreamEndedError
from tests.support.streamed import tiny_chunks


class Base(DeclarativeBase): ...


class Host(Base):
    __tablename__ = "hosts"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    ports: Mapped[list[Port]] = relationship(back_populates="host")


class Port(Base):
    __tablename__ = "ports"
    id: Mapped[int] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(sa.ForeignKey("hosts.id"), index=True)
    host: Mapped[Host] = relationship(back_populates="ports")


HOSTS = range(1, 31)


@pytest.fixture
def engine(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    tiny_chunks(monkeypatch)
    engine = sa.create_engine(url)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Host(id=n, name=f"h{n}", ports=[Port(id=2 * n), Port(id=2 * n + 1)]) for n in HOSTS])
        session.commit()
    yield engine
    engine.dispose()


def stats(connection: sa.Connection) -> Stats:
    return rome_connection(connection).rome_stats


def test_core_reads_what_is_fetched(engine: sa.Engine) -> None:
    for options in ({"stream_results": True, "max_row_buffer": 3}, {"yield_per": 3}):
        with engine.connect() as connection:
            before = stats(connection).rows
            result = connection.execution_options(**options).execute(sa.select(Host.id))
            assert next(result) == (1,)
            assert stats(connection).rows - before <= 6
            assert [row.id for row in result] == [*HOSTS][1:]
            assert stats(connection).rows - before == 30


def test_orm_reads_what_is_fetched_also_of_what_is_joined(engine: sa.Engine) -> None:
    with Session(engine) as session:
        before = stats(session.connection()).rows
        ports = sa.select(Port).options(joinedload(Port.host)).order_by(Port.id)
        found = iter(session.scalars(ports.execution_options(yield_per=3)))
        assert next(found).host.name == "h1"
        assert stats(session.connection()).rows - before <= 12
        assert [port.host_id for port in found] == [n // 2 for n in range(3, 62)]


def test_objects_can_be_changed_and_their_collections_loaded_meanwhile(engine: sa.Engine) -> None:
    with Session(engine) as session:
        hosts = sa.select(Host).options(selectinload(Host.ports)).order_by(Host.id.desc())
        for host in session.scalars(hosts.execution_options(yield_per=4)):
            assert len(host.ports) == 2
            host.name += "!"
            session.flush()
        session.commit()
        assert session.scalars(sa.select(Host.name).where(~Host.name.like("h%!"))).all() == []


def test_a_commit_between_is_told_of(engine: sa.Engine) -> None:
    with Session(engine) as session:
        found = iter(session.scalars(sa.select(Host).execution_options(yield_per=2)))
        next(found)
        session.commit()
        with pytest.raises(sa.exc.OperationalError, match="Fetch all rows before") as raised:
            list(found)
    assert isinstance(raised.value.orig, StreamEndedError)


def test_an_unfinished_stream_leaves_the_connection_in_order(engine: sa.Engine) -> None:
    for level in ("SERIALIZABLE", "READ COMMITTED", "AUTOCOMMIT"):
        with engine.connect().execution_options(isolation_level=level) as connection:
            assert connection.execution_options(stream_results=True).execute(sa.select(Host)).first() is not None
            assert connection.execute(sa.select(sa.func.count()).select_from(Port)).scalar() == 60


def test_asyncio_reads_what_is_fetched(engine: sa.Engine) -> None:
    asyncio.run(_read_with_asyncio(engine.url))


async def _read_with_asyncio(url: sa.URL) -> None:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        before = driver.rome_stats.rows
        result = await connection.stream(sa.select(Host.id), execution_options={"max_row_buffer": 3})
        assert await anext(result) == (1,)
        assert driver.rome_stats.rows - before <= 6
        assert [row.id async for row in result] == [*HOSTS][1:]
        assert driver.rome_stats.rows - before == 30
    await engine.dispose()
