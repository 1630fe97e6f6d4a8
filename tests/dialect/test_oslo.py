"""oslo.db on Rome: its engines, its exceptions, its retries. Stock SQLite must see nothing of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import sqlalchemy as sa
from oslo_db import api, exception
from oslo_db.sqlalchemy import enginefacade, engines, utils
from sqlalchemy import Engine, pool
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship

from rome import errors
from rome.store.memory import MemoryStore

metadata = sa.MetaData()
parent = sa.Table(
    "parent",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("host", sa.String(10)),
    sa.Column("node", sa.String(10)),
    sa.UniqueConstraint("host", "node", name="uniq_parent0host0node"),
)
child = sa.Table(
    "child",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("parent_id", sa.ForeignKey("parent.id")),
)


@pytest.fixture
def oslo_engine(url: str) -> Iterator[Callable[..., Engine]]:
    """Makes engines as oslo.db's facade does; takes its options."""
    with ExitStack() as made:

        def make(**options: object) -> Engine:
            engine: Engine = engines.create_engine(url, **{"max_retries": 0, **options})
            made.callback(engine.dispose)
            return engine

        yield make


@pytest.fixture
def engine(oslo_engine: Callable[..., Engine]) -> Engine:
    """An engine on a database with two tables and one parent."""
    engine = oslo_engine()
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(parent.insert().values(id=1, host="h", node="n"))
    return engine


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def insert_and_commit(connection: sa.Connection) -> None:
    connection.execute(parent.insert().values(host="x"))
    connection.commit()


class TestEngine:
    def test_takes_every_option_of_the_facade(self, oslo_engine: Callable[..., Engine]) -> None:
        engine = oslo_engine(
            sqlite_fk=True,
            sqlite_synchronous=False,
            mysql_sql_mode="TRADITIONAL",
            connection_debug=50,
            connection_trace=True,
            max_pool_size=3,
            max_overflow=2,
            pool_timeout=7,
            connection_parameters="full_scan=allow",
            max_retries=1,
        )
        assert isinstance(engine.pool, pool.QueuePool)
        assert engine.pool.size() == 3
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT 1")) == 1

    def test_facade_retries_until_the_store_is_there(
        self, oslo_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outcomes = iter([errors.StoreUnavailableError("refused"), errors.StoreBusyError("loading")])
        reached = MemoryStore.open

        def open_store(location: object) -> MemoryStore:
            for error in outcomes:
                raise error
            return reached(location)  # type: ignore[arg-type]

        monkeypatch.setattr(MemoryStore, "open", open_store)
        with oslo_engine(max_retries=5, retry_interval=0).connect() as connection:
            assert connection.scalar(sa.text("SELECT 1")) == 1

    def test_facade_gives_up_with_a_connection_error(
        self, oslo_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(MemoryStore, "open", failing(errors.StoreUnavailableError("refused")))
        with pytest.raises(exception.DBConnectionError, match="refused"):
            oslo_engine(max_retries=2, retry_interval=0)


class TestConstraints:
    def test_unique(self, engine: Engine) -> None:
        with engine.connect() as connection, pytest.raises(exception.DBDuplicateEntry) as caught:
            connection.execute(parent.insert().values(host="h", node="n"))
        assert caught.value.columns == ["host", "node"]

    def test_primary_key(self, engine: Engine) -> None:
        with engine.connect() as connection, pytest.raises(exception.DBDuplicateEntry) as caught:
            connection.execute(parent.insert().values(id=1))
        assert caught.value.columns == ["id"]

    def test_foreign_key(self, engine: Engine) -> None:
        with engine.connect() as connection, pytest.raises(exception.DBReferenceError):
            connection.execute(child.insert().values(parent_id=99))

    def test_missing_table(self, engine: Engine) -> None:
        with engine.connect() as connection, pytest.raises(exception.DBNonExistentTable) as caught:
            connection.execute(sa.text("SELECT * FROM nowhere"))
        assert caught.value.table == "nowhere"

    def test_number_too_large(self, engine: Engine) -> None:
        with engine.connect() as connection, pytest.raises(exception.DBDataError):
            connection.execute(parent.insert().values(id=2**70))


class TestSerializationFailure:
    def test_at_commit(self, engine: Engine) -> None:
        with engine.connect() as slow, engine.connect() as quick:
            seen = slow.scalar(sa.select(parent.c.host))
            quick.execute(parent.update().values(host="other"))
            quick.commit()
            slow.execute(parent.update().values(node=f"on {seen}"))
            with pytest.raises(exception.DBDeadlock):
                slow.commit()

    @pytest.mark.parametrize(
        "error",
        [
            errors.ConflictError("row changed"),
            errors.SnapshotTooOldError("trimmed"),
            errors.SnapshotLostError("failed over"),
            errors.CatalogChangedError("altered"),
            errors.CommitAbortedError("never arrived"),
            errors.InterruptedTransactionError("timed out"),
        ],
    )
    @pytest.mark.parametrize("moment", ["execute", "commit"])
    def test_of_every_kind(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch, error: errors.Error, moment: str
    ) -> None:
        with engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            monkeypatch.setattr(raw.session, moment, failing(error))  # type: ignore[union-attr]
            with pytest.raises(exception.DBDeadlock) as caught:
                insert_and_commit(connection)
            assert caught.value.inner_exception.orig is error
            assert not connection.invalidated

    def test_at_the_end_of_a_savepoint(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        with engine.connect() as connection:
            savepoint = connection.begin_nested()
            raw = connection.connection.dbapi_connection
            monkeypatch.setattr(raw.session, "execute", failing(errors.ConflictError("row changed")))  # type: ignore[union-attr]
            with pytest.raises(exception.DBDeadlock):
                savepoint.commit()

    def test_is_retried_by_oslo(self, engine: Engine) -> None:
        attempts: list[str] = []

        def increment() -> None:
            with engine.begin() as slow:
                seen = slow.execute(sa.select(parent.c.host)).scalar_one()
                if not attempts:
                    with engine.begin() as quick:
                        quick.execute(parent.update().values(host=seen + "+"))
                attempts.append(seen)
                slow.execute(parent.update().values(host=seen + "+"))

        api.wrap_db_retry(max_retries=3, retry_on_deadlock=True, retry_interval=0)(increment)()
        assert attempts == ["h", "h+"]
        with engine.connect() as connection:
            assert connection.scalar(sa.select(parent.c.host)) == "h++"

    def test_at_the_end_of_a_facades_writer(self, url: str) -> None:
        facade = enginefacade.transaction_context()
        facade.configure(connection=url, max_retries=0)
        metadata.create_all(facade.writer.get_engine())

        def add_two() -> None:
            with facade.writer.using(Context()) as session:
                session.execute(sa.select(parent)).all()
                with facade.writer.independent.using(Context()) as other:
                    other.execute(parent.insert().values(host="first"))
                session.execute(parent.insert().values(host="second"))

        with pytest.raises(exception.DBDeadlock):
            add_two()
        facade.dispose_pool()


class TestLostRace:
    """A key that another transaction commits first is a duplicate entry, as if that one had been waited for."""

    @pytest.mark.parametrize("level", ["SERIALIZABLE", "READ COMMITTED"])
    def test_for_a_unique_key(self, engine: Engine, level: str) -> None:
        with engine.connect().execution_options(isolation_level=level) as loser, engine.begin() as winner:
            loser.execute(parent.insert().values(host="x", node="y"))
            winner.execute(parent.insert().values(id=900, host="x", node="y"))
            winner.commit()
            with pytest.raises(exception.DBDuplicateEntry) as caught:
                loser.commit()
        assert caught.value.columns == ["host", "node"]

    def test_for_a_parent(self, engine: Engine) -> None:
        with engine.connect() as loser, engine.begin() as winner:
            loser.execute(child.insert().values(parent_id=1))
            winner.execute(parent.delete())
            winner.commit()
            with pytest.raises(exception.DBReferenceError):
                loser.commit()

    def test_at_the_end_of_a_facades_writer(self, url: str) -> None:
        facade = enginefacade.transaction_context()
        facade.configure(connection=url, max_retries=0)
        metadata.create_all(facade.writer.get_engine())

        def add(name: str) -> None:
            with facade.writer.using(Context()) as session:
                session.execute(parent.insert().values(host=name, node="y"))
                if name == "slow":
                    with facade.writer.independent.using(Context()) as other:
                        other.execute(parent.insert().values(id=900, host="slow", node="y"))

        with pytest.raises(exception.DBDuplicateEntry):
            add("slow")
        add("next")
        facade.dispose_pool()


class TestUnavailable:
    @pytest.mark.parametrize("moment", ["execute", "commit"])
    def test_is_a_connection_error_and_the_pool_recovers(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        with engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            monkeypatch.setattr(raw.session, moment, failing(errors.StoreUnavailableError("gone")))  # type: ignore[union-attr]
            with pytest.raises(exception.DBConnectionError):
                insert_and_commit(connection)
            assert connection.invalidated
        with engine.connect() as connection:
            assert connection.scalar(sa.select(parent.c.host)) == "h"

    def test_an_unknown_outcome_is_neither_deadlock_nor_disconnect(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            monkeypatch.setattr(raw.session, "commit", failing(errors.CommitUnknownError("no answer")))  # type: ignore[union-attr]
            connection.execute(parent.insert().values(host="x"))
            with pytest.raises(OperationalError, match="no answer") as caught:
                connection.commit()
            assert isinstance(caught.value.orig, errors.CommitUnknownError)
            assert not connection.invalidated


class Context:
    """The object to which oslo.db's facade attaches its transaction."""


enginefacade.transaction_context_provider(Context)


class TestOthers:
    def test_stock_sqlite_keeps_its_errors(self) -> None:
        stock: Engine = engines.create_engine("sqlite://", max_retries=0)
        with stock.connect() as connection, pytest.raises(OperationalError, match="syntax error"):
            connection.execute(sa.text("SELEKT 1"))
        stock.dispose()

    def test_nobody_pays_for_oslo_unasked(self) -> None:
        program = "import sys, sqlalchemy as sa; sa.create_engine('rome+memory://'); print('oslo_db' in sys.modules)"
        found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == "False"

    def test_oslo_imported_after_the_dialect_is_served_as_well(self, url: str) -> None:
        program = (
            "import sqlalchemy as sa, rome.dialect, sys\n"
            f"sa.create_engine({url!r})\n"
            "from oslo_db.sqlalchemy import engines\n"
            f"engines.create_engine({url!r}, max_retries=0)\n"
            "print('rome.oslo' in sys.modules)"
        )
        found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == "True"


class Base(DeclarativeBase): ...


class Server(Base):
    __tablename__ = "servers"
    __table_args__ = (sa.Index("servers_created", "deleted", "created"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    created: Mapped[int | None]
    deleted: Mapped[int]
    tags: Mapped[list[Tag]] = relationship()


class Tag(Base):
    __tablename__ = "tags"
    id: Mapped[int] = mapped_column(primary_key=True)
    server: Mapped[int] = mapped_column(sa.ForeignKey("servers.id"), index=True)


@pytest.fixture
def servers(oslo_engine: Callable[..., Engine]) -> Engine:
    engine = oslo_engine()
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        rows = [{"id": n, "created": n // 3 if n > 20 else None, "deleted": n % 2} for n in range(1, 601)]
        connection.execute(sa.insert(Server), rows)
        connection.execute(sa.insert(Tag), [{"id": n, "server": n} for n in range(1, 601)])
    return engine


@pytest.mark.parametrize("directions", [["asc", "asc"], ["desc", "desc"], ["desc-nullslast", "desc"]], ids=str)
def test_every_page_of_paginate_query_costs_the_same(servers: Engine, directions: list[str]) -> None:
    """The ids of all pages are those of one long list, and each page is read for itself, with its tags."""
    marker, seen, costs = None, [], []
    with Session(servers) as session:
        everything = sa.select(Server.id).where(Server.deleted == 0, Server.created.is_not(None))
        order = [sa.asc, sa.desc][directions[1] == "desc"]
        expected = session.scalars(everything.order_by(order(Server.created), order(Server.id))).all()
    while True:
        with Session(servers) as session:
            raw = session.connection().connection.dbapi_connection
            assert raw is not None
            stats = raw.rome_stats
            query = session.query(Server).options(joinedload(Server.tags)).filter_by(deleted=0)
            query = query.filter(Server.created.is_not(None))
            found = utils.paginate_query(
                query, Server, 10, ["created", "id"], marker=marker, sort_dirs=directions
            ).all()
            after = raw.rome_stats
            costs.append((after.round_trips - stats.round_trips, after.rows - stats.rows))
            assert all([tag.id for tag in server.tags] == [server.id] for server in found)
            seen += [server.id for server in found]
            if len(found) < 10:
                break
            marker = found[-1]
            session.expunge_all()
    assert seen == list(expected)
    assert max(trips for trips, _ in costs) == 2
    assert max(rows for _, rows in costs) <= 60
