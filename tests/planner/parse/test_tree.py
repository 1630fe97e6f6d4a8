"""The tree of a text is the parser's, although the parser does not see lists of columns."""

from __future__ import annotations

import pytest
import sqlglot
from sqlglot import exp
from sqlglot.dialects.sqlite import SQLite

from rome.planner.parse.canonical import canonical
from rome.planner.parse.tree import parse
from rome.sql.tokens import tokenize
from tests.planner.corpus.projects import PROJECTS, Project

TEXTS = [
    "SELECT t.a, t.b AS x, t.c, d FROM t",
    "SELECT DISTINCT a, b, c FROM t ORDER BY a",
    "SELECT ALL a, b, c FROM t",
    "SELECT a, b, c, d",
    "SELECT a, b, c, count(*) AS n, d FROM t",
    "SELECT a, b, c, t.* FROM t",
    "SELECT a, b, c x, d FROM t",
    "SELECT a, b, c, main.t.d FROM t",
    "SELECT a, b, c, x(d) AS y FROM t",
    'SELECT "a""b", "SELECT ", `c d`, [FROM], "," FROM t',
    "SELECT a AS 'one', b AS 'two', c AS 'three' FROM t",
    "SELECT q.a, q.b, q.c FROM (SELECT a, b, c, d FROM t WHERE a = ?) AS q",
    "SELECT a, b, c FROM t UNION ALL SELECT d, e, f FROM u WHERE d IN (SELECT a, b, c FROM t)",
    "WITH q AS (SELECT a, b, c FROM t) SELECT a, b, c FROM q",
    "INSERT INTO t (a, b, c) SELECT a, b, c FROM u",
    "SELECT a, b, c IS NULL FROM t",
    "SELECT :c0, a, b, c FROM t",
]


@pytest.mark.parametrize("sql", TEXTS)
def test_tree_is_that_of_the_whole_text(sql: str) -> None:
    check(sql)


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_trees_of_the_corpus_are_those_of_the_whole_texts(project: Project) -> None:
    for sql, _ in project.expected[::7]:
        check(sql)


def check(sql: str) -> None:
    text = canonical(tokenize(sql))
    (whole,) = sqlglot.parse(text.text, dialect=SQLite)
    tree = parse(text)
    assert whole is not None
    assert repr(tree) == repr(whole)
    for node in tree.walk():
        for value in node.args.values():
            for child in value if isinstance(value, list) else [value]:
                assert not isinstance(child, exp.Expression) or child.parent is node


def test_parser_does_not_see_lists_of_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    parse_with_sqlglot = sqlglot.parse

    def note(text: str, dialect: type[SQLite]) -> object:
        seen.append(text)
        return parse_with_sqlglot(text, dialect=dialect)

    monkeypatch.setattr(sqlglot, "parse", note)
    parse(canonical(tokenize("SELECT never.seen AS x, never.y, z FROM (SELECT b, c, d, 1 FROM never)")))
    assert seen == ['SELECT :c0 FROM ( SELECT :c1 , :s0 FROM "never" )']
