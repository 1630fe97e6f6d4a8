"""Alembic's own commands on Rome, whose DDL is transactional: what a failure leaves, what --sql prints."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine

import rome
from tests.support.databases import Connect, database, on

ENV = """
import sqlalchemy as sa
from alembic import context

options = context.config.attributes["options"]
if context.is_offline_mode():
    context.configure(url=context.config.get_main_option("sqlalchemy.url"), **options)
    with context.begin_transaction():
        context.run_migrations()
else:
    with context.config.attributes["engine"].connect() as connection:
        context.configure(connection=connection, **options)
        context.config.attributes["transactional"] = context.is_transactional_ddl()
        with context.begin_transaction():
            context.run_migrations()
"""

PARENTS = """
    op.create_table("parent", sa.Column("id", sa.Integer, primary_key=True), sa.Column("v", sa.Text))
    op.create_table(
        "child",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("p", sa.Integer, sa.ForeignKey("parent.id", ondelete="CASCADE")),
    )
    op.execute("INSERT INTO parent VALUES (1, 'a'), (2, 'b')")
    op.execute("INSERT INTO child VALUES (1, 1), (2, 1), (3, 2)")
"""
FAILS = """
    op.add_column("parent", sa.Column("w", sa.Text))
    op.execute("INSERT INTO parent VALUES (1, 'twice', '')")
"""
REBUILD = """
    {execute}("PRAGMA foreign_keys=OFF")
    {execute}("CREATE TABLE new (id INTEGER PRIMARY KEY, v TEXT, w TEXT)")
    {execute}("INSERT INTO new SELECT id, v, 'new' FROM parent")
    {execute}("DROP TABLE parent")
    {execute}("ALTER TABLE new RENAME TO parent")
    {execute}("PRAGMA foreign_keys=ON")
"""
Alembic = Callable[..., Config]


@pytest.fixture(params=on("memory", "lmdb", "redis"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def alembic(tmp_path: Path, engine: Engine, url: str) -> Alembic:
    """Makes the configuration of a project with revisions of the given bodies, in order, named 1, 2, .."""

    def configure(*bodies: str, **options: object) -> Config:
        folder = tmp_path / "migrations"
        (folder / "versions").mkdir(parents=True)
        (folder / "env.py").write_text(ENV)
        for number, body in enumerate(bodies, start=1):
            before = repr(str(number - 1)) if number > 1 else None
            (folder / "versions" / f"{number}.py").write_text(
                f"import sqlalchemy as sa\nfrom alembic import op\nrevision = '{number}'\ndown_revision = {before}\n"
                f"def upgrade():\n{body}\n"
            )
        config = Config()
        config.set_main_option("script_location", str(folder))
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        config.attributes.update(engine=engine, options=options)
        return config

    return configure


def tables(engine: Engine) -> set[str]:
    return set(sa.inspect(engine).get_table_names())


def test_alembic_is_told_so(alembic: Alembic) -> None:
    config = alembic(PARENTS)
    command.upgrade(config, "head")
    assert config.attributes["transactional"] is True


def test_an_upgrade_that_fails_leaves_nothing(alembic: Alembic, engine: Engine) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        command.upgrade(alembic(PARENTS, FAILS), "head")
    assert tables(engine) == set()


def test_a_revision_that_fails_leaves_those_before_it(alembic: Alembic, engine: Engine) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        command.upgrade(alembic(PARENTS, FAILS, transaction_per_migration=True), "head")
    assert tables(engine) == {"alembic_version", "parent", "child"}
    assert [column["name"] for column in sa.inspect(engine).get_columns("parent")] == ["id", "v"]
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "1"


def test_env_may_say_otherwise(alembic: Alembic, engine: Engine) -> None:
    config = alembic(PARENTS, FAILS, transactional_ddl=False)
    with pytest.raises(sa.exc.IntegrityError):
        command.upgrade(config, "head")
    assert config.attributes["transactional"] is False
    assert tables(engine) == {"alembic_version", "parent", "child"}


@pytest.mark.parametrize(("options", "blocks"), [({}, 1), ({"transaction_per_migration": True}, 2)])
def test_offline(alembic: Alembic, connect: Connect, engine: Engine, options: dict[str, object], blocks: int) -> None:
    """What --sql prints is wrapped into transactions, and does what the upgrade does."""
    config = alembic(PARENTS, '    op.alter_column("parent", "v", nullable=False)', **options)
    config.output_buffer = printed = io.StringIO()
    command.upgrade(config, "head", sql=True)
    script = printed.getvalue()
    assert (script.count("BEGIN;"), script.count("COMMIT;")) == (blocks, blocks)
    assert script.lstrip().startswith("BEGIN;")
    assert script.rstrip().endswith("COMMIT;")
    connection = connect()
    connection.executescript(script)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("2",)]
    assert connection.execute("SELECT count(*) FROM child").fetchall() == [(3,)]
    with pytest.raises(rome.dbapi.IntegrityError, match="NOT NULL"):
        connection.execute("INSERT INTO parent VALUES (9, NULL)")


@pytest.mark.parametrize("execute", ["op.execute", "op.get_bind().exec_driver_sql", "op.get_context().execute"])
@pytest.mark.parametrize("options", [{}, {"transaction_per_migration": True}, {"transactional_ddl": False}])
def test_a_table_that_a_revision_rebuilds_keeps_the_rows_that_refer_to_it(
    alembic: Alembic, engine: Engine, execute: str, options: dict[str, object]
) -> None:
    """As in SQLite, where each revision begins outside of a transaction, so that its PRAGMA counts."""
    command.upgrade(alembic(PARENTS, REBUILD.format(execute=execute), **options), "head")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT * FROM parent").all() == [(1, "a", "new"), (2, "b", "new")]
        assert connection.exec_driver_sql("SELECT * FROM child").all() == [(1, 1), (2, 1), (3, 2)]
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []


def test_stock_sqlite_is_left_alone() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        assert MigrationContext.configure(connection).impl.transactional_ddl is False
        connection.exec_driver_sql("CREATE TABLE t (a)")
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 0
    engine.dispose()
