"""The tokenizer against what SQLite's own does."""

from __future__ import annotations

import apsw
import apsw.ext
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rome.sql.tokens import identifier, tokenize


def kinds(sql: str) -> list[tuple[str, str]]:
    return [(token.kind, token.text) for token in tokenize(sql)]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("'it''s' \"a\"\"b\" `a``b` [a b]", ["string", "quoted", "quoted", "quoted"]),
        ("x'00ff' ax'00' X''", ["blob", "word", "string", "blob"]),
        ("1 1.5 .5 1.e3 1e-3 0x1F 1_000", ["number"] * 7),
        ("t.a 1.a", ["word", "op", "word", "illegal"]),
        ("? ?12 :a @b $c::d(e) :a", ["variable"] * 6),
        ("(?,? ,\n?) (?, ?1)", ["op", "run", "op", "op", "variable", "op", "variable", "op"]),
        ("a->b->>c||d<<e>>f<=g>=h<>i!=j==k", ["word", *["op", "word"] * 10]),
        ("a -- b 'c\n/* d ' */ e /* f", ["word", "word"]),
        ("é$1 _x a$b", ["word"] * 3),
        ("a 'unterminated", ["word", "illegal"]),
        ("a # b", ["word", "illegal"]),
        ("\ufeffselect", ["word"]),
        ("a - -b --c", ["word", "op", "op", "word"]),
        ("/", ["op"]),
        ("", []),
    ],
)
def test_kinds(sql: str, expected: list[str]) -> None:
    assert [kind for kind, _ in kinds(sql)] == expected


def test_identifier_is_unquoted() -> None:
    assert [identifier(token) for token in tokenize("a \"b\"\"c\" `d``e` [f g] 'h''i'")] == [
        "a",
        'b"c',
        "d`e",
        "f g",
        "h'i",
    ]


def test_tokens_are_slices_of_the_text() -> None:
    sql = "select /* x */ a . b, ? , ? from [t] -- end"
    assert all(sql[token.start : token.stop] == token.text for token in tokenize(sql))


PIECES = [
    "a",
    "1",
    "'s'",
    '"q"',
    "[b]",
    "`c`",
    "x'00'",
    "?",
    "?2",
    ":n",
    ",",
    "-",
    "--",
    "/*",
    "*/",
    "\n",
    " ",
    "(",
    ")",
    "|",
    "<",
    ">",
    "=",
    ".",
    "e5",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_sqlite_reads_the_tokens_as_it_reads_the_text(pieces: list[str]) -> None:
    """Tokens, written out one a line, are the same statement to SQLite: the same error, or the same parameters."""
    sql = "select " + "".join(pieces) + "\nfrom t"
    tokens = tokenize(sql)
    if any(token.kind == "illegal" for token in tokens):
        assert _outcome(sql) is None
    else:
        assert _outcome("\n".join(token.text for token in tokens)) == _outcome(sql)


def _outcome(sql: str) -> tuple[str | None, ...] | None:
    db = apsw.Connection(":memory:")
    db.execute("create table t (a, q, b, c, n, e5)")
    try:
        return apsw.ext.query_info(db, sql).bindings_names
    except apsw.Error:
        return None
