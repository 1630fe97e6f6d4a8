"""Get-or-create, as applications have it: written for databases where the loser of a race waits and sees the winner.

Each takes a session, whose transaction it may end, and gives the id of the one row of that name.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

Recipe = Callable[[Session, str], int]


class Base(DeclarativeBase): ...


class Tag(Base):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50), unique=True)


def find(session: Session, name: str) -> int | None:
    return session.scalar(sa.select(Tag.id).where(Tag.name == name))


def found(session: Session, name: str) -> int:
    tag = find(session, name)
    assert tag is not None, "neither made nor found"
    return tag


def insert_first(session: Session, name: str) -> int:
    """Insert; if that fails, somebody was first."""
    tag = Tag(name=name)
    session.add(tag)
    try:
        session.commit()
    except IntegrityError:
        session.rollback()
        return found(session, name)
    return tag.id


def look_first(session: Session, name: str) -> int:
    """The most frequent one: look, then insert, and look again if that fails. Needs a level below SERIALIZABLE."""
    tag = find(session, name)
    if tag is not None:
        return tag
    session.add(Tag(name=name))
    try:
        session.commit()
    except IntegrityError:
        session.rollback()
    return found(session, name)


def in_a_savepoint(session: Session, name: str) -> int:
    """The failure is caught inside a larger transaction; a conflict runs that again."""
    while True:
        try:
            try:
                with session.begin_nested():
                    session.add(Tag(name=name))
            except IntegrityError:
                pass
            tag = found(session, name)
            session.commit()
        except OperationalError as error:
            if not getattr(error.orig, "retryable", False):
                raise
            session.rollback()
        else:
            return tag


def do_nothing(session: Session, name: str) -> int:
    """Let the database leave it out. With an id of its own, or SQLAlchemy would ask for the new one."""
    table = Tag.__table__
    assert isinstance(table, sa.Table)
    session.execute(insert(table).values(name=name).on_conflict_do_nothing().inline())
    session.commit()
    return found(session, name)


def or_ignore(session: Session, name: str) -> int:
    session.execute(sa.text("INSERT OR IGNORE INTO tag (name) VALUES (:name)"), {"name": name})
    session.commit()
    return found(session, name)


BELOW_SERIALIZABLE: list[Recipe] = [look_first]
AT_EVERY_LEVEL: list[Recipe] = [insert_first, in_a_savepoint, do_nothing, or_ignore]
