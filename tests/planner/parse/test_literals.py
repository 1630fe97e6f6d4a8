"""Long lists of literals are given to the parser as one placeholder, as lists of parameters are."""

from __future__ import annotations

import pytest

from rome.planner.parse.canonical import Constants, canonical
from rome.sql.tokens import tokenize
from tests.planner.oracle import Oracle
from tests.support.differential import Pair

ORACLE = Oracle(["create table t (id integer primary key, a text, b integer)", "create index t_a on t (a)"])


@pytest.mark.parametrize(
    ("sql", "member"),
    [
        ("select * from t where id in ({})", "{}"),
        ("select * from t where id not in ({}) and a = 'x'", "- {}"),
        ("select * from t where a in ({})", "'{}'"),
        ("select * from t where a in (x'61', null, {})", "1.{}e1"),
        ("select * from t where (id, a) in (values {})", "({}, 'x')"),
        ("select * from (values {}) as v join t on t.id = v.column1", "({}, null, x'00')"),
        ("with v (x) as (values {}) select * from t where id in (select x from v)", "({})"),
        ("insert into t (id, a) values {} on conflict (id) do update set b = (select max(b) from t)", "({}, 'x')"),
    ],
)
def test_the_parser_sees_no_more_of_a_longer_list(sql: str, member: str) -> None:
    few, many = (canonical(tokenize(sql.format(", ".join(map(member.format, range(n)))))) for n in (3, 3000))
    assert few.text == many.text
    assert len(few.slots) == len(many.slots) < 5


@pytest.mark.parametrize(
    "members", ["1, 2, null", "-1, 0x10, 1_000", "'it''s', 2.5, x'6162'", "9223372036854775807, 1"]
)
def test_a_list_holds_what_is_written(members: str) -> None:
    (slot,) = canonical(tokenize(f"select * from t where id in ({members})")).slots
    assert isinstance(slot, Constants)
    with Pair(["CREATE TABLE t (x)"], ids=False) as pair:
        (shown,) = pair.execute(f"SELECT {members}").rows
    values = [float(value) if isinstance(value, float) else value for value in slot.values]
    assert [*shown] == values


@pytest.mark.parametrize("members", ["1, b, 2", "1, ?, 2", "1, (2)", "1, 2 + 3", "1, 2 collate nocase", "1, +2", "1"])
def test_other_lists_are_read_member_by_member(members: str) -> None:
    slots = canonical(tokenize(f"select * from t where id in ({members})")).slots
    assert not any(isinstance(slot, Constants) for slot in slots)


@pytest.mark.parametrize(
    "condition",
    ["id in (1, 3, 3)", "a in ('a', 'b', null)", "a in (1, 2)", "id in ('1', 2.0, 2.5)", "id not in (1, null)"],
)
def test_the_rows_of_a_list_are_read(condition: str) -> None:
    rows = {"t": {1: ("a", 1), 2: ("1", 1), 3: (None, 2), 4: ("b", 2)}}
    fetched = ORACLE.check(f"select * from t where {condition}", (), {"t": {k: (k, *v) for k, v in rows["t"].items()}})
    assert "not" in condition or len(fetched["t"]) < 4


def test_a_plan_is_made_once_for_lists_of_any_length() -> None:
    plans = [ORACLE.plan(f"select b from t where id in ({', '.join(map(str, range(n)))})") for n in (2, 10, 5000)]
    found = [list(next(plan.waves(()))[0].keys) for plan in plans]
    assert [len(keys) for keys in found] == [2, 10, 5000]
    assert len({id(plan.tables) for plan in plans}) == 1
    assert "id IN (0, 1, " in str(plans[2].explain(None)[0])
    assert ", .., 4999)" in str(plans[2].explain(None)[0])
