"""`ddl=portable`: what migrations for MySQL and PostgreSQL rest on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Engine

METADATA = sa.MetaData()
PARENT = sa.Table("parent", METADATA, sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("a", sa.Integer))
CHILD = sa.Table(
    "child of two",
    METADATA,
    sa.Column("x", sa.String(5)),
    sa.Column("y", sa.BigInteger, sa.ForeignKey("parent.id")),
    sa.Column("z", sa.Integer, unique=True),
    sa.PrimaryKeyConstraint("x", "y"),
    sa.UniqueConstraint("x", "z", name="mine"),
)


def made(url: str) -> Iterator[Engine]:
    engine = sa.create_engine(url)
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def portable() -> Iterator[Engine]:
    yield from made("rome+memory://?ddl=portable")


@pytest.fixture
def plain() -> Iterator[Engine]:
    yield from made("rome+memory://")


def test_constraints_have_names_by_which_they_are_dropped(portable: Engine) -> None:
    with portable.begin() as connection:
        inspector = sa.inspect(connection)
        assert inspector.get_pk_constraint("parent")["name"] == "parent_pkey"
        assert inspector.get_pk_constraint("child of two")["name"] == "child of two_pkey"
        assert [key["name"] for key in inspector.get_foreign_keys("child of two")] == ["child of two_y_fkey"]
        assert {key["name"] for key in inspector.get_unique_constraints("child of two")} == {
            "child of two_z_key",
            "mine",
        }
        op = Operations(MigrationContext.configure(connection))
        op.drop_constraint("child of two_y_fkey", "child of two", type_="foreignkey")
        op.create_foreign_key(None, "child of two", "parent", ["z"], ["id"])
        inspector.clear_cache()
        assert [key["name"] for key in inspector.get_foreign_keys("child of two")] == ["child of two_z_fkey"]


def test_every_integer_primary_key_gives_ids_and_none_holds_null(portable: Engine) -> None:
    with portable.begin() as connection:
        assert connection.execute(PARENT.insert(), {"a": 1}).inserted_primary_key == (1,)
        with pytest.raises(sa.exc.IntegrityError, match=r"NOT NULL constraint failed: child of two\.x"):
            connection.exec_driver_sql('INSERT INTO "child of two" (y, z) VALUES (1, 1)')


def test_nothing_is_left_for_autogenerate(portable: Engine) -> None:
    with portable.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_without_it_all_is_as_on_sqlite(plain: Engine) -> None:
    sqlite = sa.create_engine("sqlite://")
    METADATA.create_all(sqlite)
    texts = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
    with plain.connect() as connection, sqlite.connect() as stock:
        assert connection.exec_driver_sql(texts).all() == stock.exec_driver_sql(texts).all()
    sqlite.dispose()
