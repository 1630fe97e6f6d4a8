"""Versions handed from process to process: rome.last_version, rome.at_least, and the execution option."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import rome
from rome.dbapi import Connection
from rome.errors import InterfaceError, NotSupportedError, ProgrammingError, StoreBusyError, VersionTokenError
from rome.store.spi import Snapshot
from rome.transaction.version_token import decode_token, encode_token
from tests.support.databases import Connect, database, on


@pytest.fixture(params=on("memory", "lmdb", "redis", "valkey", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def one(connect: Connect) -> Connection:
    connection = connect()
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v INT)")
    connection.execute("INSERT INTO t VALUES (1, 10)")
    connection.commit()
    return connection


def version(token: str) -> int:
    return decode_token(token).snapshot.version


def moved(token: str, by: int) -> str:
    """A token of another version; as one that was made for a database named `name`."""
    snapshot = decode_token(token).snapshot
    return encode_token(Snapshot(snapshot.incarnation, snapshot.version + by), "whatever")


class TestLastVersion:
    def test_it_is_that_of_the_last_commit(self, one: Connection) -> None:
        before = one.last_version()
        one.execute("UPDATE t SET v = 11")
        one.commit()
        assert version(one.last_version()) > version(before)
        assert one.last_version() == one.last_version()

    def test_it_is_printable_and_short(self, one: Connection) -> None:
        token = one.last_version()
        assert len(token) < 50
        assert set(token) <= {*map(chr, range(33, 127))} - {"/", "+", "=", "%", "&", "?", "#"}

    def test_it_costs_no_round_trip(self, one: Connection) -> None:
        before = one.rome_stats.round_trips
        one.last_version()
        assert one.rome_stats.round_trips == before

    def test_it_is_the_processs_also_on_a_connection_that_has_seen_less(
        self, one: Connection, connect: Connect
    ) -> None:
        """A session gives its connection back at COMMIT, and may get another one afterwards."""
        other = connect()
        one.execute("UPDATE t SET v = 11")
        one.commit()
        assert other.last_version() == one.last_version()

    def test_what_was_read_counts(self, one: Connection, connect: Connect) -> None:
        reader = connect()
        reader.execute("SELECT * FROM t").fetchall()
        assert version(reader.last_version()) >= version(one.last_version())

    def test_every_object_of_sqlalchemys_has_it(self, one: Connection, make_engine: Callable[..., sa.Engine]) -> None:
        engine = make_engine()
        with Session(engine) as session:
            session.execute(sa.text("UPDATE t SET v = 12"))
            session.commit()
            expected = one.last_version()
            assert rome.last_version(session) == expected
        with engine.connect() as connection:
            assert rome.last_version(connection) == expected
            assert rome.last_version(connection.connection) == expected
        assert rome.last_version(engine) == expected
        assert rome.last_version(scoped_session(sessionmaker(engine))) == expected
        assert rome.last_version(one) == expected

    def test_asyncio(self, one: Connection, url: str) -> None:
        async def use() -> list[str]:
            engine = create_async_engine(url)
            async with AsyncSession(engine) as session:
                await session.execute(sa.text("UPDATE t SET v = 12"))
                await session.commit()
                found = [rome.last_version(session), rome.last_version(engine)]
            async with engine.connect() as connection:
                found.append(rome.last_version(connection))
            await engine.dispose()
            return found

        assert asyncio.run(use()) == [one.last_version()] * 3

    def test_engine_that_was_not_used_yet_has_none(self, url: str, make_engine: Callable[..., sa.Engine]) -> None:
        with pytest.raises(InterfaceError, match="nothing was read or committed with this engine yet"):
            rome.last_version(make_engine())

    def test_what_is_not_romes_is_refused(self) -> None:
        for other in (sa.create_engine("sqlite://"), object()):
            with pytest.raises(InterfaceError, match="is no session, connection or engine of Rome's"):
                rome.last_version(other)


class TestAtLeast:
    def test_a_version_that_was_given_is_taken(self, one: Connection, connect: Connect) -> None:
        other = connect()
        one.execute("UPDATE t SET v = 11")
        one.commit()
        other.at_least(one.last_version())
        assert other.execute("SELECT v FROM t").fetchall() == [(11,)]
        other.at_least(one.last_version())  # also inside the transaction

    @pytest.mark.parametrize("token", ["", "v1.", "v2.AAAA", "v1.?", "hello", None, 7, b"v1.AAAA"])
    def test_what_is_no_token_is_refused_at_once(self, one: Connection, token: str) -> None:
        with pytest.raises(VersionTokenError, match=r"is not a version that rome\.last_version has given"):
            one.at_least(token)

    def test_a_damaged_token_is_refused_at_once(self, one: Connection) -> None:
        token = one.last_version()
        for damaged in (token[:-1], token + "A", token[:5] + ("A" if token[5] != "A" else "B") + token[6:]):
            with pytest.raises(VersionTokenError, match="or not all of it"):
                one.at_least(damaged)

    def test_another_databases_is_refused_at_once(
        self, one: Connection, request: pytest.FixtureRequest, url: str
    ) -> None:
        with (
            database("memory", request) as elsewhere,
            closing(rome.connect(elsewhere)) as other,
            pytest.raises(VersionTokenError, match="gave it for another database"),
        ):
            one.at_least(other.last_version())

    def test_another_historys_is_refused_by_the_next_statement_and_only_by_that(self, one: Connection) -> None:
        lost = encode_token(Snapshot(b"?" * 16, 1), one._database)
        one.at_least(lost)
        with pytest.raises(VersionTokenError, match="of another history of this database"):
            one.execute("SELECT v FROM t")
        one.rollback()
        assert one.execute("SELECT v FROM t").fetchall() == [(10,)]

    def test_a_version_that_the_store_does_not_have_is_refused(self, one: Connection) -> None:
        one.at_least(moved(one.last_version(), 1000))
        with pytest.raises(StoreBusyError, match="a replica that is behind"):
            one.execute("SELECT v FROM t")
        one.rollback()
        assert one.execute("SELECT v FROM t").fetchall() == [(10,)]

    def test_a_transaction_that_has_read_something_older_refuses_it(self, one: Connection, connect: Connect) -> None:
        other = connect()
        other.execute("SELECT v FROM t").fetchall()
        one.execute("UPDATE t SET v = 11")
        one.commit()
        with pytest.raises(VersionTokenError, match="COMMIT or ROLLBACK first"):
            other.at_least(one.last_version())
        other.rollback()
        other.at_least(one.last_version())
        assert other.execute("SELECT v FROM t").fetchall() == [(11,)]

    def test_read_committed_takes_it_for_the_next_statement(self, one: Connection, connect: Connect) -> None:
        other = connect(isolation_level="READ COMMITTED")
        other.execute("SELECT v FROM t").fetchall()
        one.execute("UPDATE t SET v = 11")
        one.commit()
        other.at_least(one.last_version())
        assert other.execute("SELECT v FROM t").fetchall() == [(11,)]

    def test_execution_option_of_a_statement_a_connection_and_an_engine(
        self, one: Connection, make_engine: Callable[..., sa.Engine]
    ) -> None:
        engine = make_engine()
        good, ahead = one.last_version(), moved(one.last_version(), 1000)
        query = sa.text("SELECT v FROM t")
        with engine.connect() as connection:
            assert connection.execute(query, execution_options={"rome_at_least": good}).all() == [(10,)]
            connection.rollback()
            attempts: list[Callable[[], object]] = [
                lambda: connection.execute(query, execution_options={"rome_at_least": ahead}),
                lambda: engine.execution_options(rome_at_least=ahead).connect().execute(query),
                lambda: Session(engine).execute(query, execution_options={"rome_at_least": ahead}),
            ]
            for refused in attempts:
                with pytest.raises(sa.exc.OperationalError, match="a replica that is behind"):
                    refused()
                connection.rollback()
            connection.execution_options(rome_at_least=ahead)
            with pytest.raises(sa.exc.OperationalError, match="a replica that is behind"):
                connection.execute(query)

    def test_function_on_every_object_of_sqlalchemys(
        self, one: Connection, make_engine: Callable[..., sa.Engine]
    ) -> None:
        engine = make_engine()
        good, ahead = one.last_version(), moved(one.last_version(), 1000)
        query = sa.text("SELECT v FROM t")
        with engine.connect() as connection:
            rome.at_least(connection, good)
            assert connection.execute(query).all() == [(10,)]
            connection.rollback()
            rome.at_least(connection, ahead)
            with pytest.raises(sa.exc.OperationalError, match="a replica that is behind"):
                connection.execute(query)
        with Session(engine) as session:
            rome.at_least(session, ahead)
            with pytest.raises(sa.exc.OperationalError, match="a replica that is behind"):
                session.execute(query)
        rome.at_least(engine, good)
        with pytest.raises(StoreBusyError):
            rome.at_least(engine, ahead)
        with engine.connect() as connection:  # which the refusal has left as it was
            assert connection.execute(query).all() == [(10,)]

    def test_asyncio(self, one: Connection, url: str) -> None:
        good, ahead = one.last_version(), moved(one.last_version(), 1000)
        query = sa.text("SELECT v FROM t")

        async def use() -> None:
            engine = create_async_engine(url)
            async with AsyncSession(engine) as session:
                await session.run_sync(rome.at_least, good)
                assert (await session.execute(query)).all() == [(10,)]
                with pytest.raises(NotSupportedError, match=r"await session.run_sync\(rome.at_least, version\)"):
                    rome.at_least(session, good)
            async with engine.connect() as connection:
                rome.at_least(connection, ahead)
                with pytest.raises(sa.exc.OperationalError, match="a replica that is behind"):
                    await connection.execute(query)
            async with engine.execution_options(rome_at_least=good).connect() as connection:
                assert (await connection.execute(query)).all() == [(10,)]
            with pytest.raises(NotSupportedError, match=r"engine.execution_options\(rome_at_least=version\)"):
                rome.at_least(engine, good)
            await engine.dispose()

        asyncio.run(use())


def test_errors_say_that_they_are_the_programs() -> None:
    assert issubclass(VersionTokenError, ProgrammingError)
    assert not VersionTokenError.retryable
