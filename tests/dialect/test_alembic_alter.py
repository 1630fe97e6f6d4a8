"""Alembic's operations on a filled table, without batch mode: each leads where create_all of the new model leads."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Engine

ROWS = [{"id": 1, "a": "x", "b": 10, "parent": 1}, {"id": 2, "a": "y", "b": 20, "parent": None}]


def model(*more: Any, **replaced: Any) -> sa.MetaData:
    """Tables parent and t; a column of t may be replaced (None: left out), and constraints be added."""
    metadata = sa.MetaData()
    sa.Table("parent", metadata, sa.Column("id", sa.Integer, primary_key=True))
    columns = {
        "id": sa.Column("id", sa.Integer, primary_key=True),
        "a": sa.Column("a", sa.String(5)),
        "b": sa.Column("b", sa.Integer, server_default="7"),
        "parent": sa.Column("parent", sa.Integer),
        **replaced,
    }
    sa.Table("t", metadata, *(column for column in columns.values() if column is not None), *more)
    return metadata


def dropping(kind: str, name: str) -> Callable[[Operations], None]:
    return lambda op: op.drop_constraint(name, "t", type_=kind)


def named(kind: str) -> Any:
    """The named constraint of one kind."""
    return {
        "unique": sa.UniqueConstraint("a", "b", name="t_ab"),
        "foreignkey": sa.ForeignKeyConstraint(["parent"], ["parent.id"], name="t_parent", ondelete="CASCADE"),
        "check": sa.CheckConstraint("b > 5", name="t_b"),
    }[kind]


Operation = Callable[[Operations], object]
OPERATIONS: dict[str, tuple[sa.MetaData, Operation, sa.MetaData]] = {
    "type": (
        model(),
        lambda op: op.alter_column("t", "a", type_=sa.String(50), existing_type=sa.String(5)),
        model(a=sa.Column("a", sa.String(50))),
    ),
    "type of another affinity": (
        model(),
        lambda op: op.alter_column("t", "b", type_=sa.String(5)),
        model(b=sa.Column("b", sa.String(5), server_default="7")),
    ),
    "collation": (
        model(sa.Index("t_a", "a")),
        lambda op: op.alter_column("t", "a", type_=sa.String(5, collation="NOCASE")),
        model(sa.Index("t_a", "a"), a=sa.Column("a", sa.String(5, collation="NOCASE"))),
    ),
    "not null": (
        model(),
        lambda op: op.alter_column("t", "a", nullable=False),
        model(a=sa.Column("a", sa.String(5), nullable=False)),
    ),
    "null": (
        model(a=sa.Column("a", sa.String(5), nullable=False)),
        lambda op: op.alter_column("t", "a", nullable=True),
        model(),
    ),
    "default": (
        model(),
        lambda op: op.alter_column("t", "b", server_default="8"),
        model(b=sa.Column("b", sa.Integer, server_default="8")),
    ),
    "default that is computed": (
        model(),
        lambda op: op.alter_column("t", "a", server_default=sa.text("lower('X')")),
        model(a=sa.Column("a", sa.String(5), server_default=sa.text("lower('X')"))),
    ),
    "default that is a clock": (
        model(),
        lambda op: op.alter_column("t", "a", server_default=sa.func.now()),
        model(a=sa.Column("a", sa.String(5), server_default=sa.func.now())),
    ),
    "no default": (
        model(),
        lambda op: op.alter_column("t", "b", server_default=None),
        model(b=sa.Column("b", sa.Integer)),
    ),
    "name": (
        model(named("unique"), named("check")),
        lambda op: op.alter_column("t", "b", new_column_name="c"),
        model(
            sa.UniqueConstraint("a", "c", name="t_ab"),
            sa.CheckConstraint("c > 5", name="t_b"),
            b=None,
            parent=None,
            c=sa.Column("c", sa.Integer, server_default="7"),
            d=sa.Column("parent", sa.Integer),
        ),
    ),
    "everything of a column": (
        model(),
        lambda op: op.alter_column(
            "t", "b", nullable=False, server_default="0", type_=sa.BigInteger(), new_column_name="c", comment="new"
        ),
        model(
            b=None,
            parent=None,
            c=sa.Column("c", sa.BigInteger, server_default="0", nullable=False),
            d=sa.Column("parent", sa.Integer),
        ),
    ),
    "unique": (model(), lambda op: op.create_unique_constraint("t_ab", "t", ["a", "b"]), model(named("unique"))),
    "unique without a name": (
        model(),
        lambda op: op.create_unique_constraint(None, "t", ["a"]),
        model(sa.UniqueConstraint("a")),
    ),
    "foreign key": (
        model(),
        lambda op: op.create_foreign_key("t_parent", "t", "parent", ["parent"], ["id"], ondelete="CASCADE"),
        model(named("foreignkey")),
    ),
    "check": (model(), lambda op: op.create_check_constraint("t_b", "t", "b > 5"), model(named("check"))),
    **{
        f"no {kind}": (
            model(named(kind)),
            dropping(kind, name),
            model(),
        )
        for kind, name in (("unique", "t_ab"), ("foreignkey", "t_parent"), ("check", "t_b"))
    },
    "one unique constraint of two": (
        model(sa.UniqueConstraint("a", name="t_a"), named("unique")),
        lambda op: op.drop_constraint("t_a", "t", type_="unique"),
        model(named("unique")),
    ),
    "primary key": (
        model(id=sa.Column("id", sa.Integer)),
        lambda op: op.create_primary_key("t_pk", "t", ["id"]),
        model(sa.PrimaryKeyConstraint("id", name="t_pk"), id=sa.Column("id", sa.Integer, nullable=False)),
    ),
    "no primary key": (
        model(sa.PrimaryKeyConstraint("id", name="t_pk"), id=sa.Column("id", sa.Integer)),
        lambda op: op.drop_constraint("t_pk", "t", type_="primary"),
        model(id=sa.Column("id", sa.Integer, nullable=False)),
    ),
    "column with a foreign key": (
        model(),
        lambda op: op.add_column("t", sa.Column("up", sa.Integer, sa.ForeignKey("t.id", name="t_up"))),
        model(up=sa.Column("up", sa.Integer, sa.ForeignKey("t.id", name="t_up"))),
    ),
    "column that is unique": (
        model(),
        lambda op: op.add_column("t", sa.Column("c", sa.Integer, unique=True)),
        model(c=sa.Column("c", sa.Integer, unique=True)),
    ),
    "no column that constraints and an index need": (
        model(named("unique"), named("check"), sa.Index("t_b_index", "b"), sa.Index("t_a_index", "a")),
        lambda op: op.drop_column("t", "b"),
        model(sa.Index("t_a_index", "a"), b=None),
    ),
    "no column that a foreign key needs": (
        model(named("foreignkey")),
        lambda op: op.drop_column("t", "parent"),
        model(parent=None),
    ),
}


def reflected(connection: sa.Connection) -> dict[str, object]:
    """What SQLAlchemy's inspector says of t; sets as sorted lists."""
    inspector = sa.inspect(connection)
    columns = [{**column, "type": str(column["type"])} for column in inspector.get_columns("t")]
    return {
        "columns": columns,
        "primary key": inspector.get_pk_constraint("t"),
        **{
            name: sorted(map(repr, getattr(inspector, name)("t")))
            for name in ("get_foreign_keys", "get_unique_constraints", "get_check_constraints", "get_indexes")
        },
    }


def operations(connection: sa.Connection) -> Operations:
    return Operations(MigrationContext.configure(connection))


def fill(connection: sa.Connection, metadata: sa.MetaData) -> None:
    metadata.create_all(connection)
    connection.execute(sa.text("INSERT INTO parent VALUES (1)"))
    connection.execute(metadata.tables["t"].insert(), ROWS)


@pytest.fixture
def fresh() -> Iterator[Engine]:
    """An engine of another database, empty."""
    made = sa.create_engine("rome+memory://")
    yield made
    made.dispose()


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_on_a_filled_table_leads_to_the_new_model(engine: Engine, fresh: Engine, name: str) -> None:
    before, operate, after = OPERATIONS[name]
    with engine.begin() as connection:
        fill(connection, before)
    with engine.begin() as connection:
        operate(operations(connection))
    with fresh.begin() as connection:
        after.create_all(connection)
        expected = reflected(connection)
    with engine.connect() as connection:
        assert reflected(connection) == expected
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, after) == []
        rows = connection.execute(sa.select(after.tables["t"])).mappings().all()
        assert [row["id"] for row in rows] == [1, 2]
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
    with engine.begin() as connection:
        connection.execute(after.tables["t"].insert(), {"id": 3, "a": "z"})


def sent(engine: Engine) -> list[str]:
    """The statements that are sent from now on."""
    statements: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    return statements


def test_batch_mode_copies_only_where_a_copy_may_lead_elsewhere(engine: Engine) -> None:
    with engine.begin() as connection:
        fill(connection, model(named("check")))
        statements = sent(engine)
        with operations(connection).batch_alter_table("t") as batch:
            batch.alter_column("b", nullable=False, server_default="1")
            batch.drop_constraint("t_b", type_="check")
            batch.create_unique_constraint("t_ab", ["a", "b"])
            batch.create_index("t_a", ["a"])
    assert [statement.split("(")[0] for statement in statements] == [
        "ALTER TABLE t ALTER COLUMN b SET NOT NULL",
        "ALTER TABLE t ALTER COLUMN b SET DEFAULT '1'",
        "ALTER TABLE t DROP CONSTRAINT t_b",
        "ALTER TABLE t ADD CONSTRAINT t_ab UNIQUE ",
        "CREATE INDEX t_a ON t ",
    ]


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({"recreate": "always"}, lambda batch: batch.alter_column("a", nullable=False)),
        (
            {"naming_convention": {"fk": "fk_%(table_name)s_%(column_0_name)s"}},
            lambda batch: batch.drop_constraint("fk_t_parent", type_="foreignkey"),
        ),
        ({}, lambda batch: (batch.alter_column("a", new_column_name="c"), batch.create_unique_constraint("u", ["b"]))),
        ({}, lambda batch: batch.alter_column("b", type_=sa.String(5))),
        ({}, lambda batch: (batch.drop_column("a"), batch.add_column(sa.Column("c", sa.Integer)))),
    ],
)
def test_batch_mode_still_copies(engine: Engine, options: dict[str, Any], change: Callable[[Any], object]) -> None:
    with engine.begin() as connection:
        fill(connection, model(sa.ForeignKeyConstraint(["parent"], ["parent.id"])))
        statements = sent(engine)
        with operations(connection).batch_alter_table("t", **options) as batch:
            change(batch)
    assert any(statement.startswith("INSERT INTO _alembic_tmp_t") for statement in statements)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT id FROM t").scalars().all() == [1, 2]


def test_script_of_offline_mode_leads_where_the_operations_lead(engine: Engine, fresh: Engine) -> None:
    def change(op: Operations) -> None:
        op.alter_column("t", "a", type_=sa.Text(), nullable=False, server_default="n")
        op.create_foreign_key("t_parent", "t", "parent", ["parent"], ["id"])
        with op.batch_alter_table("t") as batch:
            batch.create_check_constraint("t_b", "b > 5")
        op.drop_column("t", "b")

    script = io.StringIO()
    options = {"as_sql": True, "output_buffer": script}
    change(Operations(MigrationContext.configure(url="rome+memory:///offline", opts=options)))
    for each in (engine, fresh):
        with each.begin() as connection:
            fill(connection, model())
    with engine.begin() as connection:
        change(operations(connection))
    with fresh.connect() as connection:
        connection.connection.executescript(script.getvalue())
    with engine.connect() as one, fresh.connect() as other:
        assert reflected(one) == reflected(other)


@pytest.mark.parametrize("transactional", [True, False])
def test_migration_that_fails_leaves_nothing(engine: Engine, transactional: bool) -> None:
    with engine.begin() as connection:
        fill(connection, model())
        before = reflected(connection)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"transactional_ddl": transactional})
        op = Operations(context)

        def migrate() -> None:
            with context.begin_transaction(_per_migration=not transactional):
                op.execute("ALTER TABLE t ALTER COLUMN b TYPE TEXT")
                op.execute("CREATE TABLE other (a INT)")
                op.execute("UPDATE t SET a = 'same'")
                op.create_unique_constraint("t_a", "t", ["a"])

        with pytest.raises(sa.exc.IntegrityError):
            migrate()
    with engine.connect() as connection:
        assert reflected(connection) == before
        assert sa.inspect(connection).get_table_names() == ["parent", "t"]
        assert connection.exec_driver_sql("SELECT a, b FROM t").all() == [("x", 10), ("y", 20)]


def test_constraint_without_a_name_is_not_dropped(engine: Engine) -> None:
    with engine.begin() as connection:
        fill(connection, model(sa.UniqueConstraint("a")))
        with pytest.raises(sa.exc.CompileError, match="it has no name"):
            operations(connection).drop_constraint(None, "t", type_="unique")  # type: ignore[arg-type]
        with pytest.raises(sa.exc.OperationalError, match="no such constraint: t_a"):
            operations(connection).drop_constraint("t_a", "t", type_="unique")


def test_stock_sqlite_refuses_as_it_did() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        fill(connection, model(named("unique")))
        op = operations(connection)
        with pytest.raises(NotImplementedError):
            op.create_unique_constraint("u", "t", ["b"])
        with pytest.raises(NotImplementedError):
            op.drop_constraint("t_ab", "t", type_="unique")
        with pytest.raises(sa.exc.OperationalError, match="syntax error"):
            op.alter_column("t", "a", type_=sa.Text())
        op.drop_column("t", "parent")
        with op.batch_alter_table("t") as batch:
            batch.alter_column("b", nullable=False)
        assert connection.exec_driver_sql("SELECT id, b FROM t").all() == [(1, 10), (2, 20)]
    engine.dispose()
