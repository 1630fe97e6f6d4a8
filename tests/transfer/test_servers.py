"""Real MariaDB and PostgreSQL: into Rome and back, equal but for what is said before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, inspect, text

from rome.transfer import plan
from tests.support.sql_servers import MariaDb, PostgreSql, SqlServer

MARIADB = [
    """CREATE TABLE host (
        id BIGINT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50) NOT NULL DEFAULT 'x', uuid CHAR(36) UNIQUE,
        e ENUM('a', 'b') DEFAULT 'a', d DECIMAL(20, 6), money DECIMAL(10, 2) DEFAULT 1.50, f FLOAT, g DOUBLE,
        up TINYINT(1) DEFAULT 0, at DATETIME(6) DEFAULT CURRENT_TIMESTAMP(6),
        changed TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, day DATE, clock TIME(6), j JSON,
        long_text LONGTEXT, image LONGBLOB, y YEAR, s SET('p', 'q'), n INT GENERATED ALWAYS AS (up + 1) STORED,
        CHECK (money > 0), KEY by_name (name), KEY by_text (long_text(10)), FULLTEXT KEY words (name))""",
    """CREATE TABLE server (a INT, b VARCHAR(20), host BIGINT, PRIMARY KEY (a, b),
        FOREIGN KEY (host) REFERENCES host (id) ON DELETE CASCADE)""",
    "CREATE TABLE plain (x INT, y VARCHAR(10))",
    "CREATE VIEW ids AS SELECT id FROM host",
    "CREATE TRIGGER fill BEFORE INSERT ON plain FOR EACH ROW SET new.x = 1",
    """INSERT INTO host (name, uuid, e, d, money, f, g, up, at, day, clock, j, long_text, image, y, s) VALUES
        ('ä', 'u1', 'b', 123456789.123456, 9.99, 1.5, 2.5, 1, '2026-01-02 03:04:05.678901', '2026-01-02',
         '03:04:05.25', '{"a": 1}', 'long', x'00ff', 2026, 'p,q'),
        ('b', NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-01-02', NULL, NULL, NULL, NULL, NULL, NULL, NULL)""",
    "INSERT INTO server SELECT seq, concat('b', seq MOD 7), 1 + (seq MOD 2) FROM seq_1_to_2500",
    "INSERT INTO plain (y) VALUES ('a'), ('a'), (NULL)",
]
POSTGRESQL = [
    """CREATE TABLE host (
        id BIGSERIAL PRIMARY KEY, name VARCHAR(50) NOT NULL DEFAULT 'x', uuid UUID UNIQUE, d NUMERIC(20, 6), f REAL,
        g DOUBLE PRECISION, up BOOLEAN DEFAULT true, at TIMESTAMPTZ DEFAULT now(), naive TIMESTAMP, day DATE,
        clock TIME, span INTERVAL, j JSONB, a INT[], ip INET, image BYTEA, n BIGINT GENERATED ALWAYS AS (d) STORED,
        CHECK (id > 0), CHECK (name ~ '^[a-zä]'))""",
    """CREATE TABLE server (a INT, b VARCHAR(20), host BIGINT REFERENCES host (id) ON DELETE CASCADE,
        PRIMARY KEY (a, b))""",
    "CREATE TABLE plain (x INT, y VARCHAR(10))",
    "CREATE INDEX late ON server (host) WHERE a > 10",
    "CREATE INDEX lowered ON host (lower(name))",
    "CREATE VIEW ids AS SELECT id FROM host",
    """INSERT INTO host (name, uuid, d, f, g, up, at, naive, day, clock, span, j, a, ip, image) VALUES
        ('ä', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 123456789.123456, 1.5, 2.5, true,
         '2026-01-02 03:04:05.678901+02', '2026-01-02', '2026-01-02', '03:04:05', '1 day 2 hours', '{"a": 1}', '{1, 2}',
         '10.0.0.1', '\\x00ff'),
        ('b', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)""",
    "INSERT INTO server SELECT g, 'b' || g, 1 + g - 2 * (g / 2) FROM generate_series(1, 2500) AS g",
    "INSERT INTO plain VALUES (1, 'a'), (1, 'a'), (NULL, NULL)",
]
NOTES = {
    "mysql": [
        "host.changed: ON UPDATE is not kept: the application has to set the value",
        "host.d: NUMERIC(20, 6) is kept as REAL, with 15 digits",
        "host.e: ENUM becomes VARCHAR: other texts are not refused",
        "host.e: and 6 more columns in 3 tables: texts are compared and ordered by their characters' codes: 'a' and "
        "'A' are no longer equal",
        "host.n: a generated column becomes one that holds its present values",
        "host.s: SET becomes TEXT: other texts are not refused",
        "host: index by_text holds whole values instead of their beginnings",
        "host: index words is of a kind that is not kept",
        "ids: the view is not copied",
        "plain: the trigger fill is not copied",
        "server: index host is named server_host, as its name is taken",
    ],
    "postgresql": [
        "host.a: type ARRAY becomes TEXT",
        "host.at: times are kept as UTC, without their zone",
        "host.d: NUMERIC(20, 6) is kept as REAL, with 15 digits",
        "host.ip: type INET becomes TEXT",
        "host.n: a generated column becomes one that holds its present values",
        "host: CHECK (name::text ~ '^[a-zä]'::text) is not kept",
        "host: index lowered on an expression is not kept",
        "ids: the view is not copied",
    ],
}
SERVERS: dict[str, tuple[type[SqlServer], str, list[str]]] = {
    "mysql": (MariaDb, "mysql+pymysql", MARIADB),
    "postgresql": (PostgreSql, "postgresql+psycopg", POSTGRESQL),
}


@pytest.fixture(params=[*SERVERS])
def engines(request: pytest.FixtureRequest) -> Iterator[tuple[Engine, Engine]]:
    """A filled database, and an empty one on the same server."""
    kind, driver, statements = SERVERS[request.param]
    missing = kind.missing()
    if missing is not None:
        pytest.skip(missing)
    server = kind().start()
    try:
        place = f"{driver}://{server.netloc}"
        admin = create_engine(place, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            for name in ("filled", "empty"):
                connection.exec_driver_sql(f"CREATE DATABASE {name}")
        admin.dispose()
        filled, empty = (create_engine(f"{place.rpartition('/')[0]}/{name}") for name in ("filled", "empty"))
        try:
            with filled.begin() as connection:
                for statement in statements:
                    connection.exec_driver_sql(statement)
            yield filled, empty
        finally:
            filled.dispose()
            empty.dispose()
    finally:
        server.stop()


def rows(engine: Engine, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return sorted((tuple(row) for row in connection.execute(text(f"SELECT {columns} FROM {table}"))), key=repr)


def test_there_and_back(engines: tuple[Engine, Engine]) -> None:
    filled, empty = engines
    between = create_engine("rome+memory://")
    there = plan(filled, between)
    assert sorted(map(str, there.notes)) == NOTES[filled.dialect.name]
    assert there.run() == {"host": 2, "plain": 3, "server": 2_500}
    found = rows(between, "host", "id, name, d, image, n")
    assert found[0][:4] == (1, "ä", 123456789.123456, b"\x00\xff")
    keys = inspect(between).get_foreign_keys("server")
    assert [(key["referred_table"], key["options"]) for key in keys] == [("host", {"ondelete": "CASCADE"})]
    assert plan(between, empty).run() == {"host": 2, "plain": 3, "server": 2_500}
    kept = "id, name, d, f, g, day, clock, image, n"
    assert rows(empty, "host", kept) == rows(filled, "host", kept)
    for table in ("server", "plain"):
        assert rows(empty, table) == rows(filled, table)
    with empty.begin() as connection:  # ids go on, and keys are enforced
        connection.execute(text("INSERT INTO host (name) VALUES ('c')"))
        assert connection.execute(text("SELECT id FROM host WHERE name = 'c'")).scalar_one() == 3
        connection.execute(text("DELETE FROM host WHERE id = 1"))
        assert connection.execute(text("SELECT count(*) FROM server")).scalar_one() == 1_250
