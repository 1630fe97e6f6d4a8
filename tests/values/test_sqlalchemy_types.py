"""SQLAlchemy's types: what goes in comes out, exactly, through Core and the ORM, on an engine of its own."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

Engines = tuple[Engine, Engine]


class Colour(enum.Enum):
    RED = "r"
    GREEN = "grün"


def _exact(value: object) -> tuple[type, str]:
    return type(value), repr(value)


MOMENT = dt.datetime(2026, 2, 28, 23, 59, 59, 123456)
NESTED = {"a": [1, 2.5, -0.0, None, True, {"\U0001f600": "\0\u00e9"}], "": {}, "big": 2**53 + 1, "quote": "\"'\\"}

CASES = [
    (sa.Integer(), [0, -1, 2**31]),
    (sa.BigInteger(), [2**63 - 1, -(2**63)]),
    (sa.Boolean(), [True, False]),
    (sa.Float(), [0.1, 0.0, 1e308, float("inf"), float("-inf")]),
    (sa.Double(), [5e-324]),
    (sa.Numeric(12, 2), [Decimal("0.01"), Decimal("-1234567890.12")]),
    (sa.Numeric(10, 4, asdecimal=False), [1.25]),
    (sa.String(10), ["", "a\0b", "\U0001f600", "longer than it should be", "5"]),
    (sa.Unicode(), ["\u00e9", "e\u0301"]),
    (sa.Text(), ["x" * 100_000]),
    (sa.LargeBinary(), [b"", b"\0\xff", bytes(range(256)) * 400]),
    (sa.Date(), [dt.date.min, dt.date(2026, 2, 28), dt.date.max]),
    (sa.Time(), [dt.time.min, dt.time(4, 5, 6, 7), dt.time.max]),
    (sa.DateTime(), [dt.datetime.min, MOMENT, dt.datetime.max]),
    (sa.Interval(), [dt.timedelta(days=-3, microseconds=1), dt.timedelta(days=999)]),
    (sa.JSON(), [NESTED, [], {}, "text", 1, 1.5, True, [None]]),
    (sa.Enum(Colour), [Colour.RED, Colour.GREEN]),
    (sa.Enum("one", "it's", "100%"), ["one", "it's", "100%"]),
    (sa.Uuid(), [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)]),
    (sa.Uuid(as_uuid=False), ["12345678-1234-5678-1234-567812345678"]),
    (sa.PickleType(), [{1, 2}, MOMENT, NESTED, Colour.RED]),
]


@pytest.mark.filterwarnings("ignore:.*does \\*not\\* support Decimal:sqlalchemy.exc.SAWarning")
@pytest.mark.parametrize(
    ("type_", "values"), CASES, ids=[f"{number}-{type_}" for number, (type_, _) in enumerate(CASES)]
)
def test_core(engines: Engines, type_: sa.types.TypeEngine[object], values: list[object]) -> None:
    writer, reader = engines
    metadata = sa.MetaData()
    table = sa.Table("t", metadata, sa.Column("n", sa.Integer, primary_key=True), sa.Column("v", type_, index=True))
    metadata.create_all(writer)
    with writer.begin() as connection:
        connection.execute(table.insert(), [{"n": n, "v": value} for n, value in enumerate([None, *values])])

    with reader.connect() as connection:
        found = connection.scalars(sa.select(table.c.v).order_by(table.c.n)).all()
        assert list(map(_exact, found)) == list(map(_exact, [None, *values]))
        if not isinstance(type_, sa.PickleType | sa.JSON):  # compared by their bytes, which say nothing of equality
            for number, value in enumerate(values, start=1):
                assert number in connection.scalars(sa.select(table.c.n).where(table.c.v == value)).all()


class Base(DeclarativeBase):
    pass


class Thing(Base):
    __tablename__ = "thing"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    big: Mapped[int] = mapped_column(sa.BigInteger)
    real: Mapped[float]
    text: Mapped[str]
    blob: Mapped[bytes]
    moment: Mapped[dt.datetime]
    day: Mapped[dt.date]
    time: Mapped[dt.time]
    lasted: Mapped[dt.timedelta]
    colour: Mapped[Colour]
    flag: Mapped[bool]
    data: Mapped[dict[str, object]] = mapped_column(sa.JSON)
    pickled: Mapped[object] = mapped_column(sa.PickleType)
    absent: Mapped[str | None]


def test_orm(engines: Engines) -> None:
    writer, reader = engines
    Base.metadata.create_all(writer)
    values = {
        "id": uuid.uuid4(),
        "big": -(2**63),
        "real": 0.1,
        "text": "a\0\U0001f600",
        "blob": b"\0\xff",
        "moment": MOMENT,
        "day": MOMENT.date(),
        "time": MOMENT.time(),
        "lasted": dt.timedelta(days=2, microseconds=1),
        "colour": Colour.GREEN,
        "flag": True,
        "data": NESTED,
        "pickled": frozenset({1}),
        "absent": None,
    }
    with Session(writer) as session:
        session.add(Thing(**values))
        session.commit()

    with Session(reader) as session:
        thing = session.get_one(Thing, values["id"])
        assert {name: _exact(getattr(thing, name)) for name in values} == {n: _exact(v) for n, v in values.items()}
        thing.data = {**thing.data, "more": 1}
        thing.big = 2**63 - 1
        session.commit()
    with Session(writer) as session:
        thing = session.scalars(sa.select(Thing).where(Thing.big == 2**63 - 1)).one()
        assert thing.data == {**NESTED, "more": 1}
        thing.big += 1
        with pytest.raises(sa.exc.DataError, match="does not fit into SQLite's 64-bit INTEGER"):
            session.commit()
        session.rollback()
        thing.text = "\ud800"
        with pytest.raises(sa.exc.DataError, match="lone surrogate"):
            session.commit()
        session.rollback()
        assert (thing.big, thing.text) == (2**63 - 1, values["text"])


def test_json_operators(engines: Engines) -> None:
    writer, reader = engines
    metadata = sa.MetaData()
    table = sa.Table("t", metadata, sa.Column("n", sa.Integer, primary_key=True), sa.Column("data", sa.JSON))
    metadata.create_all(writer)
    with writer.begin() as connection:
        documents = [NESTED, {"a": [{"b": "x"}], "f": 1.5, "t": True, "null": None}, sa.JSON.NULL, sa.null(), []]
        for number, document in enumerate(documents):
            connection.execute(table.insert().values(n=number, data=document))
    data = table.c.data

    def numbers(condition: sa.ColumnElement[bool]) -> list[int]:
        return list(connection.scalars(sa.select(table.c.n).where(condition).order_by(table.c.n)))

    with reader.connect() as connection:
        assert numbers(data["f"].as_float() == 1.5) == [1]
        assert numbers(data["big"].as_integer() == 2**53 + 1) == [0]
        assert numbers(data["t"].as_boolean()) == [1]
        assert numbers(data[("a", 0, "b")].as_string() == "x") == [1]
        assert numbers(data["quote"].as_string() == NESTED["quote"]) == [0]
        assert numbers(data.is_(sa.null())) == [3]
        assert numbers(data == sa.JSON.NULL) == [2]
        assert connection.scalars(sa.select(data["a"]).order_by(table.c.n)).all()[:2] == [NESTED["a"], [{"b": "x"}]]
        query = "SELECT data ->> '$.a[0].b', json_array_length(data, '$.a'), json_type(data) FROM t ORDER BY n"
        assert connection.exec_driver_sql(query).all()[:3] == [
            (None, 6, "object"),
            ("x", 1, "object"),
            (None, None, "null"),
        ]
    with writer.begin() as connection:
        connection.exec_driver_sql("UPDATE t SET data = json_set(data, '$.f', 2) WHERE data ->> 'f' = 1.5")
    with reader.connect() as connection:
        assert connection.scalar(sa.select(data["f"]).where(table.c.n == 1)) == 2
