"""What applications on SQLAlchemy do on SQLite, where only changes begin a transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tests.support.databases import database, on


class Base(DeclarativeBase):
    pass


class Message(Base):
    __tablename__ = "message"

    id: Mapped[int] = mapped_column(primary_key=True)
    payload: Mapped[str]
    visible: Mapped[bool] = mapped_column(default=True, index=True)


@pytest.fixture(params=on("memory", "lmdb", "redis"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def filled(engine: Engine) -> Engine:
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Message(payload=text) for text in ("one", "two")])
        session.commit()
    return engine


def test_a_queue_as_kombu_keeps_it(filled: Engine) -> None:
    """Celery's broker: BEGIN IMMEDIATE comes after a query of the same session."""

    def take(session: Session) -> str | None:
        try:
            assert session.query(Message).count() == 2
            session.execute(sa.text("BEGIN IMMEDIATE TRANSACTION"))
            first = (
                session.query(Message)
                .with_for_update()
                .filter(Message.visible != sa.false())
                .order_by(Message.id)
                .limit(1)
                .first()
            )
            if first is not None:
                first.visible = False
            return None if first is None else first.payload
        finally:
            session.commit()

    with Session(filled) as one, Session(filled) as other:
        assert [take(one), take(other), take(one), take(other)] == ["one", "two", None, None]


def test_pragmas_at_connect(make_engine: Callable[..., Engine]) -> None:
    """As oslo.db and many applications set them; they read back what they have set."""
    engine = make_engine()
    answers: list[Any] = []

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        for pragma in ("foreign_keys = OFF", "synchronous = OFF", "journal_mode = WAL", "busy_timeout = 20000"):
            cursor.execute(f"PRAGMA {pragma}")
            answers.append(cursor.fetchone())
        cursor.close()

    with engine.connect() as connection:
        for name, value in [("foreign_keys", 0), ("synchronous", 0), ("journal_mode", "wal"), ("busy_timeout", 20000)]:
            assert connection.exec_driver_sql(f"PRAGMA {name}").scalar() == value
    assert answers == [None, None, ("wal",), (20000,)]


def test_the_recipe_for_begin(make_engine: Callable[..., Engine], filled: Engine) -> None:
    """SQLAlchemy's documentation of pysqlite: switch its transactions off, and say BEGIN."""
    engine = make_engine()

    @event.listens_for(engine, "connect")
    def switch_off(connection: Any, _: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    add = sa.insert(Message)
    with engine.begin() as connection:
        connection.execute(add, {"payload": "kept"})
        with connection.begin_nested() as savepoint:
            connection.execute(add, {"payload": "undone"})
            savepoint.rollback()
    with engine.connect() as connection:
        connection.execute(add, {"payload": "lost"})
    with engine.connect() as connection:
        found = connection.scalars(sa.select(Message.payload).order_by(Message.id)).all()
    assert found == ["one", "two", "kept"]


def test_foreign_keys_in_a_block_of_begin(filled: Engine) -> None:
    with filled.begin() as connection:
        connection.execute(sa.select(Message)).all()
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 0


def test_sqlite3s_isolation_levels_as_arguments(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(connect_args={"isolation_level": "IMMEDIATE"})
    with engine.connect() as connection:
        assert connection.get_isolation_level() == "SERIALIZABLE"
        connection.execution_options(isolation_level="READ UNCOMMITTED")
        assert connection.get_isolation_level() == "READ UNCOMMITTED"
    with engine.connect() as connection:
        assert connection.get_isolation_level() == "SERIALIZABLE"
