"""Alembic's operations on Rome: what they must not do to other tables. Stock SQLite must see nothing of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Engine

TABLES = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, a INT);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INT REFERENCES parent ON DELETE CASCADE);
CREATE TABLE other (id INTEGER PRIMARY KEY, parent INT REFERENCES parent);
INSERT INTO parent VALUES (1, 2), (2, 3);
INSERT INTO child VALUES (1, 1), (2, 2);
INSERT INTO other VALUES (1, 1)
"""


def fill(engine: Engine) -> None:
    with engine.begin() as connection:
        for statement in TABLES.split(";"):
            connection.exec_driver_sql(statement)


def change_type(connection: sa.Connection) -> None:
    operations = Operations(MigrationContext.configure(connection))
    with operations.batch_alter_table("parent") as batch:
        batch.alter_column("a", type_=sa.String(5))


@pytest.mark.parametrize("options", [{}, {"isolation_level": "AUTOCOMMIT"}])
def test_batch_mode_leaves_the_rows_that_refer_to_the_table(
    make_engine: Callable[..., Engine], options: dict[str, object]
) -> None:
    engine = make_engine(**options)
    fill(engine)
    with engine.begin() as connection:
        change_type(connection)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT * FROM parent").all() == [(1, "2"), (2, "3")]
        assert connection.exec_driver_sql("SELECT * FROM child").all() == [(1, 1), (2, 2)]
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []


def test_foreign_keys_are_enforced_after_batch_mode_in_its_transaction(engine: Engine) -> None:
    fill(engine)
    with engine.begin() as connection:
        change_type(connection)
        with pytest.raises(sa.exc.IntegrityError, match="FOREIGN KEY constraint failed"):
            connection.exec_driver_sql("INSERT INTO child VALUES (3, 3)")
        connection.exec_driver_sql("DELETE FROM parent WHERE id = 2")
        assert connection.exec_driver_sql("SELECT id FROM child").scalars().all() == [1]


def test_table_that_is_dropped_for_good_takes_its_children_with_it(engine: Engine) -> None:
    fill(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE other")
        Operations(MigrationContext.configure(connection)).drop_table("parent")
        assert connection.exec_driver_sql("SELECT * FROM child").all() == []


def test_alembic_may_be_loaded_after_the_engine_was_made() -> None:
    script = """if True:
        import sqlalchemy as sa
        engine = sa.create_engine("rome+memory://")
        from alembic.migration import MigrationContext
        with engine.connect() as connection:
            print(type(MigrationContext.configure(connection).impl).__name__)
    """
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "RomeImpl\n"


def test_stock_sqlite_does_what_it_did() -> None:
    engine = sa.create_engine("sqlite://")
    fill(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE other")
        change_type(connection)
        assert connection.exec_driver_sql("SELECT count(*) FROM child").scalar() == 2
    with engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 0
    engine.dispose()
