"""The index that is proposed for a full scan helps, and creating it does end the full scan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

import rome
from rome.dbapi import Connection
from rome.engine.observing.full_scans import FullScan, full_scans
from rome.engine.statement.syntax import statement_of

SCHEMA = """
    CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, state TEXT, placed TEXT, note TEXT COLLATE NOCASE);
    CREATE TABLE customer (id INTEGER PRIMARY KEY, email TEXT, "order" TEXT, city TEXT);
    CREATE INDEX customer_city ON customer (city);
    INSERT INTO orders VALUES (1, 1, 'open', '2026', 'n'), (2, 1, 'sent', '2025', 'n');
    INSERT INTO customer VALUES (1, 'a@example.com', 'x', 'Oslo');
"""


@pytest.fixture
def connection() -> Iterator[Connection]:
    with closing(rome.connect("rome+memory://")) as connection:
        connection.executescript(SCHEMA)
        yield connection


def scans(connection: Connection, sql: str) -> list[FullScan]:
    connection.execute(sql)
    examined = connection.session.examine(statement_of(sql, "sql"))
    assert examined is not None
    return full_scans(examined.prepared, examined.catalog)


HELPED = [
    ("SELECT * FROM orders WHERE state = 'open'", ["ix_orders_state ON orders (state)"]),
    (
        "SELECT * FROM orders WHERE placed > '2025' AND state = 'open'",
        ["ix_orders_state_placed ON orders (state, placed)"],
    ),
    (
        "SELECT * FROM orders WHERE state = 'open' OR customer = 1",
        ["ix_orders_state ON orders (state)", "ix_orders_customer ON orders (customer)"],
    ),
    ("SELECT * FROM orders ORDER BY placed DESC LIMIT 5", ["ix_orders_placed ON orders (placed)"]),
    ("UPDATE orders SET note = 'x' WHERE state = 'open'", ["ix_orders_state ON orders (state)"]),
    ("DELETE FROM orders WHERE customer IN (7, 8)", ["ix_orders_customer ON orders (customer)"]),
    ("SELECT * FROM customer WHERE \"order\" = 'x'", ['ix_customer_order ON customer ("order")']),
    ("SELECT * FROM orders WHERE note = 'N'", ["ix_orders_note ON orders (note)"]),
    (
        "SELECT * FROM customer JOIN orders ON customer = customer.id WHERE email = 'a'",
        ["ix_orders_customer ON orders (customer)", "ix_customer_email ON customer (email)"],
    ),
    (
        "SELECT * FROM customer JOIN orders ON customer = customer.id WHERE city = 'Oslo'",
        ["ix_orders_customer ON orders (customer)"],
    ),
    (
        "SELECT * FROM customer WHERE EXISTS (SELECT 1 FROM orders WHERE customer = customer.id AND state = 'open')",
        ["ix_orders_state ON orders (state)"],
    ),
    (
        "SELECT * FROM orders a JOIN orders b ON a.customer = b.customer WHERE a.state = 'open'",
        ["ix_orders_state ON orders (state)", "ix_orders_customer ON orders (customer)"],
    ),
]


@pytest.mark.parametrize(("sql", "indexes"), HELPED)
def test_the_proposed_indexes_end_the_full_scan(connection: Connection, sql: str, indexes: list[str]) -> None:
    (scan,) = scans(connection, sql)
    assert [index.removeprefix("CREATE INDEX ") for index in scan.indexes] == indexes
    connection.rollback()
    for index in scan.indexes:
        connection.execute(index)
    connection.commit()
    assert scans(connection, sql) == []


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT * FROM orders", "no condition on it"),
        ("SELECT * FROM orders WHERE state LIKE '%x'", "no index can serve the conditions on state"),
        (
            "SELECT * FROM orders WHERE customer = id",
            "no index begins with customer; id is compared with a column of its own row",
        ),
        ("SELECT * FROM orders WHERE state = 'open' COLLATE NOCASE", "no index begins with state"),
        ("SELECT * FROM orders ORDER BY placed", "no condition on it"),
    ],
)
def test_no_index_is_proposed_that_would_not_help(connection: Connection, sql: str, reason: str) -> None:
    (scan,) = scans(connection, sql)
    assert scan.indexes == ()
    assert scan.reason.startswith(reason)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM orders WHERE id = 1",
        "SELECT count(*) FROM orders",
        "SELECT * FROM orders ORDER BY id LIMIT 2",
        "INSERT INTO orders VALUES (9, 1, 'open', '2026', '')",
    ],
)
def test_what_reads_by_a_key_or_reads_no_rows_is_no_full_scan(connection: Connection, sql: str) -> None:
    assert scans(connection, sql) == []


def test_nothing_is_created(connection: Connection) -> None:
    scans(connection, HELPED[0][0])
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")]
    assert names == ["customer_city"]
