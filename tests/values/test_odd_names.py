"""Names of tables, columns, indexes and constraints, with every odd character in them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

Engines = tuple[Engine, Engine]

NAMES = [
    "select",
    "Group By",
    'double"quote',
    "single'quote",
    "back`tick",
    "[brackets]",
    "do.t",
    "per%cent",
    "per%(cent)s",
    "que?stion",
    "co:lon :name",
    "dollar$ @at #hash",
    "semi;colon",
    "-- dash",
    "/* comment */",
    "back\\slash",
    "new\nline\ttab",
    " surrounded ",
    "1",
    "1e5",
    "Größe",
    "\u0130\u0131\u00df",
    "\U0001f600",
    "rowid_",
    "true",
    "null",
    "main",
    "x" * 300,
]


# SQLAlchemy reads a foreign key's options out of the text of its table, where it does not know such names.
@pytest.mark.filterwarnings("ignore:WARNING. SQL-parsed foreign key constraint:sqlalchemy.exc.SAWarning")
@pytest.mark.parametrize("name", NAMES)
def test_odd_name(engines: Engines, name: str) -> None:
    writer, reader = engines
    metadata = sa.MetaData()
    table = sa.Table(
        name,
        metadata,
        sa.Column("n", sa.Integer, primary_key=True),
        sa.Column(name, sa.String),
        sa.Column(f"{name} up", sa.Integer),
        sa.UniqueConstraint(name, name=f"{name} unique"),
    )
    sa.Index(f"{name} index", table.c[f"{name} up"])
    child = sa.Table(
        f"{name} child",
        metadata,
        sa.Column("n", sa.Integer, primary_key=True),
        sa.Column(name, sa.Integer, sa.ForeignKey(table.c.n, ondelete="CASCADE")),
    )
    metadata.create_all(writer)
    odd, up = table.c[name], table.c[f"{name} up"]
    with writer.begin() as connection:
        connection.execute(table.insert(), [{"n": n, name: f"v{n}", f"{name} up": n % 2} for n in range(4)])
        connection.execute(child.insert(), [{"n": n, name: n} for n in range(4)])
        assert connection.execute(table.update().where(odd == "v1").values({name: "changed"})).rowcount == 1
        assert connection.execute(table.delete().where(up == 0, odd == "v2").returning(odd)).all() == [("v2",)]

    with reader.connect() as connection:
        joined = sa.select(odd, child.c[name]).join(child, child.c[name] == table.c.n).order_by(table.c.n)
        result = connection.execute(joined)
        assert next(iter(result.keys())) == name
        assert result.all() == [("v0", 0), ("changed", 1), ("v3", 3)]
        alias = table.alias(f"{name} alias")
        assert connection.scalars(sa.select(alias.c[name]).where(alias.c[f"{name} up"] == 1)).all() == ["changed", "v3"]
        with pytest.raises(sa.exc.IntegrityError) as error:
            connection.execute(table.insert(), {"n": 9, name: "v0"})
        assert f"UNIQUE constraint failed: {name}.{name}" in str(error.value.orig)

    reflected = sa.MetaData()
    reflected.reflect(reader)
    assert set(reflected.tables) == {name, f"{name} child"}
    assert list(reflected.tables[name].c.keys()) == ["n", name, f"{name} up"]
    assert {index.name for index in reflected.tables[name].indexes} == {f"{name} index"}
    (key,) = reflected.tables[f"{name} child"].foreign_keys
    assert (key.column.table.name, key.parent.name) == (name, name)
    metadata.drop_all(reader)
    with writer.connect() as connection:
        assert sa.inspect(connection).get_table_names() == []
