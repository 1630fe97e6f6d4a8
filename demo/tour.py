"""A short tour of SQLAlchemy's ORM on Rome, which shows what each step asks of the store.

usage: python demo/tour.py URL      (any SQLAlchemy URL, with {db} where it names the database)
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.pool import Pool, ThreadPool

import sqlalchemy as sa
from romekit.databases import Databases, shown, text, url_template
from romekit.recorder import Recorder, Request
from romekit.report import outline
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship

WRITERS = 4
INCREMENTS = 250


class Base(DeclarativeBase):
    """The declarative base."""


class Author(Base):
    """The author of books; the name is unique."""

    __tablename__ = "authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(80), unique=True)
    books: Mapped[list[Book]] = relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    """A book of one author."""

    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(sa.String(200))
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("authors.id"), index=True)
    author: Mapped[Author] = relationship(back_populates="books")


class Counter(Base):
    """A number that several writers increment."""

    __tablename__ = "counters"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int]


class Tour:
    """The steps, in order, on one engine. Each prints its database requests and what they cost."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._requests: list[Request] = []
        self._recorder = Recorder(engine, type(engine.dialect), self._requests)

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        print(f"\n{title}", flush=True)
        self._recorder.on = True
        yield
        self._recorder.on = False
        for request in self._requests:
            if request.kind != "rollback":  # the pool's, at every return; never a round trip
                print(f"  {_cost(request)}  {outline(request.text)[:100]}")
        self._requests.clear()

    def create_tables(self) -> None:
        """Create the tables."""
        with self._step("Create three tables"):
            Base.metadata.create_all(self.engine)

    def save_objects(self) -> None:
        """Save an author with two books, and a counter."""
        with self._step("Save an author with two books, and a counter"), Session(self.engine) as session:
            titles = ("The Dispossessed", "The Lathe of Heaven")
            session.add(Author(name="Ursula K. Le Guin", books=[Book(title=title) for title in titles]))
            session.add(Counter(id=1, value=0))
            session.commit()

    def load_with_join(self) -> None:
        """Load an author with her books in one SELECT."""
        with self._step("Load the author with her books: joinedload"), Session(self.engine) as session:
            query = sa.select(Author).options(joinedload(Author.books)).filter_by(name="Ursula K. Le Guin")
            author = session.scalars(query).unique().one()
            print(f"  {author.name}: {', '.join(book.title for book in author.books)}")

    def violate_unique(self) -> None:
        """Save a second author of the same name, which must fail.

        Raises:
            SystemExit: it did not fail.
        """
        with self._step("Save another author of the same name"), Session(self.engine) as session:
            session.add(Author(name="Ursula K. Le Guin"))
            try:
                session.commit()
            except IntegrityError as error:
                print(f"  refused: {error.orig}")
            else:
                raise SystemExit("a second author of the same name was saved: the UNIQUE constraint does not hold")

    def count_at_once(self) -> None:
        """Increment the counter from several writers at once.

        Raises:
            SystemExit: an increment was lost.
        """
        private = self.engine.url.drivername == "rome+memory"  # no other process sees it
        workers: Pool = ThreadPool(WRITERS) if private else multiprocessing.get_context("spawn").Pool(WRITERS)
        kind = "threads" if private else "processes"
        print(f"\n{WRITERS} {kind} at once, each adds 1 to the same counter {INCREMENTS} times: read, add, write")
        with workers as pool:
            repeated = pool.map(add_many, [text(self.engine.url)] * WRITERS)
        with Session(self.engine) as session:
            found = session.get_one(Counter, 1).value
        expected = WRITERS * INCREMENTS
        print(f"  the counter stands at {found} of {expected}; {sum(repeated)} conflicts made a writer try again")
        if found != expected:
            raise SystemExit(f"{expected - found} increments were lost")


def add_many(url: str) -> int:
    """Add 1 to the counter INCREMENTS times, trying again after each conflict, as applications do.

    Returns:
        how many conflicts there were.
    """
    engine = sa.create_engine(url)
    repeated = 0
    for _ in range(INCREMENTS):
        while True:
            try:
                with Session(engine) as session, session.begin():
                    session.get_one(Counter, 1).value += 1
                break
            except OperationalError as error:
                if not getattr(error.orig, "retryable", False):
                    raise
                repeated += 1
    engine.dispose()
    return repeated


def _cost(request: Request) -> str:
    trips = "-" if request.round_trips is None else request.round_trips
    return f"{request.seconds * 1e3:7.2f} ms {trips:>3} round trip{' ' if trips == 1 else 's'}"


def main() -> None:
    """Run the tour on a new database, and drop it."""
    parser = argparse.ArgumentParser(prog="tour.py", description="A short tour of SQLAlchemy's ORM.")
    parser.add_argument("url", type=url_template, help="SQLAlchemy URL with {db}")
    template: str = parser.parse_args().url
    print(f"SQLAlchemy's ORM on {shown(template)}")
    databases = Databases(template)
    engine = sa.create_engine(databases.create("tour"))
    tour = Tour(engine)
    try:
        tour.create_tables()
        tour.save_objects()
        tour.load_with_join()
        tour.violate_unique()
        tour.count_at_once()
    finally:
        engine.dispose()
        databases.drop_all()
    print()


if __name__ == "__main__":
    main()
