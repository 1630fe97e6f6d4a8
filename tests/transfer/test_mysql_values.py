"""What MariaDB's values, types and sessions do that others do not: kept, or refused by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, event, text

from rome.transfer import TransferError, plan
from tests.support.sql_servers import MariaDb


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDb]:
    missing = MariaDb.missing()
    if missing is not None:
        pytest.skip(missing)
    server = MariaDb().start()
    yield server
    server.stop()


@pytest.fixture
def engines(server: MariaDb) -> Iterator[tuple[Engine, Engine]]:
    """Two empty databases."""
    place = f"mysql+pymysql://{server.netloc}".rpartition("/")[0]
    found = []
    with create_engine(place, isolation_level="AUTOCOMMIT").connect() as connection:
        for name in ("one", "other"):
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
            connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
            found.append(create_engine(f"{place}/{name}"))
    yield found[0], found[1]
    for engine in found:
        engine.dispose()


def fill(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%", "%%"))


def exactly(engine: Engine, *tables: str) -> list[tuple[str, int]]:
    """What the server itself says of a table: its statement, and a checksum of its rows."""
    with engine.connect() as connection:
        return [
            (
                connection.exec_driver_sql(f"SHOW CREATE TABLE {table}").one()[1].split(" AUTO_INCREMENT=")[0],
                connection.exec_driver_sql(f"CHECKSUM TABLE {table} EXTENDED").one()[1],
            )
            for table in tables
        ]


SCHEMA = [
    """CREATE TABLE kinds (id BIGINT AUTO_INCREMENT PRIMARY KEY, e ENUM('z', 'ö', 'a'), s SET('q', 'p'), f FLOAT,
        d DOUBLE, dec_ DECIMAL(12, 3), at DATETIME, exact DATETIME(6), stamp TIMESTAMP NULL, clock TIME(3), y YEAR,
        up TINYINT(1), name VARCHAR(50), long_ MEDIUMTEXT, b VARBINARY(20), deleted INT, UNIQUE (name, deleted))""",
    "CREATE TABLE assignment (kind ENUM('user', 'group', 'all') NOT NULL, n INT, PRIMARY KEY (kind, n))",
    "CREATE TABLE tree (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES tree (id))",
    "CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('abc')",
]
ROWS = [
    """INSERT INTO kinds VALUES
        (9223372036854775807, 'ö', 'q,p', 3.1415927, 0.12345678901234567, -1.125, '2024-02-29 23:59:59',
         '2024-02-29 23:59:59.999999', '2026-10-25 00:30:00', '23:59:59.999', 2155, 1, '🚀 größe', REPEAT('🐘', 70000),
         x'00ff', NULL),
        (-5, 'z', '', 1.1, 1e300, 0, '1000-01-01', '9999-12-31 23:59:59.000001', '2026-10-25 01:30:00', '00:00:00',
         1901, 0, 'a', '', '', 0),
        (2, NULL, NULL, 16777216, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'a', NULL, NULL, NULL),
        (3, NULL, NULL, 1e-38, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 2, 'a', NULL, NULL, NULL)""",
    "INSERT INTO kinds (id, name) VALUES (4, NULL), (5, NULL), (6, ' trailing ')",
    "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'",
    "INSERT INTO kinds (id, name) VALUES (0, 'zero')",
    "INSERT INTO assignment SELECT kind, seq FROM seq_1_to_700, (SELECT 'user' kind UNION SELECT 'group' UNION "
    "SELECT 'all') kinds",
    "INSERT INTO tree SELECT seq, NULL FROM seq_1_to_9",
    "UPDATE tree SET parent = 10 - id",
]


def test_values_come_back_exactly_into_tables_that_are_there(engines: tuple[Engine, Engine]) -> None:
    one, other = engines
    fill(one, *SCHEMA, *ROWS)
    fill(other, *SCHEMA)
    between = create_engine("rome+memory://")
    plan(one, between).run()
    with between.connect() as connection:
        found = connection.execute(text("SELECT f, stamp, length(name) FROM kinds ORDER BY id")).all()
    assert [row.f for row in found[1:]] == [None, 16777216.0, 1e-38, None, None, None, 3.1415927]
    assert found[0] == (1.1, "2026-10-25 01:30:00.000000", 1)
    fill(other, "SET foreign_key_checks = 0", "INSERT INTO tree VALUES (2, 8)")  # as migrations do
    back = plan(between, other)
    assert back.only_rows
    assert back.notes == []
    assert back.run() == {"kinds": 8, "assignment": 2_100, "tree": 9, "alembic_version": 1}
    tables = ("kinds", "assignment", "tree", "alembic_version")
    assert exactly(other, *tables) == exactly(one, *tables)
    with pytest.raises(Exception, match="Duplicate entry '9223372036854775807'"), other.begin() as connection:
        connection.exec_driver_sql("INSERT INTO kinds (id) VALUES (9223372036854775807)")
    assert plan(between, other).run()["kinds"] == 8, "all is there, and equal"


def test_sessions_of_another_zone_and_character_set_read_the_same(engines: tuple[Engine, Engine]) -> None:
    one, _ = engines
    fill(one, *SCHEMA, *ROWS)
    elsewhere = create_engine(one.url.update_query_dict({"charset": "latin1"}))

    @event.listens_for(elsewhere, "connect")
    def settle(connection, _record):  # type: ignore[no-untyped-def]
        connection.cursor().execute("SET time_zone = '+05:30'")

    with elsewhere.connect() as connection:
        assert connection.exec_driver_sql("SELECT name FROM kinds WHERE id > 6").scalar_one() == "? größe"
    between = create_engine("rome+memory://")
    plan(elsewhere, between).run()
    with between.connect() as connection:
        query = text("SELECT name, stamp FROM kinds WHERE id > 6")
        assert connection.execute(query).one() == ("🚀 größe", "2026-10-25 00:30:00.000000")
    with elsewhere.connect() as connection:
        assert connection.exec_driver_sql("SELECT @@time_zone").scalar_one() == "+05:30"


def test_values_that_nothing_else_holds_are_named_before_anything_is_made(engines: tuple[Engine, Engine]) -> None:
    one, _ = engines
    fill(
        one,
        "SET sql_mode = ''",
        "CREATE TABLE bad (id INT PRIMARY KEY, at DATETIME, day DATE, clock TIME(1), big BIGINT UNSIGNED)",
        "INSERT INTO bad VALUES (1, 0, '2026-00-01', '-00:00:00.5', 18446744073709551615), "
        "(2, 0, NULL, '24:00:00', 1), (3, '2026-01-01', '2026-01-01', '23:59:59.9', 9223372036854775807)",
    )
    between = create_engine("rome+memory://")
    with pytest.raises(TransferError) as raised:
        plan(one, between).run()
    message = str(raised.value)
    assert "bad.at: 2 dates whose month or day is 0 (WHERE month(bad.at) = 0 OR dayofmonth(bad.at) = 0)" in message
    assert "bad.day: 1 dates" in message
    assert "bad.clock: 2 times that are not of one day" in message
    assert "bad.big: 1 integers above 9223372036854775807" in message
    with between.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM sqlite_master")).scalar_one() == 0
    fill(
        one,
        "UPDATE bad SET at = NULL WHERE month(bad.at) = 0 OR dayofmonth(bad.at) = 0",
        "UPDATE bad SET day = NULL, clock = NULL, big = NULL WHERE id < 3",
    )
    assert plan(one, between).run() == {"bad": 3}


def test_tables_of_another_version_or_with_other_rows_are_refused(engines: tuple[Engine, Engine]) -> None:
    one, other = engines
    fill(one, *SCHEMA)
    fill(other, *SCHEMA, "ALTER TABLE tree DROP FOREIGN KEY tree_ibfk_1", "ALTER TABLE tree DROP COLUMN parent")
    with pytest.raises(TransferError, match="table tree of the target lacks parent"):
        plan(one, other)
    fill(other, "ALTER TABLE tree ADD COLUMN parent INT", "UPDATE alembic_version SET version_num = 'abd'")
    with pytest.raises(TransferError, match="table alembic_version of the target has rows already, and they are not"):
        plan(one, other).run()


def test_a_copy_into_tables_that_are_there_goes_on_after_it_was_cut_off(engines: tuple[Engine, Engine]) -> None:
    one, other = engines
    fill(one, *SCHEMA, *ROWS)
    fill(other, *SCHEMA)

    def cut(progress: object) -> None:
        if getattr(progress, "table", "") == "assignment" and getattr(progress, "rows", 0) >= 1_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan(one, other).run(cut)
    again = plan(one, other)
    assert again.only_rows
    again.run()
    tables = ("kinds", "assignment", "tree", "alembic_version")
    assert exactly(other, *tables) == exactly(one, *tables)


def test_foreign_keys_that_a_cut_off_copy_has_made_are_not_made_twice(
    engines: tuple[Engine, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = engines
    fill(one, *SCHEMA, "CREATE TABLE leaf (id INT PRIMARY KEY, tree INT, FOREIGN KEY (tree) REFERENCES tree (id))")
    between = create_engine("rome+memory://")
    plan(one, between).run()
    with monkeypatch.context() as patch:
        patch.setattr("rome.transfer.planning.bulk.JOBS.drop", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            plan(between, other).run()
    plan(between, other).run()
    with other.connect() as connection:
        query = "SELECT count(*) FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE()"
        assert connection.exec_driver_sql(query).scalar_one() == 2


def test_indexes_that_are_too_long_for_mysql_hold_beginnings(engines: tuple[Engine, Engine]) -> None:
    _, other = engines
    source = create_engine("rome+memory://")
    with source.begin() as connection:
        columns = ", ".join(f"c{n} VARCHAR(255)" for n in range(5))
        connection.exec_driver_sql(f"CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, short VARCHAR(20), {columns})")
        connection.exec_driver_sql("CREATE INDEX long_one ON t (n, short, c0, c1, c2, c3)")
        connection.exec_driver_sql("CREATE UNIQUE INDEX long_unique ON t (c0, c1, c2, c3)")
        connection.exec_driver_sql("CREATE UNIQUE INDEX fits ON t (c0, c1, c2, n)")
        connection.exec_driver_sql("INSERT INTO t (id, c0) VALUES (1, 'x')")
    there = plan(source, other)
    assert sorted(map(str, there.notes)) == [
        "t: index long_one holds the beginnings c0(186), c1(186), c2(187), c3(187), as MySQL's keys are short",
        "t: unique index long_unique is too long for MySQL and not kept",
    ]
    assert there.run() == {"t": 1}
    [(statement, _)] = exactly(other, "t")
    assert "KEY `long_one` (`n`,`short`,`c0`(186),`c1`(186),`c2`(187),`c3`(187))" in statement
    assert "UNIQUE KEY `fits` (`c0`,`c1`,`c2`,`n`)" in statement
