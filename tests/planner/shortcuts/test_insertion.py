"""The rows that INSERT .. VALUES is going to write."""

from __future__ import annotations

import pytest

from rome.codec.values import SqlValue
from rome.planner.plan import PlannedRow
from rome.planner.planning import plan_statement
from tests.planner.schema_from_sqlite import make_catalog

_, CATALOG = make_catalog(
    [
        "create table t (id integer primary key, a text unique, b integer unique, c real unique, d unique, "
        "g as (a || b), e text unique default 'x')",
        "create table u (a text unique)",
        "create table roles (k text, u text, f text references u (a), p text, c text, w text, primary key (k))",
        "create unique index by_u on roles (u)",
        "create unique index by_p on roles (p) where p > ''",
        "create index by_c on roles (c)",
    ]
)


def planned(sql: str, *parameters: SqlValue) -> list[PlannedRow] | None:
    return plan_statement(sql, CATALOG, frozenset(["t"])).planned_rows(parameters)


@pytest.mark.parametrize(
    ("sql", "parameters", "expected"),
    [
        ("insert into t (a, b) values (?, ?)", ("x", 1), [({1: "x", 2: 1}, False)]),
        ("insert into t (b, a) values (?2, ?1)", ("x", 1), [({2: 1, 1: "x"}, False)]),
        ("insert into t (a, b) values (:a, :b), (:b, :a)", (1, 2), [({1: "1", 2: 2}, False), ({1: "2", 2: 1}, False)]),
        ("insert into t (a, b, c, d) values (5, '5', 5, '5')", (), [({1: "5", 2: 5, 3: 5.0, 4: "5"}, False)]),
        ("insert into t (a, c) values (5.0, '1.5')", (), [({1: "5.0", 3: 1.5}, False)]),
        ("insert into t (id, a) values (?, ?)", (7, None), [({0: 7, 1: None}, True)]),
        ("insert into t (id, a) values (?, ?)", (None, "x"), [({1: "x"}, False)]),
        ("insert into t (id) values (null), (-3), (abs(-3))", (), [({}, False), ({0: -3}, True), ({}, True)]),
        ("insert into t (a, b) values (lower(?), 1 + 1)", ("X",), [({}, False)]),
        ("insert into t (a, b, a) values (?, ?, ?)", ("x", 1, "y"), [({1: "x", 2: 1}, False)]),
        ("insert into t (id, a, rowid) values (?, ?, ?)", (1, "x", 2), [({0: 2, 1: "x"}, True)]),
        ("insert into t (c, d) values (?, ?)", (float("nan"), float("nan")), [({3: None, 4: None}, False)]),
        ("insert into t (a, b) values (f(?, ?), ?)", (1, 2, 3), [({2: 3}, False)]),
        ("insert into t values (1, 2, 3, 4, 5, 6)", (), [({0: 1, 1: "2", 2: 3, 3: 4.0, 4: 5, 6: "6"}, True)]),
        ("insert into main.\"t\" as q (a) values ('x') on conflict do nothing returning id", (), [({1: "x"}, False)]),
        ("insert or replace into t (a) values (x'00');", (), [({1: b"\0"}, False)]),
        ("replace into t ([a]) values (?)", ("x",), [({1: "x"}, False)]),
        ("insert into t (rowid, a) values (1, 2)", (), [({0: 1, 1: "2"}, True)]),
        ("insert into u (oid, a) values (1, 2), (null, 3)", (), [({0: "2"}, True), ({0: "3"}, False)]),
        ("insert into t default values", (), [({}, False)]),
        ("insert into t (a) values (0.5), (1e300)", (), [({1: "0.5"}, False), ({}, False)]),
    ],
)
def test_planned_rows(
    sql: str, parameters: tuple[SqlValue, ...], expected: list[tuple[dict[int, SqlValue], bool]]
) -> None:
    rows = planned(sql, *parameters)
    assert rows is not None
    assert [(repr(row.values), row.rowid_given) for row in rows] == [
        (repr(values), given) for values, given in expected
    ]


def test_only_what_a_row_is_checked_by_is_planned() -> None:
    rows = planned("insert into roles (w, c, p, f, u, k) values (1, 2, 3, 4, 5, 6)")
    assert rows is not None
    assert [row.values for row in rows] == [{2: "4", 1: "5", 0: "6"}]


@pytest.mark.parametrize(
    "sql",
    [
        "select 1",
        "update t set a = 1",
        "insert into t (a) select a from t",
        "insert into t (a) values (1) union select 2",
        "insert into nothing values (1)",
        "insert into temp.t values (1)",
        "with x as (select 1) insert into t (a) select * from x",
    ],
)
def test_nothing_is_planned(sql: str) -> None:
    assert planned(sql) is None
