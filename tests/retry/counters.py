"""A counter, and a competitor that is always faster."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase): ...


class Counter(Base):
    __tablename__ = "counter"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int]


ADD = sa.update(Counter).where(Counter.id == 1).values(n=Counter.n + 1)
READ = sa.select(Counter.n).where(Counter.id == 1)


class Rival:
    """Commits an increment of the counter, after the transaction under test has read it, as often as told."""

    def __init__(self, engine: Engine, times: int) -> None:
        self._engine, self._left = engine, times
        self.attempts = 0

    def add(self, on: Connection | Session) -> int:
        """A transaction: read, be overtaken, write what was read plus one. SERIALIZABLE refuses it when overtaken."""
        self.attempts += 1
        seen: int = on.execute(READ).scalar_one()
        if self._left:
            self._left -= 1
            with self._engine.begin() as other:
                other.execute(ADD)
        on.execute(sa.update(Counter).where(Counter.id == 1).values(n=seen + 1))
        return seen + 1


def count(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(READ).scalar_one()


def prepare(engine: Engine) -> None:
    """One counter that is 0."""
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(Counter).values(id=1, n=0))
