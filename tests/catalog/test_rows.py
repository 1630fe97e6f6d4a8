"""Rows: many records at once become the rows that they become one by one, whatever layouts they have."""

from __future__ import annotations

import pytest

from rome.catalog.definition import Definition
from rome.catalog.mirror import Mirror
from rome.catalog.rows import as_record, decode_row, decode_rows, encode_row, records_of, row_key
from rome.catalog.schema import Table
from rome.codec.values import SqlValue
from rome.errors import CorruptRecordError
from rome.store.spi import Row

TABLES = {
    "without an alias": "CREATE TABLE t (a, b, c)",
    "alias first": "CREATE TABLE t (id INTEGER PRIMARY KEY, b, c)",
    "alias in the middle": "CREATE TABLE t (a, id INTEGER PRIMARY KEY, c)",
    "alias last": "CREATE TABLE t (a, b, id INTEGER PRIMARY KEY)",
}


def table_of(*statements: str) -> Table:
    mirror = Mirror()
    definition = Definition.empty()
    for statement in statements:
        mirror.connection.execute(statement)
        definition = definition.evolve(mirror).definition
    return definition.catalog.tables["t"]


def stored(table: Table, rowid: int, values: tuple[SqlValue, ...]) -> Row:
    return Row(row_key(table, rowid, values), 1, encode_row(table, rowid, values))


def row_of(table: Table, rowid: int, *others: SqlValue) -> tuple[SqlValue, ...]:
    values = list(others)
    if table.rowid_alias is not None:
        values.insert(table.rowid_alias, rowid)
    return tuple(values[: len(table.columns)])


@pytest.mark.parametrize("sql", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("last", ["x", b"x"], ids=["texts", "a blob"])
def test_many_at_once(sql: str, last: SqlValue) -> None:
    table = table_of(sql)
    wanted = [(n, row_of(table, n, n / 2, last if n == 9 else None, "z")) for n in range(1, 10)]
    rows = [stored(table, *each) for each in wanted]
    assert [decode_row(table, row.key, row.record) for row in rows] == wanted
    assert decode_rows(table, [row.record for row in rows]) == (wanted if last == "x" else None)
    assert records_of(table, rows) == [as_record(table, *each) for each in wanted]


@pytest.mark.parametrize("change", ["ADD COLUMN d DEFAULT 5", "DROP COLUMN c"])
def test_rows_of_an_earlier_layout(change: str) -> None:
    create = "CREATE TABLE t (id INTEGER PRIMARY KEY, b, c)"
    before, after = table_of(create), table_of(create, f"ALTER TABLE t {change}")
    rows = [stored(before, n, (n, "b", "c")) for n in (1, 2)]
    assert decode_rows(after, [row.record for row in rows]) is None
    wanted = [as_record(after, *decode_row(after, row.key, row.record)) for row in rows]
    assert records_of(after, rows) == wanted
    assert [len(record) for record in wanted] == [2 + len(after.columns) - 1] * 2


def test_a_corrupt_record_among_many_is_named() -> None:
    table = table_of(TABLES["alias first"])
    rows = [stored(table, 1, (1, 2, 3)), Row(b"\x15\x02", 1, b"\x91\x01")]
    with pytest.raises(CorruptRecordError, match="table t, key 1502"):
        records_of(table, rows)
