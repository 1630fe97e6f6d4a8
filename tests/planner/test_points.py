"""The fast path of joins reads what the general way reads."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rome.codec.values import SqlValue
from rome.planner.access.bounds import Inputs
from rome.planner.access.points import MAX_ROWS, KeyedRead
from rome.planner.plan import Fetch, Values
from rome.planner.planning import plan_statement
from tests.planner.schema_from_sqlite import make_catalog

_, CATALOG = make_catalog(
    [
        "create table one (k text primary key, t text, n integer, r real, b blob, x text collate nocase)",
        "create table many (id integer primary key, t text, n integer, r real, x text collate nocase, d, m integer)",
        "create index many_t on many (t, n)",
        "create index many_tm on many (t, m)",
        "create index many_n on many (n)",
        "create index many_x on many (x)",
        "create index many_d on many (d)",
        "create table pairs (a text, b integer, primary key (a, b)) without rowid",
    ]
)
JOINS = [
    "select * from one join many on many.t = one.t where one.k = ?1",
    "select * from one join many on many.t = one.x where one.k = ?1",
    "select * from one join many on many.t = one.t and many.m = ?2 where one.k = ?1",
    "select * from one join many on many.t = one.t and many.n = one.n where one.k = ?1",
    "select * from one left join many on many.id = one.n where one.k = ?1",
    "select * from one left join many on many.id = one.t where one.k = ?1",
    "select * from one join many on many.n = one.r where one.k = ?1",
    "select * from one join many on many.x = one.x where one.k = ?1",
    "select * from one join many on many.d = one.b where one.k = ?1",
    "select * from one join pairs on pairs.a = one.t and pairs.b = one.n where one.k = ?1",
    "select * from one join pairs on pairs.a = one.t and pairs.b = 5 where one.k = ?1",
]

texts = st.sampled_from(["", "a", "A", "a ", "1", "1.0", "ü"])
numbers = st.sampled_from([0, 1, -1, 5, 2**62])
reals = st.sampled_from([0.0, 1.0, 0.5, -1e300])
values = st.none() | texts | numbers | reals | st.sampled_from([b"", b"a"])
rows = st.tuples(st.just("key"), st.none() | texts, st.none() | numbers | texts, st.none() | reals, values, texts)


def reads(sql: str, parameters: tuple[SqlValue, ...], found: list[Values]) -> list[object]:
    """What is read in the second wave."""
    tables = frozenset(["one", "pairs" if "pairs" in sql else "many"])
    waves = plan_statement(sql, CATALOG, tables).waves(parameters)
    (first,) = next(waves)
    assert first.table.name == "one"
    try:
        second = waves.send([found])
    except StopIteration:
        return []
    return [(fetch.table.name, fetch.path.id, {*fetch.keys}, fetch.ranges) for fetch in second]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(rows, max_size=5) | rows.map(lambda row: [row] * (MAX_ROWS + 1)), second=values)
@pytest.mark.parametrize("sql", JOINS)
def test_fast_path_reads_what_the_general_way_reads(
    sql: str, found: list[Values], second: SqlValue, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = reads(sql, ("key", second), found)
    with monkeypatch.context() as patch:
        patch.setattr(KeyedRead, "fetches", lambda self, inputs: None)
        assert fast == reads(sql, ("key", second), found)


@pytest.mark.parametrize("sql", JOINS)
def test_join_by_single_columns_goes_the_fast_way(sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ways: list[object] = []
    fetches = KeyedRead.fetches

    def noted(self: KeyedRead, inputs: Inputs) -> list[Fetch] | None:
        ways.append(fetches(self, inputs))
        return fetches(self, inputs)

    monkeypatch.setattr(KeyedRead, "fetches", noted)
    reads(sql, ("key", 5), [("key", "a", 1, 1.0, b"a", "a")])
    assert ways
