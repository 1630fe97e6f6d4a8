"""Statements as logs and traces show them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rome.sql.display import MAX_TEXT, summary, without_values


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("SELECT * FROM t WHERE a = 'it''s' AND b = 5", "SELECT * FROM t WHERE a = ? AND b = ?"),
        ("SELECT x'00ff', 1.5e3, 0x1F, -7", "SELECT ?, ?, ?, -?"),
        ("SELECT a -- secret\nFROM t /* secret */ WHERE b", "SELECT a FROM t WHERE b"),
        ("/* secret */ SELECT 1;", "SELECT ?;"),
        ("SELECT a\n  FROM t", "SELECT a\n  FROM t"),
        (
            "SELECT 1 FROM t WHERE a IN (?, ?,?) AND b = ? AND c = :name",
            "SELECT ? FROM t WHERE a IN (?, ..) AND b = ? AND c = :name",
        ),
        ('SELECT "a", `b`, [c] FROM t1', 'SELECT "a", `b`, [c] FROM t1'),
        ("CREATE TABLE t (a VARCHAR(36) DEFAULT 'secret')", "CREATE TABLE t (a VARCHAR(?) DEFAULT ?)"),
        ("SELECT 'secret", "SELECT .."),
        ("SELECT a WHERE b = 12secret", "SELECT a WHERE b = .."),
        ("", ""),
    ],
)
def test_values_and_comments_are_hidden(sql: str, shown: str) -> None:
    assert without_values(sql) == shown


@given(st.text(), st.integers(min_value=10**6))
def test_no_value_is_shown(text: str, number: int) -> None:
    quoted = "'" + f"secret{text}secret".replace("'", "''") + "'"
    shown = without_values(f"SELECT a FROM t WHERE b = {quoted} AND c = {number} -- {number}")
    assert shown == "SELECT a FROM t WHERE b = ? AND c = ?"


def test_a_long_text_is_cut() -> None:
    shown = without_values(f"SELECT {', '.join(f'column{number}' for number in range(10_000))}")
    assert (len(shown), shown[-3:]) == (MAX_TEXT + 3, " ..")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "SELECT * FROM a, b AS c, main.d x JOIN e ON x.y WHERE z IN (SELECT 1 FROM [f g])",
            "SELECT a b main.d e SELECT f g",
        ),
        ("INSERT OR REPLACE INTO t SELECT replace(a, 'b', 'c') FROM u", "INSERT t SELECT u"),
        ("REPLACE INTO t VALUES (1)", "REPLACE t"),
        ("UPDATE OR IGNORE t SET a = 1 FROM v", "UPDATE t v"),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 2", "INSERT t"),
        ("DELETE FROM t WHERE a IS NOT DISTINCT FROM b", "DELETE t"),
        ("WITH c AS (SELECT 1 FROM q) SELECT * FROM c", "SELECT q SELECT c"),
        ("SELECT * FROM (SELECT 1), t FOR UPDATE", "SELECT SELECT"),
        ("SELECT (1)", "SELECT"),
        ("SELECT a FROM", "SELECT"),
        ("create unique index if not exists i on t (a)", "CREATE INDEX i"),
        ("DROP TABLE main.t", "DROP TABLE main.t"),
        ("ALTER TABLE t ADD COLUMN c", "ALTER TABLE t"),
        ("CREATE", "CREATE"),
        ("PRAGMA foreign_keys = 1", "PRAGMA"),
        ("SAVEPOINT x", "SAVEPOINT"),
        ("; BEGIN", "BEGIN"),
        ("", ""),
    ],
)
def test_summary_has_verbs_and_tables(sql: str, expected: str) -> None:
    assert summary(sql) == expected


def test_summary_is_cut_between_names() -> None:
    found = summary(f"SELECT * FROM {', '.join(f'table_of_a_long_name_{number}' for number in range(50))}")
    assert len(found) <= 255
    assert found.endswith(("_8", "_9"))
