from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rome.insights.text import condensed, in_lines, normalized


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "SELECT a FROM t WHERE id = 5 AND b = 'it''s' AND c = x'00' AND d = -1.5e3",
            "= ? AND b = ? AND c = ? AND d = -?",
        ),
        ("SELECT a FROM t WHERE id IN (?)", "SELECT a FROM t WHERE id IN (..)"),
        ("SELECT a FROM t WHERE id IN (?, ?,?)", "SELECT a FROM t WHERE id IN (..)"),
        ("SELECT a FROM t WHERE id IN (1, 'a', :b)", "SELECT a FROM t WHERE id IN (..)"),
        ("SELECT a FROM t WHERE id = :name", "SELECT a FROM t WHERE id = ?"),
        ("SELECT a FROM t WHERE (a, b) IN ((?, ?), (?, ?), (?, ?))", "SELECT a FROM t WHERE (a, b) IN ((..), ..)"),
        ("INSERT INTO t (a, b) VALUES (?, ?)", "INSERT INTO t (a, b) VALUES (..)"),
        ("INSERT INTO t (a, b) VALUES (?, ?), (?, 1)", "INSERT INTO t (a, b) VALUES (..), .."),
        ("INSERT INTO t VALUES (?), (?), (?) RETURNING id, b", "INSERT INTO t VALUES (..), .. RETURNING id, b"),
        ("SELECT  a\n\tFROM t -- secret\n WHERE /* secret */ b=1", "SELECT a FROM t WHERE b=?"),
        ("SELECT f(a, ?) FROM t WHERE g(?) BETWEEN ? AND ?", "SELECT f(a, ?) FROM t WHERE g(?) BETWEEN ? AND ?"),
        ('SELECT "T"."A" FROM "T" WHERE ("A" = ?)', 'SELECT "T"."A" FROM "T" WHERE ("A" = ?)'),
        ("SELECT a FROM t WHERE b = 'not ended", "SELECT a FROM t WHERE b ="),
    ],
)
def test_texts_that_differ_in_values_are_one(sql: str, expected: str) -> None:
    assert normalized(sql).endswith(expected)


@given(st.lists(st.sampled_from(["?", "1", "'zzz'", "x'0a'", ":zzz", "?7"]), min_size=1, max_size=9), st.booleans())
def test_the_length_of_a_list_is_not_shown(values: list[str], spaced: bool) -> None:
    sql = f"SELECT a FROM t WHERE a IN ({(', ' if spaced else ',').join(values)}) LIMIT 3"
    assert normalized(sql) == "SELECT a FROM t WHERE a IN (..) LIMIT ?"


@given(st.text(alphabet="a'\"()?,.;-/* \n1x:", max_size=40))
def test_any_text_has_a_form_and_that_is_its_own(text: str) -> None:
    assert "\n" not in normalized(text) or '"' in text  # a quoted name may hold one
    condensed(normalized(text))
    in_lines(normalized(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT a.b, a.c, a.d FROM a WHERE x = ?", "SELECT .. FROM a WHERE x = ?"),
        ("SELECT DISTINCT a.b, a.c, a.d FROM a", "SELECT DISTINCT .. FROM a"),
        ("SELECT a FROM t", "SELECT a FROM t"),
        ("SELECT (SELECT max(x) FROM q), a, b FROM t", "SELECT .. FROM t"),
        ("SELECT a FROM (SELECT q.a, q.b, q.c FROM q) AS s", "SELECT a FROM (SELECT .. FROM q) AS s"),
        ("INSERT INTO t (a, b, c) VALUES (..)", "INSERT INTO t (..) VALUES (..)"),
    ],
)
def test_columns_are_left_out_of_the_short_form(text: str, expected: str) -> None:
    assert condensed(text) == expected


def test_clauses_begin_lines() -> None:
    text = "SELECT a FROM t LEFT JOIN u ON t.b = (SELECT c FROM v LIMIT ?) WHERE d = ? ORDER BY a"
    assert in_lines(text) == (
        "SELECT a\nFROM t\nLEFT JOIN u ON t.b = (SELECT c FROM v LIMIT ?)\nWHERE d = ?\nORDER BY a"
    )
