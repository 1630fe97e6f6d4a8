"""Warnings point at the line of the application that asked, whatever it asked by."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

from rome.errors import FullScanWarning
from tests.support.databases import Connect

Check = Callable[[Callable[[], object]], None]


class Base(DeclarativeBase): ...


class Parent(Base):
    __tablename__ = "parent"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    children: Mapped[list[Child]] = relationship()


class Child(Base):
    __tablename__ = "child"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent: Mapped[int] = mapped_column(sa.ForeignKey("parent.id"))


@pytest.fixture
def warning_engine(make_engine: Callable[..., Engine]) -> Engine:
    quiet = make_engine()
    Base.metadata.create_all(quiet)
    with Session(quiet) as session, session.begin():
        session.add(Parent(id=1, name="one"))
    return make_engine(connect_args={"full_scan": "warn"})


@pytest.fixture
def lines() -> Check:
    """Runs a function of one line, and sees that it was warned, and that the warning is of that line."""

    def check(run: Callable[[], object]) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run()
        _, first = inspect.getsourcelines(run)
        assert [(each.category, each.filename, each.lineno) for each in caught] == [(FullScanWarning, __file__, first)]

    return check


def test_the_driver(warning_engine: Engine, connect: Connect, lines: Check) -> None:
    connection = connect(full_scan="warn")
    lines(lambda: connection.execute("SELECT * FROM parent"))
    lines(lambda: connection.cursor().execute("SELECT * FROM parent"))
    lines(lambda: connection.executescript("SELECT * FROM parent"))
    lines(lambda: connection.executemany("UPDATE parent SET name = ? WHERE name = ?", [("a", "b")]))


def test_core(warning_engine: Engine, lines: Check) -> None:
    with warning_engine.connect() as connection:
        lines(lambda: connection.execute(sa.select(Parent.__table__)))
        lines(lambda: connection.exec_driver_sql("SELECT * FROM parent").all())
        lines(lambda: connection.scalar(sa.text("SELECT name FROM parent")))


def test_orm(warning_engine: Engine, lines: Check) -> None:
    with Session(warning_engine) as session:
        lines(lambda: session.scalars(sa.select(Parent)).all())
        lines(lambda: session.query(Parent).filter_by(name="one").first())
        parent = session.get_one(Parent, 1)
        lines(lambda: parent.children)
        session.add(Parent(id=2, name="two"))
        lines(lambda: session.execute(sa.update(Parent).where(Parent.name == "none").values(name="some")))


def test_what_a_block_does_at_its_end(warning_engine: Engine) -> None:
    """sessionmaker.begin() is a generator, so that contextlib stands between it and the application."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with sessionmaker(warning_engine).begin() as session:
            session.delete(session.get_one(Parent, 1))  # its children are looked for at the flush
    assert [(each.category, each.filename) for each in caught] == [(FullScanWarning, __file__)]
