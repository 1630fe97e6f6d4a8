"""The dialect under SQLAlchemy: URLs, pool, isolation levels, disconnects, FOR UPDATE, types, reflection."""

from __future__ import annotations

import datetime
import gc
import os
import socket
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, orm, pool
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

import rome
from rome import dbapi
from rome.dialect import RomeDialect
from rome.errors import AuthenticationError, ConflictError, StoreUnavailableError, URLError
from rome.store.memory import MemoryStore
from tests.support.servers import Server, StartServer

metadata = sa.MetaData()
counter = sa.Table("counter", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer))


@pytest.fixture
def counting(engine: Engine) -> Engine:
    """An engine on a database that has a counter at 0."""
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(counter.insert().values(id=1, n=0))
    return engine


class TestEngine:
    def test_is_sqlite_by_name_and_rome_by_driver(self, engine: Engine) -> None:
        assert (engine.dialect.name, engine.dialect.driver) == ("sqlite", "rome")
        assert isinstance(engine.dialect, RomeDialect)

    def test_every_store_has_an_entry_point(self, tmp_path: Path) -> None:
        for url in ("rome+memory:///x", f"rome+lmdb:///{tmp_path}/x", "rome+redis://localhost/x"):
            engine = sa.create_engine(url)
            assert isinstance(engine.dialect, RomeDialect)
            assert isinstance(engine.pool, pool.QueuePool)

    @pytest.mark.parametrize("url", ["rome://host/nova", "rome+redis://host", "rome+memory:///x?colour=red"])
    def test_a_wrong_url_fails_at_once(self, url: str) -> None:
        with pytest.raises(URLError):
            sa.create_engine(url)

    def test_an_unknown_store_is_an_unknown_dialect(self) -> None:
        with pytest.raises(NoSuchModuleError, match=r"rome\.etcetera"):
            sa.create_engine("rome+etcetera:///x")

    def test_options_come_by_url_and_by_connect_args(self, make_engine: Callable[..., Engine]) -> None:
        with make_engine(connect_args={"isolation_level": "READ COMMITTED"}).connect() as connection:
            assert connection.get_isolation_level() == "READ COMMITTED"
            assert connection.default_isolation_level == "READ COMMITTED"

    def test_server_version_is_sqlites(self, engine: Engine) -> None:
        with engine.connect():
            assert engine.dialect.server_version_info == dbapi.sqlite_version_info

    def test_first_connect_asks_the_store_nothing(self, engine: Engine) -> None:
        with engine.connect() as connection:
            assert _trips(connection) == 0

    def test_raw_connection_is_the_drivers(self, engine: Engine) -> None:
        raw = engine.raw_connection()
        assert isinstance(raw.dbapi_connection, dbapi.Connection)
        raw.close()


class TestStores:
    @pytest.mark.lmdb
    def test_lmdb(self, tmp_path: Path) -> None:
        self.count_on(f"rome+lmdb:///{tmp_path}/counter.rome")

    @pytest.mark.redis
    @pytest.mark.filterwarnings("ignore::rome.errors.PersistenceWarning")
    def test_redis(self, redis_server: Server) -> None:
        self.count_on(f"rome+redis://{redis_server.host}:{redis_server.port}/counter")

    @pytest.mark.valkey
    @pytest.mark.filterwarnings("ignore::rome.errors.PersistenceWarning")
    def test_valkey(self, valkey_server: Server) -> None:
        self.count_on(f"rome+redis://{valkey_server.host}:{valkey_server.port}/counter")

    def count_on(self, url: str) -> None:
        engine = sa.create_engine(url)
        metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(counter.insert().values(id=1, n=41))
        with engine.begin() as connection:
            connection.execute(counter.update().values(n=counter.c.n + 1))
        with engine.connect() as connection:
            assert connection.execute(sa.select(counter)).all() == [(1, 42)]
        engine.dispose()
        rome.drop_database(url)


class TestRowcount:
    """SQLAlchemy's is asked for late, and is what it is with every other driver."""

    def test_of_statements_of_every_form(self, counting: Engine) -> None:
        with counting.begin() as connection:
            connection.execute(counter.insert(), [{"id": n, "n": n} for n in (2, 3)])
            asked = [
                connection.execute(counter.update().values(n=7)),
                connection.execute(sa.text("UPDATE counter SET n = 8 WHERE id > 1")),
                connection.exec_driver_sql("DELETE FROM counter WHERE id = 1"),
                connection.execute(sa.text("INSERT OR IGNORE INTO counter VALUES (2, 2)")),
                connection.execute(counter.delete().where(counter.c.id == 2).returning(counter.c.id)),
                connection.execute(sa.text("SELECT 1")),
                connection.execute(sa.text("SAVEPOINT s")),
            ]
            assert [result.rowcount for result in asked] == [3, 2, 1, 0, 1, -1, -1]
        assert [result.rowcount for result in asked] == [3, 2, 1, 0, 1, -1, -1]

    def test_of_many_statements_together(self, counting: Engine) -> None:
        with counting.begin() as connection:
            told = connection.execution_options(preserve_rowcount=True)
            rows = [{"id": n, "n": n} for n in range(2, 5)]
            inserted = told.execute(counter.insert().returning(counter.c.id), rows)
            updated = told.execute(counter.update().where(counter.c.id == sa.bindparam("i")), [{"i": 2, "n": 5}])
            assert (inserted.rowcount, updated.rowcount) == (3, 1)

    @pytest.mark.parametrize("asks", [True, False])
    def test_decides_only_once_it_is_asked_for(self, counting: Engine, asks: bool) -> None:
        with counting.connect() as slow, counting.begin() as quick:
            result = slow.execute(sa.text("INSERT OR IGNORE INTO counter VALUES (2, 2)"))
            if asks:
                assert result.rowcount == 1
            quick.execute(counter.insert().values(id=2, n=3))
            quick.commit()
            if asks:
                with pytest.raises(OperationalError):
                    slow.commit()
            else:
                slow.commit()
                assert result.rowcount == 0


class TestFailingToConnect:
    def test_to_a_server_that_is_not_there(self) -> None:
        with socket.socket() as bound:  # and not listening
            bound.bind(("127.0.0.1", 0))
            engine = sa.create_engine(f"rome+redis://127.0.0.1:{bound.getsockname()[1]}/x")
            with pytest.raises(OperationalError) as caught:
                engine.connect()
        assert isinstance(caught.value.orig, StoreUnavailableError)

    @pytest.mark.redis
    def test_with_a_wrong_password_which_is_not_shown(self, start_server: StartServer) -> None:
        server = start_server("redis", {"requirepass": "right"})
        engine = sa.create_engine(f"rome+redis://:wr0ng@{server.host}:{server.port}/x")
        with pytest.raises(OperationalError) as caught:
            engine.connect()
        assert isinstance(caught.value.orig, AuthenticationError)
        assert "wr0ng" not in str(caught.value)


class TestPrivateDatabase:
    def test_is_shared_by_all_connections_of_the_engine(self) -> None:
        engine = sa.create_engine("rome+memory://")
        metadata.create_all(engine)
        with engine.begin() as one:
            one.execute(counter.insert().values(id=1, n=7))
        with engine.connect() as one, engine.connect() as other:
            assert one.connection.dbapi_connection is not other.connection.dbapi_connection
            assert other.scalar(sa.select(counter.c.n)) == 7
        engine.dispose()

    def test_is_hidden_from_other_engines(self) -> None:
        one, other = sa.create_engine("rome+memory://"), sa.create_engine("rome+memory://")
        metadata.create_all(one)
        assert sa.inspect(one).get_table_names() == ["counter"]
        assert sa.inspect(other).get_table_names() == []
        one.dispose()
        other.dispose()

    def test_is_dropped_some_time_after_its_engine_is_gone(self) -> None:
        existing = set(rome.list_databases("rome+memory://"))
        engine = sa.create_engine("rome+memory://")
        engine.connect().close()
        (name,) = set(rome.list_databases("rome+memory://")) - existing
        engine.dispose()
        gone = weakref.ref(engine.dialect)
        del engine
        gc.collect()
        assert gone() is None
        rome.connect("rome+memory://").close()
        assert name not in rome.list_databases("rome+memory://")


class TestIsolationLevels:
    @pytest.mark.parametrize("level", ["SERIALIZABLE", "REPEATABLE READ", "SNAPSHOT", "READ COMMITTED", "AUTOCOMMIT"])
    def test_of_the_engine_and_of_one_connection(self, make_engine: Callable[..., Engine], level: str) -> None:
        engine = make_engine(isolation_level=level, pool_size=1, max_overflow=0)
        other = "SERIALIZABLE" if level != "SERIALIZABLE" else "SNAPSHOT"
        with engine.connect() as connection:
            assert connection.get_isolation_level() == level
        with engine.connect().execution_options(isolation_level=other) as connection:
            connection.execute(sa.text("SELECT 1"))
            assert connection.get_isolation_level() == other
        with engine.connect() as connection:
            assert connection.get_isolation_level() == level

    def test_default_is_serializable(self, engine: Engine) -> None:
        with engine.connect() as connection:
            assert connection.get_isolation_level() == "SERIALIZABLE"
            assert connection.default_isolation_level == "SERIALIZABLE"

    def test_unknown_one_names_the_known(self, make_engine: Callable[..., Engine]) -> None:
        with pytest.raises(ArgumentError, match="READ COMMITTED"):
            make_engine(isolation_level="CHAOS").connect()

    def test_autocommit_shows_each_statement_at_once(self, counting: Engine) -> None:
        with counting.connect().execution_options(isolation_level="AUTOCOMMIT") as writer:
            writer.execute(counter.update().values(n=5))
            with counting.connect() as reader:
                assert reader.scalar(sa.select(counter.c.n)) == 5

    def test_a_lost_update_is_a_conflict_at_commit(self, counting: Engine) -> None:
        with counting.connect() as slow, counting.connect() as quick:
            seen = slow.execute(sa.select(counter.c.n)).scalar_one()
            quick.execute(counter.update().values(n=10))
            quick.commit()
            slow.execute(counter.update().values(n=seen + 1))
            with pytest.raises(OperationalError) as caught:
                slow.commit()
            assert isinstance(caught.value.orig, ConflictError)
            assert caught.value.orig.retryable
            assert not caught.value.connection_invalidated
            slow.rollback()
            assert slow.scalar(sa.select(counter.c.n)) == 10


class TestPool:
    def test_ping_costs_no_round_trip(self, make_engine: Callable[..., Engine]) -> None:
        engine = make_engine(pool_pre_ping=True, pool_size=1)
        with engine.connect() as connection:
            before = connection.connection.dbapi_connection
            trips = _trips(connection)
        with engine.connect() as connection:
            assert connection.connection.dbapi_connection is before
            assert _trips(connection) == trips

    @pytest.mark.parametrize("ping", [True, False])
    def test_checkout_replaces_a_connection_that_is_cut_off(
        self, make_engine: Callable[..., Engine], url: str, ping: bool
    ) -> None:
        engine = make_engine(pool_pre_ping=ping)
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
        rome.drop_database(url)
        metadata.create_all(engine)
        assert sa.inspect(engine).get_table_names() == ["counter"]

    @pytest.mark.lmdb
    def test_a_forked_child_gets_connections_of_its_own(self, tmp_path: Path) -> None:
        engine = sa.create_engine(f"rome+lmdb:///{tmp_path}/fork.rome")
        metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(counter.insert().values(id=1, n=0))
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with engine.begin() as connection:
                    connection.execute(counter.update().values(n=counter.c.n + 1))
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0) == (child, 0)
        with engine.begin() as connection:
            connection.execute(counter.update().values(n=counter.c.n + 1))
            assert connection.scalar(sa.select(counter.c.n)) == 2
        engine.dispose()

    def test_a_lost_store_is_a_disconnect_and_the_pool_recovers(
        self, counting: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def read(*_: object) -> None:
            raise StoreUnavailableError("the store hung up")

        with counting.connect() as connection:
            before = connection.connection.dbapi_connection
            with monkeypatch.context() as broken:
                broken.setattr(MemoryStore, "read", read)
                with pytest.raises(DBAPIError, match="hung up") as caught:
                    connection.execute(sa.select(counter))
            assert caught.value.connection_invalidated
        with counting.connect() as connection:
            assert connection.connection.dbapi_connection is not before
            assert connection.scalar(sa.select(counter.c.n)) == 0

    def test_a_connection_closed_behind_the_pools_back_is_a_disconnect(self, counting: Engine) -> None:
        with counting.connect() as connection:
            connection.connection.dbapi_connection.close()  # type: ignore[union-attr]
            with pytest.raises(DBAPIError, match="closed database") as caught:
                connection.execute(sa.select(counter))
            assert caught.value.connection_invalidated

    def test_threads_share_it_and_lose_no_update(self, counting: Engine) -> None:
        def increment(_: int) -> None:
            while True:
                try:
                    with counting.begin() as connection:
                        seen = connection.execute(sa.select(counter.c.n)).scalar_one()
                        connection.execute(counter.update().values(n=seen + 1))
                except OperationalError as error:
                    if not isinstance(error.orig, ConflictError):
                        raise
                else:
                    return

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(increment, range(100)))
        with counting.connect() as connection:
            assert connection.scalar(sa.select(counter.c.n)) == 100


class TestForUpdate:
    @pytest.mark.parametrize(
        ("options", "clause"),
        [
            ({}, " FOR UPDATE"),
            ({"read": True}, " FOR UPDATE"),
            ({"of": counter}, " FOR UPDATE"),
            ({"nowait": True}, " FOR UPDATE NOWAIT"),
            ({"skip_locked": True}, " FOR UPDATE SKIP LOCKED"),
        ],
    )
    def test_is_rendered(self, engine: Engine, options: dict[str, object], clause: str) -> None:
        statement = sa.select(counter.c.n).limit(1).with_for_update(**options)  # type: ignore[arg-type]
        assert str(statement.compile(engine)).endswith(clause)

    def test_is_not_rendered_unasked(self, engine: Engine) -> None:
        assert "FOR UPDATE" not in str(sa.select(counter.c.n).compile(engine))

    def test_makes_a_row_that_was_only_read_conflict(self, counting: Engine) -> None:
        with counting.connect().execution_options(isolation_level="READ COMMITTED") as slow:
            slow.execute(sa.select(counter).with_for_update()).all()
            with counting.begin() as quick:
                quick.execute(counter.update().values(n=10))
            with pytest.raises(OperationalError) as caught:
                slow.commit()
            assert isinstance(caught.value.orig, ConflictError)
            slow.rollback()


class TestTypes:
    def test_values_survive(self, engine: Engine) -> None:
        columns: dict[str, tuple[sa.types.TypeEngine[Any], object]] = {
            "boolean": (sa.Boolean(), True),
            "date": (sa.Date(), datetime.date(2026, 2, 3)),
            "datetime": (sa.DateTime(), datetime.datetime(2026, 2, 3, 4, 5, 6, 789)),
            "timestamp": (sa.TIMESTAMP(), datetime.datetime(2026, 2, 3, 4, 5, 6)),
            "time": (sa.Time(), datetime.time(4, 5, 6)),
            "interval": (sa.Interval(), datetime.timedelta(days=1, seconds=2)),
            "float": (sa.Float(), 0.1),
            "bigint": (sa.BigInteger(), -(2**63)),
            "text": (sa.Text(), "Größe\x00 😀"),
            "blob": (sa.LargeBinary(), b"\x00\xff"),
            "json": (sa.JSON(), {"a": [1, None, "ü"]}),
            "enum": (sa.Enum("on", "off"), "off"),
            "uuid": (sa.Uuid(as_uuid=False), "0123456789abcdef0123456789abcdef"),
        }
        table = sa.Table("kinds", sa.MetaData(), *(sa.Column(name, kind) for name, (kind, _) in columns.items()))
        table.create(engine)
        values = {name: value for name, (_, value) in columns.items()}
        with engine.begin() as connection:
            connection.execute(table.insert(), [values, dict.fromkeys(values)])
        with engine.connect() as connection:
            first, second = connection.execute(sa.select(table)).all()
        assert first._asdict() == values | {"uuid": "01234567-89ab-cdef-0123-456789abcdef"}
        assert set(second) == {None}

    def test_regexp(self, engine: Engine) -> None:
        with engine.connect() as connection:
            assert connection.scalar(sa.select(sa.literal("nova-17").regexp_match("-[0-9]+$"))) == 1


class TestOrm:
    def test_relationships_and_returned_keys(self, engine: Engine) -> None:
        class Base(orm.DeclarativeBase):
            pass

        class Host(Base):
            __tablename__ = "hosts"
            id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
            name: orm.Mapped[str] = orm.mapped_column(unique=True)
            guests: orm.Mapped[list[Guest]] = orm.relationship(back_populates="host", order_by="Guest.name")

        class Guest(Base):
            __tablename__ = "guests"
            id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
            host_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("hosts.id"))
            name: orm.Mapped[str]
            host: orm.Mapped[Host] = orm.relationship(back_populates="guests")

        Base.metadata.create_all(engine)
        with orm.Session(engine) as session:
            hosts = [Host(name=f"h{n}", guests=[Guest(name="b"), Guest(name="a")]) for n in range(3)]
            session.add_all(hosts)
            session.commit()
            assert len({host.id for host in hosts}) == 3
        with orm.Session(engine) as session:
            query = sa.select(Host).options(orm.joinedload(Host.guests)).where(Host.name == "h1")
            host = session.scalars(query).unique().one()
            assert [guest.name for guest in host.guests] == ["a", "b"]
            session.add(Host(name="h1"))
            with pytest.raises(sa.exc.IntegrityError, match=r"UNIQUE constraint failed: hosts\.name"):
                session.flush()

    def test_new_objects_get_their_own_ids_in_one_statement(self, engine: Engine) -> None:
        class Base(orm.DeclarativeBase):
            pass

        class Named(Base):
            __tablename__ = "named"
            id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
            name: orm.Mapped[str]

        Base.metadata.create_all(engine)
        statements: list[str] = []
        sa.event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
        with orm.Session(engine) as session:
            named = [Named(name=f"n{number}") for number in range(100)]
            session.add_all(named)
            session.flush()
            ids = {one.name: one.id for one in named}
            session.commit()
        assert len(statements) == 1
        with engine.connect() as connection:
            stored = connection.execute(sa.select(Named.name, Named.id)).all()
        assert {row.name: row.id for row in stored} == ids
        assert len(ids) == 100


class TestReflection:
    def test_tables_columns_keys_and_indexes(self, engine: Engine) -> None:
        made = sa.MetaData()
        sa.Table("parent", made, sa.Column("id", sa.Integer, primary_key=True))
        sa.Table(
            "child",
            made,
            sa.Column("id", sa.String(36), primary_key=True),
            sa.Column("parent_id", sa.ForeignKey("parent.id", ondelete="CASCADE"), nullable=False, index=True),
            sa.Column("rank", sa.Integer, server_default="7"),
            sa.UniqueConstraint("parent_id", "rank", name="uniq_child"),
        )
        made.create_all(engine)
        inspector = sa.inspect(engine)
        assert inspector.get_table_names() == ["child", "parent"]
        assert inspector.get_pk_constraint("child")["constrained_columns"] == ["id"]
        assert [index["name"] for index in inspector.get_indexes("child")] == ["ix_child_parent_id"]
        assert [unique["name"] for unique in inspector.get_unique_constraints("child")] == ["uniq_child"]
        (foreign_key,) = inspector.get_foreign_keys("child")
        assert (foreign_key["referred_table"], foreign_key["options"]) == ("parent", {"ondelete": "CASCADE"})
        reflected = sa.Table("child", sa.MetaData(), autoload_with=engine)
        assert [column.name for column in reflected.columns] == ["id", "parent_id", "rank"]
        assert not reflected.c.parent_id.nullable


def _trips(connection: sa.Connection) -> int:
    raw = connection.connection.dbapi_connection
    assert isinstance(raw, dbapi.Connection)
    return raw.rome_stats.round_trips
