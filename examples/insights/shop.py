"""A small shop with four mistakes, and the page on which a person finds them.

    pip install .                                   # in a checkout of Rome
    python examples/insights/shop.py                # then open the page that it names; Ctrl-C ends it
    python examples/insights/shop.py --html shop.html rome+redis://127.0.0.1:6379/shop

The mistakes: `list_orders` loads the customer of each order by itself, `count_visit` makes all threads change one row,
`open_orders` looks for a column without an index, and `close_the_day` writes thousands of rows in one commit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import ForeignKey, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

import rome

CUSTOMERS, ORDERS = 40, 2_000
THREADS, VISITS = 4, 15


class Base(DeclarativeBase):
    """The declarative base."""


class Customer(Base):
    """Who buys."""

    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Order(Base):
    """What was bought."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id), index=True)
    state: Mapped[str]
    total: Mapped[int]
    customer: Mapped[Customer] = relationship()


class Counter(Base):
    """Numbers that the shop shows, by name."""

    __tablename__ = "counter"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int]


def fill(session: Session) -> None:
    """The customers and orders with which the shop begins."""
    session.add_all(Customer(id=number, name=f"customer {number}") for number in range(1, CUSTOMERS + 1))
    session.add_all(
        Order(customer_id=1 + number % CUSTOMERS, state="sent" if number % 50 else "open", total=number)
        for number in range(ORDERS)
    )
    session.add(Counter(name="visits", value=0))


def list_orders(session: Session) -> Iterator[str]:
    """The newest orders, each with its customer's name."""
    for order in session.scalars(select(Order).order_by(Order.id.desc()).limit(CUSTOMERS)):
        yield f"order {order.id} of {order.customer.name}"


def open_orders(session: Session) -> int:
    """The value of what is still to be sent."""
    return sum(session.scalars(select(Order.total).where(Order.state == "open")))


def find_order(session: Session, number: int) -> str | None:
    """The state of one order."""
    return session.scalar(select(Order.state).where(Order.id == number))


def count_visit(session: Session) -> int:
    """Count a visit, and tell how many there were."""
    counter = session.get_one(Counter, "visits")
    time.sleep(0.001)  # the shop does something else meanwhile
    counter.value += 1
    return counter.value


def place_order(session: Session, number: int) -> None:
    """Somebody orders something."""
    session.add(Order(customer_id=1 + number % CUSTOMERS, state="open", total=number))


def close_the_day(session: Session) -> None:
    """Raise every order by one, for want of something better."""
    for order in session.scalars(select(Order)):
        order.total += 1


def trade(sessions: sessionmaker[Session]) -> None:
    """A day at the shop."""
    for number in range(10):
        with sessions() as session:
            list(list_orders(session))
        with sessions() as session:
            open_orders(session)
        with sessions() as session:
            for order in range(3):
                find_order(session, 1 + 97 * number + order)
        with sessions.begin() as session:
            place_order(session, number)
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in range(THREADS * VISITS):
            threads.submit(rome.run_transaction, sessions, count_visit)
    with sessions.begin() as session:
        close_the_day(session)


def main() -> None:
    """Open the shop, and show the page."""
    parser = argparse.ArgumentParser(description="A small shop with four mistakes.")
    parser.add_argument("url", nargs="?", default="rome+memory:///shop", help="where the shop keeps its data")
    parser.add_argument("--html", metavar="FILE", help="write the page into a file, and end")
    parsed = parser.parse_args()

    rome.insights.record()
    sessions = sessionmaker(create_engine(parsed.url))
    engine = sessions.kw["bind"]
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with sessions.begin() as session:
        fill(session)
    rome.insights.reset()  # filling the shop is not what we look at
    trade(sessions)
    if parsed.html:
        Path(parsed.html).write_text(rome.insights.html())
        return
    server = rome.insights.serve(0)
    print(f"the shop has closed for today; its statement insights are at {server.url}")
    server.wait()


if __name__ == "__main__":
    main()
